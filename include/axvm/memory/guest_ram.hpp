#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>

#include <axvm/core/address_map.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/memory/backing.hpp>
#include <axvm/memory/spread.hpp>

namespace axvm::inline v1 {

/// What a machine wants of its guest's memory.
struct MemoryPlan {
  std::uint64_t size = 0;  ///< bytes; a multiple of 4 KiB, at least 1 MiB
  AddressMap map{};
  unsigned physical_bits = 64;  ///< width of the guest's physical addresses ([intel/vol2] CPUID.80000008H:EAX[7:0])
  MemoryBacking backing = MemoryBacking::automatic;
  std::span<const MemoryBacking> order = default_memory_order;  ///< what `automatic` tries
  bool lock = false;                                            ///< all of it stays in the host's RAM; populated, too
  bool prefault = false;                                        ///< `populate()` makes all of it present
};

/// The guest's RAM, in one piece below the device hole and one above 4 GiB. Nothing of it exists before it is touched,
/// or populated; each piece is aligned for its largest pages, fenced by inaccessible pages and left out of core dumps.
///
/// Each piece is backed by whole pages of the first kind in the order that can be had for all of them; what is left,
/// less than a page, by the next kind, at last by small pages. A backing that is forced must be had for all whole
/// pages.
class GuestRam {
 public:
  /// Reserves memory; the time does not depend on its size. The plan's spans are not kept.
  [[nodiscard, gnu::cold, AXVM_ONCE]] static Result<GuestRam> reserve(MemoryPlan const& plan) {
    if (plan.size < MiB || !is_aligned(plan.size, 4 * KiB))
      return failure(ErrorCode::OutOfRange,
                     detail::sentence({"use ", detail::decimal(plan.size), " bytes of guest memory"}),
                     "give at least 1M and a multiple of 4K");
    const std::uint64_t low = plan.size < plan.map.hole ? plan.size : plan.map.hole;
    if (auto fits = check_width(plan, low); !fits) return std::unexpected(fits.error());
    GuestRam ram;
    ram.locked_ = plan.lock;
    ram.populates_ = plan.prefault || plan.lock;
    const auto order = plan.backing == MemoryBacking::automatic ? plan.order : from(plan.backing);
    if (auto added = ram.add(0, low, order); !added) return std::unexpected(added.error());
    if (plan.size > low)
      if (auto added = ram.add(plan.map.high_ram, plan.size - low, order); !added)
        return std::unexpected(added.error());
    if (auto forced = ram.check_forced(plan); !forced) return std::unexpected(forced.error());
    if (auto room = ram.check_room(plan); !room) return std::unexpected(room.error());
    if (auto locked = ram.lock(plan); !locked) return std::unexpected(locked.error());
    return ram;
  }
  /// The same with transparent huge pages where there are any.
  [[nodiscard]] static Result<GuestRam> reserve(std::uint64_t size, AddressMap const& map) {
    return reserve({.size = size, .map = map});
  }

  [[nodiscard]] std::span<const GuestRegion> regions() const { return {regions_.data(), count_}; }
  [[nodiscard]] GuestMemory memory() const { return GuestMemory(regions()); }
  /// What is behind which part, in the order of addresses. Whoever binds memory to NUMA nodes does so, range by range,
  /// between `reserve` and `populate`; pages of a pool have to be free on the very node.
  [[nodiscard]] std::span<const BackedRange> backing() const { return {ranges_.data(), range_count_}; }

  /// One line of what was got: "512 MiB of transparent huge pages, locked".
  [[nodiscard, gnu::cold, AXVM_ONCE]] Text<511> describe() const {
    Text<511> line;
    for (const MemoryBacking backing : kinds) {
      std::uint64_t sum = 0;
      for (BackedRange const& one : this->backing())
        if (one.backing == backing) sum += one.range.size;
      if (sum != 0) line = detail::sentence({line, line.empty() ? "" : ", ", size_text(sum), " of ", name_of(backing)});
    }
    return detail::sentence({line, locked_ ? ", locked" : ""});
  }

  /// Makes all of it present, where the plan asks for that, on all processors this process may use; otherwise, and when
  /// it is, does nothing. `progress` may end it early, which is no error.
  [[nodiscard, gnu::cold]] Result<> populate(MemoryProgress progress = {}) {
    if (!populates_ || populated_) return {};
    const auto done = for_all(true, &detail::populate_pages, progress);
    populated_ = done.finished;
    if (done.error != 0)
      return failure(ErrorCode::OutOfMemory, detail::sentence({"make ", describe(), " present"}),
                     "give the host more free memory, on the NUMA nodes that the guest is bound to", done.error);
    return {};
  }

