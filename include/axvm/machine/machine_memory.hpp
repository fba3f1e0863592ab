#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <string_view>

#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/machine/machine_place.hpp>
#include <axvm/memory/memory.hpp>

namespace axvm::inline v1::detail {

/// The guest's memory as a machine holds it, from `create` to its end.
class MachineMemory {
 public:
  /// Reserves it as the settings and the profile want it, within what the guest's processors can address; `cpuid` is
  /// what the hypervisor supports.
  template <class Profile, class Config>
  [[gnu::cold]] Result<> reserve(Config const& config, CpuidTable cpuid) {
    Profile::guest_cpuid(cpuid, GuestCpu{});
    return take(GuestRam::reserve({.size = config.memory,
                                   .map = Profile::address_map,
                                   .physical_bits = physical_bits(cpuid),
                                   .backing = config.memory_backing,
                                   .order = memory_order_of<Profile>(),
                                   .lock = config.mlock,
                                   .prefault = config.prefault}));
  }

  /// Makes it read as zeros, ties it to its place and, where that is asked for, all of it present; that ends early once
  /// `stop` is set, which a watcher that has enough of it sets, too.
  [[gnu::cold, AXVM_ONCE]] Result<> renew(std::atomic<bool>& stop, MachinePlace const& place) {
    if (auto cleared = ram_.clear(); !cleared) return cleared;
    if (auto bound = place.bind(ram_); !bound) return bound;
    stop_ = &stop;
    return ram_.populate({this, [](void* self, std::uint64_t done, std::uint64_t total) {
                            auto& memory = *static_cast<MachineMemory*>(self);
                            MemoryProgress const& told = memory.watcher;
                            if (told.step != nullptr && !told.step(told.self, done, total)) *memory.stop_ = true;
                            return !*memory.stop_;
                          }});
  }

  [[nodiscard]] GuestRam const& ram() const { return ram_; }

  /// The guest's memory as its devices see it.
  [[nodiscard, AXVM_ONCE]] GuestMemory view() {
    GuestMemory memory = ram_.memory();
    if (discards_) memory.discard_with(this, &MachineMemory::discard);
    return memory;
  }

  /// Lets devices give pages back to the host, or says why they cannot; `device` is the one that wants to. Pages that
  /// are locked cannot go, and one of a pool that has gone may not be there any more when the guest touches it.
  template <class Config>
  [[gnu::cold]] Result<> allow_discards(Config const& config, std::string_view device) {
    auto refused = [device](std::string_view what, std::string_view hint) {
      return failure(ErrorCode::InvalidArgument, sentence({"use ", device, " together with ", what}), hint);
    };
    if (config.mlock) return refused("mlock: locked memory cannot go back to the host", "leave one of them out");
    for (BackedRange const& one : ram_.backing())
      if (is_hugetlb(one.backing))
        return refused(sentence({name_of(one.backing), " of the host's pool, which stay the guest's"}),
                       "leave it out, or choose transparent huge pages (memory_backing = thp)");
    discards_ = true;
    return {};
  }

  MemoryProgress watcher{};  ///< is told how far `renew` is with making memory present

 private:
  [[gnu::cold, AXVM_ONCE]] Result<> take(Result<GuestRam> made) {
    if (!made) return std::unexpected(made.error());
    ram_ = std::move(*made);
    return {};
  }

  /// What devices' GuestMemory::discard comes to: the whole pages of the stretch, which is within a region.
  static std::uint64_t discard(void*, Bytes stretch) {
    const auto address = reinterpret_cast<std::uintptr_t>(stretch.data());
    const std::uint64_t page = page_size(MemoryBacking::small);
    const std::uint64_t skip = (page - address % page) % page;
    if (stretch.size() <= skip) return 0;
    const std::uint64_t size = align_down(stretch.size() - skip, page);
    return size != 0 && ::madvise(stretch.data() + skip, size, MADV_DONTNEED) == 0 ? size : 0;
  }

  GuestRam ram_;
  bool discards_ = false;  ///< devices may give pages back
  std::atomic<bool>* stop_ = nullptr;
};

}  // namespace axvm::inline v1::detail
