#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>

namespace axvm::inline v1::acpi {

/// Root System Description Pointer, which a guest finds on a 16-byte boundary in 0xe0000..0xfffff or is told of
/// ([acpi/6.5] 5.2.5.3). Points to the XSDT only: there is no RSDT.
struct [[gnu::packed]] Rsdp {
  std::array<char, 8> Signature{'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  std::uint8_t Checksum = 0;  ///< makes the first 20 bytes sum to zero
  std::array<char, 6> OEMID{};
  std::uint8_t Revision = 2;
  std::uint32_t RsdtAddress = 0;
  std::uint32_t Length = 36;
  std::uint64_t XsdtAddress = 0;
  std::uint8_t Extended_Checksum = 0;  ///< makes all 36 bytes sum to zero
  std::array<std::uint8_t, 3> Reserved{};
};
static_assert(sizeof(Rsdp) == 36);
static_assert(offsetof(Rsdp, Checksum) == 8 && offsetof(Rsdp, Revision) == 15 && offsetof(Rsdp, Length) == 20 &&
              offsetof(Rsdp, XsdtAddress) == 24 && offsetof(Rsdp, Extended_Checksum) == 32);

/// The RSDP that points to the XSDT at `xsdt`.
constexpr Rsdp make_rsdp(Identity const& identity, GuestAddress xsdt) {
  Rsdp rsdp;
  rsdp.OEMID = identity.oem_id.characters;
  rsdp.XsdtAddress = xsdt;
  auto bytes = std::bit_cast<std::array<std::byte, sizeof(Rsdp)>>(rsdp);
  rsdp.Checksum = checksum(ConstBytes(bytes).first(20));
  bytes = std::bit_cast<std::array<std::byte, sizeof(Rsdp)>>(rsdp);
  rsdp.Extended_Checksum = checksum(bytes);
  return rsdp;
}

}  // namespace axvm::inline v1::acpi