  /// The guest's memory reads as zeros again. Pages go back to the host, but those of a pool and locked ones, which
  /// stay where they are and are written.
  [[nodiscard, gnu::cold]] Result<> clear() {
    for (BackedRange const& one : backing()) {
      if (is_kept(one)) continue;
      if (::madvise(one.range.host, one.range.size, MADV_DONTNEED) != 0) return not_cleared(errno);
      populated_ = false;
    }
    if (const int error = for_all(false, &detail::zero_present_pages).error; error != 0) return not_cleared(error);
    return {};
  }

 private:
  static constexpr std::array kinds{MemoryBacking::hugetlb_1g, MemoryBacking::hugetlb_2m, MemoryBacking::thp,
                                    MemoryBacking::small};
  static constexpr std::size_t most_regions = 2;
  static constexpr std::uint64_t least_chunk = 32 * MiB;

  /// A forced backing, and the smaller ones for what is less than its page.
  static std::span<const MemoryBacking> from(MemoryBacking backing) {
    return std::span(kinds).subspan(static_cast<std::size_t>(backing) - static_cast<std::size_t>(kinds[0]));
  }

  [[gnu::cold]] static Result<> check_width(MemoryPlan const& plan, std::uint64_t low) {
    const auto end = plan.size > low ? checked_add(plan.map.high_ram, plan.size - low) : low;
    if (plan.physical_bits >= 64) return {};
    const std::uint64_t limit = std::uint64_t{1} << plan.physical_bits;
    if (end && *end <= limit) return {};
    const std::uint64_t most = limit > plan.map.high_ram ? limit - (plan.map.high_ram - plan.map.hole) : plan.map.hole;
    return failure(
        ErrorCode::OutOfRange,
        detail::sentence({"use ", size_text(plan.size), " of guest memory: the guest's physical addresses have ",
                          detail::decimal(plan.physical_bits), " bits"}),
        detail::sentence({"give at most ", size_text(most)}));
  }

