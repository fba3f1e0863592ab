#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>

namespace axvm::inline v1::acpi {

/// Firmware ACPI Control Structure, on a 64-byte boundary in memory that the guest may write ([acpi/6.5] 5.2.10). Has
/// no checksum. There is no firmware to wake up or to share the Global Lock with, so all of it stays zero.
struct [[gnu::packed]] Facs {
  std::array<char, 4> Signature{'F', 'A', 'C', 'S'};
  std::uint32_t Length = 64;
  std::uint32_t Hardware_Signature = 0;
  std::uint32_t Firmware_Waking_Vector = 0;
  std::uint32_t Global_Lock = 0;
  std::uint32_t Flags = 0;
  std::uint64_t X_Firmware_Waking_Vector = 0;
  std::uint8_t Version = 2;
  std::array<std::uint8_t, 3> Reserved{};
  std::uint32_t OSPM_Flags = 0;
  std::array<std::uint8_t, 24> Reserved2{};
};
static_assert(sizeof(Facs) == 64);
static_assert(offsetof(Facs, Global_Lock) == 16 && offsetof(Facs, Version) == 32 && offsetof(Facs, OSPM_Flags) == 36);

/// Writes the FACS; returns its address.
constexpr GuestAddress write_facs(ByteWriter& out) {
  out.align(64);
  GuestAddress address = out.address();
  out.put(Facs{});
  return address;
}

}  // namespace axvm::inline v1::acpi
