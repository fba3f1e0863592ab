#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <axvm/core/guest_memory.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::boot {

/// Guest RAM below a limit, less what was taken from it: where a loader finds room. Writes nothing.
class FreeMemory {
 public:
  static constexpr std::size_t max_taken = 8;

  /// All RAM below `limit`.
  constexpr FreeMemory(GuestMemory const& memory, GuestAddress limit) : limit_(limit) {
    for (GuestRegion const& region : memory.regions()) {
      if (region.base >= limit || region.size == 0) continue;
      std::uint64_t room = limit - region.base;
      ram_[ram_count_++] = {region.base, region.base + (region.size < room ? region.size : room)};
    }
  }

  /// Takes `[base, base + size)` out, RAM or not. False when it would wrap or too many were taken.
  [[nodiscard, gnu::cold]] constexpr bool take(GuestAddress base, std::uint64_t size) {
    auto end = checked_add(base, size);
    if (!end || taken_count_ == max_taken) return false;
    if (size != 0) taken_[taken_count_++] = {base, *end};
    return true;
  }

  /// Whether all of `[base, base + size)` is RAM of one region and free.
  [[nodiscard]] constexpr bool is_free(GuestAddress base, std::uint64_t size) const {
    auto end = checked_add(base, size);
    if (!end) return false;
    for (Range const& taken : taken())
      if (base < taken.end && *end > taken.begin) return false;
    for (Range const& ram : ram())
      if (base >= ram.begin && *end <= ram.end) return true;
    return false;
  }

  /// The lowest free place at or above `from` for `size` bytes; nothing when there is none. `alignment` is a power of
  /// two.
  [[nodiscard]] constexpr std::optional<GuestAddress> lowest(std::uint64_t size, std::uint64_t alignment,
                                                             GuestAddress from) const {
    std::optional<GuestAddress> best;
    auto consider = [&](GuestAddress at) {
      auto place = align_up(at < from ? from : at, alignment);
      if (place && is_free(*place, size) && (!best || *place < *best)) best = place;
    };
    consider(from);
    for (Range const& ram : ram()) consider(ram.begin);
    for (Range const& taken : taken()) consider(taken.end);
    return best;
  }

  /// The highest free place for `size` bytes that ends at or below `below`; nothing when there is none. `alignment` is
  /// a power of two.
  [[nodiscard]] constexpr std::optional<GuestAddress> highest(std::uint64_t size, std::uint64_t alignment,
                                                              GuestAddress below) const {
    std::optional<GuestAddress> best;
    auto consider = [&](GuestAddress end) {
      if (end > below) end = below;
      if (end < size) return;
      GuestAddress place = align_down(end - size, alignment);
      if (is_free(place, size) && (!best || place > *best)) best = place;
    };
    for (Range const& ram : ram()) consider(ram.end);
    for (Range const& taken : taken()) consider(taken.begin);
    return best;
  }

  /// The limit it was made with.
  [[nodiscard]] constexpr GuestAddress limit() const { return limit_; }
  /// The end of the RAM below the limit; 0 when there is none.
  [[nodiscard]] constexpr GuestAddress end() const {
    GuestAddress highest = 0;
    for (Range const& ram : ram())
      if (ram.end > highest) highest = ram.end;
    return highest;
  }

 private:
  struct Range {
    GuestAddress begin = 0, end = 0;
  };
  [[nodiscard]] constexpr std::span<const Range> ram() const { return {ram_.data(), ram_count_}; }
  [[nodiscard]] constexpr std::span<const Range> taken() const { return {taken_.data(), taken_count_}; }

  std::array<Range, GuestMemory::max_regions> ram_{};
  std::array<Range, max_taken> taken_{};
  std::size_t ram_count_ = 0, taken_count_ = 0;
  GuestAddress limit_ = 0;
};

}  // namespace axvm::inline v1::boot