  [[gnu::cold]] Result<> add(GuestAddress base, std::uint64_t size, std::span<const MemoryBacking> order) {
    unsigned lost = 0;  // the kinds whose pool was emptied while we took from it: the region is begun anew without them
    for (;;) {
      // Room to align, and at least a page of fence on either side.
      std::uint64_t align = 2 * MiB;
      for (const MemoryBacking backing : order)
        if (backing == MemoryBacking::hugetlb_1g && size >= GiB) align = GiB;
      const auto total = checked_add(size, 2 * align);
      if (!total) return no_memory(size, ENOMEM);
      void* reserved = ::mmap(nullptr, *total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (reserved == MAP_FAILED) return no_memory(size, errno);
      Mapping mapping(reserved, *total);
      const auto address = reinterpret_cast<std::uintptr_t>(reserved);
      const GuestRegion region{base, size, mapping.data() + (align_down(address + align, align) - address)};
      const std::size_t before = range_count_;
      if (const int error = fill(mapping, region, order, lost); error != 0) return no_memory(size, error);
      if (!mapping) {
        range_count_ = before;
        continue;
      }
      ::madvise(region.host, size, MADV_DONTDUMP);
      mappings_[count_] = std::move(mapping);
      regions_[count_++] = region;
      return {};
    }
  }

  /// Puts pages behind a region, or gives up the mapping and adds to `lost`. An errno when not even small ones do.
  [[gnu::cold]] int fill(Mapping& mapping, GuestRegion const& region, std::span<const MemoryBacking> order,
                         unsigned& lost) {
    std::uint64_t at = 0;
    auto take = [&](MemoryBacking backing, std::uint64_t size) {
      ranges_[range_count_++] = {{region.base + at, size, region.host + at}, backing};
      at += size;
    };
    for (const MemoryBacking backing : order) {
      const std::uint64_t rest = region.size - at;
      const unsigned bit = 1u << static_cast<unsigned>(backing);
      if (rest < page_size(backing) || (lost & bit) != 0) continue;
      if (is_hugetlb(backing)) {
        const std::uint64_t size = align_down(rest, page_size(backing));
        const int error = detail::map_hugetlb(mapping, region.host + at, size, backing);
        if (error == 0) take(backing, size);
        else if (backing == order[0]) pool_error_ = error;
        if (mapping) continue;
        lost |= bit;
        return 0;
      } else if (backing == MemoryBacking::small || has_transparent_huge_pages()) {
        if (const int error = detail::map_pages(region.host + at, rest, backing); error != 0) return error;
        take(backing, rest);
      }
    }
    if (at == region.size) return 0;
    const std::uint64_t rest = region.size - at;
    if (const int error = detail::map_pages(region.host + at, rest, MemoryBacking::small); error != 0) return error;
    take(MemoryBacking::small, rest);
    return 0;
  }

  [[gnu::cold]] Result<> check_forced(MemoryPlan const& plan) {
    if (plan.backing == MemoryBacking::automatic) return {};
    const std::uint64_t page = page_size(plan.backing);
    std::uint64_t pages = 0, got = 0;
    for (GuestRegion const& region : regions()) pages += region.size / page;
    for (BackedRange const& one : backing())
      if (one.backing == plan.backing) got += one.range.size / page;
    if (pages != 0 && got == pages) return {};
    const int number = is_hugetlb(plan.backing) && pages != 0 ? pool_error_ : 0;
    *this = GuestRam();  // gives back what it had of the pool, so that the report is of what others left
    return std::unexpected(backing_error(plan.backing, plan.size, pages, number));
  }

  /// More than the host can ever have is refused before the host ends other programs for it.
  [[gnu::cold]] Result<> check_room(MemoryPlan const& plan) const {
    struct sysinfo host{};
    if (!populates_ || ::sysinfo(&host) != 0) return {};
    std::uint64_t wanted = 0;
    for (BackedRange const& one : backing())
      if (!is_hugetlb(one.backing)) wanted += one.range.size;
    const std::uint64_t room = (host.totalram + (locked_ ? 0 : host.totalswap)) * host.mem_unit;
    if (wanted <= room) return {};
    return failure(ErrorCode::OutOfMemory,
                   detail::sentence({plan.lock ? "lock " : "prefault ", size_text(wanted),
                                     " of guest memory: the host has ", detail::decimal(room / MiB), " MiB"}),
                   "give the guest less memory, or leave it to be found when the guest uses it");
  }

  /// Pages are locked when they come. Those of a pool are never swapped out and take no lock.
  [[gnu::cold]] Result<> lock(MemoryPlan const& plan) const {
    if (!plan.lock) return {};
    for (BackedRange const& one : backing()) {
      if (is_hugetlb(one.backing) || ::mlock2(one.range.host, one.range.size, MLOCK_ONFAULT) == 0) continue;
      const int error = errno;
      rlimit limit{};
      ::getrlimit(RLIMIT_MEMLOCK, &limit);
      return failure(ErrorCode::PermissionDenied,
                     detail::sentence({"lock ", size_text(plan.size), " of guest memory: RLIMIT_MEMLOCK allows ",
                                       detail::decimal(limit.rlim_cur / KiB), " KiB"}),
                     "raise the limit (ulimit -l, LimitMEMLOCK= of a service), or give the monitor CAP_IPC_LOCK",
                     error);
    }
    return {};
  }

  /// Pages of a range that are never swapped out, and stay when the memory is cleared.
  [[nodiscard]] bool is_kept(BackedRange const& one) const { return locked_ || is_hugetlb(one.backing); }

  /// Spreads work over all ranges, or over those that are kept.
  [[gnu::cold]] detail::SpreadResult for_all(bool all, int (*work)(std::byte*, std::uint64_t),
                                             MemoryProgress progress = {}) const {
    std::array<detail::WorkRange, max_ranges> ranges;
    std::size_t count = 0;
    for (BackedRange const& one : backing()) {
      const std::uint64_t page = page_size(one.backing);
      if (all || is_kept(one))
        ranges[count++] = {one.range.host, one.range.size, page > least_chunk ? page : least_chunk};
    }
    return detail::spread_work({ranges.data(), count}, work, progress);
  }

  [[nodiscard, gnu::cold]] static Result<> no_memory(std::uint64_t size, int error) {
    return failure(ErrorCode::OutOfMemory,
                   detail::sentence({"reserve ", detail::decimal(size / MiB), " MiB of guest memory"}),
                   "ask for less memory, or raise the limit on address space (ulimit -v)", error);
  }
  [[nodiscard, gnu::cold]] static Result<> not_cleared(int error) {
    return failure(ErrorCode::HostIo, "clear guest memory", {}, error);
  }

  static constexpr std::size_t max_ranges = most_regions * (kinds.size() + 1);

  std::array<Mapping, most_regions> mappings_;
  std::array<GuestRegion, most_regions> regions_{};
  std::array<BackedRange, max_ranges> ranges_{};
  std::size_t count_ = 0, range_count_ = 0;
  int pool_error_ = 0;
  bool locked_ = false, populates_ = false, populated_ = false;
};

}  // namespace axvm::inline v1
