#pragma once

#include <cstdint>

#include <axvm/core/fixed_string.hpp>

namespace axvm::inline v1 {

/// One access to a device's port window. Devices see offsets, never absolute ports.
struct PioAccess {
  std::uint16_t offset = 0;  ///< from the window's base; offset + width never exceeds the window
  std::uint8_t width = 0;    ///< 1, 2 or 4 bytes
  std::uint32_t value =
      0;  ///< what the guest writes (higher bytes zero); on a read the device sets it, all-ones if not
};

/// One access to a device's MMIO window.
struct MmioAccess {
  std::uint64_t offset = 0;  ///< from the window's base; offset + width never exceeds the window
  std::uint8_t width = 0;    ///< 1 to 8 bytes
  std::uint64_t value =
      0;  ///< what the guest writes (higher bytes zero); on a read the device sets it, all-ones if not
};

/// Says which of a device's named windows is meant: `void read(In<"counters">, PioAccess&)`.
template <FixedString Name>
struct In {};

}  // namespace axvm::inline v1
