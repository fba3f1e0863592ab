#pragma once

#include <cstddef>
#include <cstdint>

namespace axvm::inline v1::acpi {

/// Generic Address Structure: where a register is ([acpi/6.5] 5.2.3.2). All zero: there is none.
struct [[gnu::packed]] GenericAddress {
  std::uint8_t Address_Space_ID = 0;  ///< 0 System Memory, 1 System I/O
  std::uint8_t Register_Bit_Width = 0;
  std::uint8_t Register_Bit_Offset = 0;
  std::uint8_t Access_Size = 0;  ///< 1 byte, 2 word, 3 dword, 4 qword
  std::uint64_t Address = 0;

  /// A register of 8, 16 or 32 bits at an I/O port that is accessed `access_bits` at a time; port 0 means none.
  static constexpr GenericAddress system_io(std::uint16_t port, std::uint8_t bits, std::uint8_t access_bits) {
    GenericAddress address;
    if (port == 0) return address;
    address.Address_Space_ID = 1;
    address.Register_Bit_Width = bits;
    address.Access_Size = static_cast<std::uint8_t>(access_bits == 8 ? 1 : access_bits == 16 ? 2 : 3);
    address.Address = port;
    return address;
  }
};
static_assert(sizeof(GenericAddress) == 12 && offsetof(GenericAddress, Address) == 4);

}  // namespace axvm::inline v1::acpi
