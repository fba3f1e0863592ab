#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>

#include <axvm/core/address_map.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/result.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::inline v1 {

/// The guest's RAM: anonymous memory that exists only where it was touched, in one piece below the device hole and one
/// above 4 GiB, each aligned for huge pages and fenced by inaccessible pages. Left out of core dumps.
class GuestRam {
 public:
  /// Reserves `size` bytes (a multiple of 4 KiB, at least 1 MiB). Nothing is touched; the time does not depend on size.
  [[nodiscard]] static Result<GuestRam> reserve(std::uint64_t size, AddressMap const& map) {
    if (size < MiB || !is_aligned(size, 4 * KiB))
      return failure(ErrorCode::OutOfRange, text<1023>("use ", size, " bytes of guest memory"),
                     "give at least 1M and a multiple of 4K");
    GuestRam ram;
    const std::uint64_t low = size < map.hole ? size : map.hole;
    if (auto added = ram.add(0, low); !added) return std::unexpected(added.error());
    if (size > low)
      if (auto added = ram.add(map.high_ram, size - low); !added) return std::unexpected(added.error());
    return ram;
  }

  [[nodiscard]] std::span<const GuestRegion> regions() const { return {regions_.data(), count_}; }
  [[nodiscard]] GuestMemory memory() const { return GuestMemory(regions()); }

  /// Gives every page back to the host: the guest's memory reads as zeros again.
  [[nodiscard]] Result<> clear() {
    for (GuestRegion const& region : regions())
      if (::madvise(region.host, region.size, MADV_DONTNEED) != 0)
        return failure(ErrorCode::HostIo, "clear guest memory", {}, errno);
    return {};
  }

 private:
  static constexpr std::uint64_t huge_page = 2 * MiB;

  [[nodiscard]] Result<> add(GuestAddress base, std::uint64_t size) {
    // Room to align, and at least a page of fence on either side.
    const std::uint64_t total = size + 2 * huge_page;
    void* reserved = ::mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return no_memory(size);
    Mapping mapping(reserved, total);
    const auto address = reinterpret_cast<std::uintptr_t>(reserved);
    std::byte* const host = mapping.data() + (align_down(address + huge_page, huge_page) - address);
    if (::mprotect(host, size, PROT_READ | PROT_WRITE) != 0) return no_memory(size);
    ::madvise(host, size, MADV_HUGEPAGE);  // advice: a kernel without huge pages refuses, and small ones do
    ::madvise(host, size, MADV_DONTDUMP);
    mappings_[count_] = std::move(mapping);
    regions_[count_++] = {base, size, host};
    return {};
  }

  [[nodiscard]] static Result<> no_memory(std::uint64_t size) {
    return failure(ErrorCode::OutOfMemory, text<1023>("reserve ", size >> 20, " MiB of guest memory"),
                   "ask for less memory, or raise the limit on address space (ulimit -v)", errno);
  }

  std::array<Mapping, 2> mappings_;
  std::array<GuestRegion, 2> regions_{};
  std::size_t count_ = 0;
};

}  // namespace axvm::inline v1
