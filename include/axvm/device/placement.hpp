#pragma once

#include <cstddef>
#include <span>

#include <axvm/device/claims.hpp>

namespace axvm::inline v1 {

/// Where one device of a machine is: its claims with every base and line filled in, in the order of the device's own
/// list.
struct Placement {
  std::span<const Claim> claims;
  /// How many devices of the same type stand before it in the machine: 0 for the first. ACPI's _UID.
  std::size_t instance = 0;

  /// The `n`-th claim of a kind; the device knows that it has one.
  [[nodiscard]] constexpr Claim const& find(ClaimKind kind, std::size_t n = 0) const {
    std::size_t i = 0;
    while (claims[i].kind != kind || n-- != 0) ++i;
    return claims[i];
  }
};

}  // namespace axvm::inline v1
