#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// The kind of host pages behind guest memory; the real ones stand in the order of their size.
enum class MemoryBacking : std::uint8_t {
  automatic,   ///< what the CPU profile's order finds first
  hugetlb_1g,  ///< pages of 1 GiB from the host's pool
  hugetlb_2m,  ///< pages of 2 MiB from the host's pool
  thp,         ///< transparent huge pages: of 2 MiB where the host has one free, else small
  small,       ///< pages of 4 KiB and no others
};

/// The size of a page of this kind in bytes; what transparent huge pages strive for counts.
constexpr std::uint64_t page_size(MemoryBacking backing) {
  using enum MemoryBacking;
  return backing == hugetlb_1g ? GiB : backing == hugetlb_2m || backing == thp ? 2 * MiB : 4 * KiB;
}

/// Whether such pages come from a pool that an administrator has filled.
constexpr bool is_hugetlb(MemoryBacking backing) {
  return backing == MemoryBacking::hugetlb_1g || backing == MemoryBacking::hugetlb_2m;
}

/// A profile that says what `automatic` tries, in order: `static constexpr std::array memory_order{...}`.
template <class P>
concept HasMemoryOrder = requires { std::span<const MemoryBacking>(P::memory_order); };

/// The order of profiles that name none: no page is taken from a pool that others may have been given.
inline constexpr std::array default_memory_order{MemoryBacking::thp, MemoryBacking::small};

/// What `automatic` tries on the profile `P`.
template <class P>
constexpr std::span<const MemoryBacking> memory_order_of() {
  if constexpr (HasMemoryOrder<P>) return P::memory_order;
  else return default_memory_order;
}

}  // namespace axvm::inline v1
