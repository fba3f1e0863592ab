#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// A stretch of guest RAM and where the monitor sees it.
struct GuestRegion {
  GuestAddress base = 0;
  std::uint64_t size = 0;     ///< bytes; base + size must not exceed 2^64 - 1
  std::byte* host = nullptr;  ///< the monitor's own mapping of these bytes
};

/// The one way to touch guest memory. Every access names an address and a length, is checked against the regions with
/// arithmetic that cannot wrap, and fails (nothing, false, null) when it does not lie wholly within one region.
/// It maps nothing and owns nothing: copies are cheap views. Guests change memory at any time, so a value that
/// matters is read once and the copy is used.
class GuestMemory {
 public:
  static constexpr std::size_t max_regions = 8;

  constexpr GuestMemory() = default;
  /// A view of `regions`, of which the first `max_regions` are taken.
  constexpr explicit GuestMemory(std::span<const GuestRegion> regions) {
    for (GuestRegion const& region : regions)
      if (count_ < max_regions) regions_[count_++] = region;
  }

  /// How pages go back to the host: whoever maps them says so. Returns bytes.
  using Discard = std::uint64_t (*)(void* self, Bytes stretch);
  constexpr void discard_with(void* self, Discard function) {
    discard_self_ = self;
    discard_ = function;
  }
  /// Gives the whole pages of a stretch that at() gave back to the host and returns how many bytes that were; those
  /// read as zeros from then on. None where nobody has said how, or the pages behind the stretch have to stay.
  std::uint64_t discard(Bytes stretch) const {
    if (discard_ == nullptr) return 0;
    const auto begin = reinterpret_cast<std::uintptr_t>(stretch.data());
    for (GuestRegion const& region : regions())
      if (range_fits(begin - reinterpret_cast<std::uintptr_t>(region.host), stretch.size(), region.size))
        return discard_(discard_self_, stretch);
    return 0;
  }

  /// The regions in the order given.
  [[nodiscard]] constexpr std::span<const GuestRegion> regions() const { return {regions_.data(), count_}; }

  /// The sum of the regions' sizes in bytes.
  [[nodiscard]] constexpr std::uint64_t size() const {
    std::uint64_t sum = 0;
    for (GuestRegion const& region : regions()) sum += region.size;
    return sum;
  }

  /// The monitor's address of `[address, address + length)`, or null when it is not wholly guest RAM of one region.
  /// An empty range is null too: there is nothing to touch.
  [[nodiscard]] std::byte* at(GuestAddress address, std::uint64_t length) const {
    if (length == 0) return nullptr;
    for (std::size_t i = 0; i < count_; ++i) {
      GuestRegion const& region = regions_[i];
      std::uint64_t offset = address - region.base;  // wraps to a large value below the base, which range_fits refuses
      if (range_fits(offset, length, region.size)) return region.host + offset;
    }
    return nullptr;
  }

  /// As much of `[address, address + length)` as the region holds in which it begins; empty where there is none.
  [[nodiscard]] Bytes part_at(GuestAddress address, std::uint64_t length) const {
    for (std::size_t i = 0; i < count_; ++i) {
      GuestRegion const& region = regions_[i];
      const std::uint64_t offset = address - region.base;  // wraps to a large value below the base
      if (offset < region.size)
        return {region.host + offset,
                static_cast<std::size_t>(length < region.size - offset ? length : region.size - offset)};
    }
    return {};
  }

  /// Copies guest memory out; false, and `into` unchanged, when the range is not RAM. Empty ranges succeed.
  [[nodiscard]] bool read(GuestAddress address, Bytes into) const {
    if (into.empty()) return true;
    std::byte const* from = at(address, into.size());
    if (from == nullptr) return false;
    std::memcpy(into.data(), from, into.size());
    return true;
  }

  /// Copies into guest memory; false, and nothing written, when the range is not RAM. Empty ranges succeed.
  [[nodiscard]] bool write(GuestAddress address, ConstBytes from) const {
    if (from.empty()) return true;
    std::byte* to = at(address, from.size());
    if (to == nullptr) return false;
    copy_many(to, from);
    return true;
  }

  /// Sets guest memory to one byte value; false when the range is not RAM. Empty ranges succeed.
  [[nodiscard]] bool fill(GuestAddress address, std::uint64_t length, std::byte value) const {
    if (length == 0) return true;
    std::byte* to = at(address, length);
    if (to == nullptr) return false;
    std::memset(to, static_cast<int>(value), length);
    return true;
  }

  /// A `T` read once from guest memory.
  template <PlainBytes T>
  [[nodiscard]] std::optional<T> load(GuestAddress address) const {
    std::byte const* from = at(address, sizeof(T));
    if (from == nullptr) return std::nullopt;
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
  }

  /// Writes a `T` into guest memory.
  template <PlainBytes T>
  [[nodiscard]] bool store(GuestAddress address, T const& value) const {
    return write(address, bytes_of(value));
  }

  /// Reads an integer that the guest publishes: later reads of what it announces cannot be seen before it.
  /// The address must be a multiple of the integer's size.
  template <std::unsigned_integral T>
  [[nodiscard]] std::optional<T> load_acquire(GuestAddress address) const {
    T const* from = aligned<T>(address);
    if (from == nullptr) return std::nullopt;
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
  }

  /// Publishes an integer to the guest: all earlier writes are seen before it. The address must be a multiple of the
  /// integer's size.
  template <std::unsigned_integral T>
  [[nodiscard]] bool store_release(GuestAddress address, T value) const {
    T* to = aligned<T>(address);
    if (to == nullptr) return false;
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
    return true;
  }

 private:
  template <class T>
  [[nodiscard]] T* aligned(GuestAddress address) const {
    if (!is_aligned(address, sizeof(T))) return nullptr;
    return reinterpret_cast<T*>(at(address, sizeof(T)));
  }

  std::array<GuestRegion, max_regions> regions_{};
  std::size_t count_ = 0;
  void* discard_self_ = nullptr;
  Discard discard_ = nullptr;
};

}  // namespace axvm::inline v1
