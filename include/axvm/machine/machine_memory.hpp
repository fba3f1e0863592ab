#pragma once

#include <atomic>

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
  [[gnu::cold]] Result<> renew(std::atomic<bool>& stop, MachinePlace const& place) {
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

  MemoryProgress watcher{};  ///< is told how far `renew` is with making memory present

 private:
  [[gnu::cold]] Result<> take(Result<GuestRam> made) {
    if (!made) return std::unexpected(made.error());
    ram_ = std::move(*made);
    return {};
  }

  GuestRam ram_;
  std::atomic<bool>* stop_ = nullptr;
};

}  // namespace axvm::inline v1::detail
