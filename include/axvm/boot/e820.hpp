#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <axvm/core/address_map.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::boot {

/// What a range of the address map is ([acpi/6.5] 15, table 15.1), with that table's names.
enum class E820Type : std::uint32_t {
  AddressRangeMemory = 1,    ///< RAM for the guest
  AddressRangeReserved = 2,  ///< not to be used
  AddressRangeACPI = 3,      ///< holds ACPI tables
  AddressRangeNVS = 4,       ///< to be kept over sleep
  AddressRangeUnusable = 5,  ///< broken memory
};

/// One range of the address map.
struct E820Range {
  GuestAddress base = 0;                         ///< first byte
  std::uint64_t size = 0;                        ///< bytes; base + size does not exceed 2^64 - 1
  E820Type type = E820Type::AddressRangeMemory;  ///< what is there

  /// One past the last byte.
  [[nodiscard]] constexpr GuestAddress end() const { return base + size; }
  friend constexpr bool operator==(E820Range const&, E820Range const&) = default;
};

/// The guest's address map: sorted, without overlaps, neighbours of one type merged. Fixed size, no allocation.
class E820Map {
 public:
  static constexpr std::size_t max_ranges = 128;  ///< what boot_params has room for ([linux/boot], zero-page)

  /// The ranges by rising address.
  [[nodiscard]] constexpr std::span<const E820Range> ranges() const { return {ranges_.data(), count_}; }

  /// Gives `[base, base + size)` a type, whatever it was before. False, and nothing changed, when the range ends beyond
  /// 2^64 - 1 or the map would get more than `max_ranges` ranges. An empty range changes nothing.
  [[nodiscard, gnu::cold]] constexpr bool set(GuestAddress base, std::uint64_t size, E820Type type) {
    if (size == 0) return true;
    auto end = checked_add(base, size);
    if (!end) return false;
    E820Map next;
    bool fits = true;
    bool placed = false;
    for (E820Range const& old : ranges()) {
      if (old.base < base) fits &= next.push({old.base, (old.end() < base ? old.end() : base) - old.base, old.type});
      if (!placed && old.end() > base) {
        fits &= next.push({base, size, type});
        placed = true;
      }
      if (old.end() > *end) {
        GuestAddress rest = old.base > *end ? old.base : *end;
        fits &= next.push({rest, old.end() - rest, old.type});
      }
    }
    if (!placed) fits &= next.push({base, size, type});
    if (fits) *this = next;
    return fits;
  }

 private:
  constexpr bool push(E820Range range) {
    if (count_ != 0 && ranges_[count_ - 1].end() == range.base && ranges_[count_ - 1].type == range.type) {
      ranges_[count_ - 1].size += range.size;
      return true;
    }
    if (count_ == max_ranges) return false;
    ranges_[count_++] = range;
    return true;
  }

  std::array<E820Range, max_ranges> ranges_{};
  std::size_t count_ = 0;
};

/// Where a PC's low RAM ends: from here to 1 MiB are the extended BIOS data area, video memory and ROM. Linux looks for
/// its own real-mode code below it.
inline constexpr GuestAddress extended_bios_data_area = 0x9'fc00;

/// The address map of a machine: all its RAM, except what a PC has between the extended BIOS data area and 1 MiB, the
/// ACPI tables, and the four pages that KVM keeps for itself in the device hole.
/// Fails with InvalidArgument when the memory is in too many or impossible pieces.
[[gnu::cold]] constexpr Result<E820Map> describe_memory(GuestMemory const& memory, AddressMap const& map) {
  E820Map e820;
  bool fits = true;
  for (GuestRegion const& region : memory.regions())
    fits = fits && e820.set(region.base, region.size, E820Type::AddressRangeMemory);
  fits = fits && e820.set(extended_bios_data_area, MiB - extended_bios_data_area, E820Type::AddressRangeReserved) &&
         e820.set(map.acpi_tables, map.acpi_tables_size, E820Type::AddressRangeACPI) &&
         e820.set(map.kvm_identity_map, 4 * 4_KiB, E820Type::AddressRangeReserved);
  if (!fits)
    return failure(ErrorCode::InvalidArgument,
                   text<1023>("describe guest memory: its ", memory.regions().size(), " regions do not make a map of ",
                              E820Map::max_ranges, " ranges below 2^64"));
  return e820;
}

}  // namespace axvm::inline v1::boot
