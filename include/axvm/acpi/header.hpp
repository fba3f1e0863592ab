#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/core/bytes.hpp>

namespace axvm::inline v1::acpi {

namespace detail {
// Never defined: reaching it while a literal is checked is the compile error.
void acpi_identifier_is_too_long();
}  // namespace detail

/// An identifier of exactly N characters; a shorter literal is filled up with blanks.
template <std::size_t N>
struct Identifier {
  std::array<char, N> characters{};

  template <std::size_t M>
  consteval Identifier(char const (&literal)[M]) {  // NOLINT(google-explicit-constructor): written as a literal
    if (M - 1 > N) detail::acpi_identifier_is_too_long();
    for (std::size_t i = 0; i < N; ++i) characters[i] = i < M - 1 ? literal[i] : ' ';
  }
};

/// Who made the tables: the same in all of them.
struct Identity {
  Identifier<6> oem_id = "AXVM";
  Identifier<8> oem_table_id = "AXVMXV2";
  std::uint32_t oem_revision = 1;
  Identifier<4> creator_id = "AXVM";
  std::uint32_t creator_revision = 1;
};

/// DESCRIPTION_HEADER, the beginning of every table but the RSDP and the FACS ([acpi/6.5] 5.2.6).
struct [[gnu::packed]] Header {
  std::array<char, 4> Signature{};
  std::uint32_t Length = 0;   ///< of the whole table in bytes
  std::uint8_t Revision = 0;  ///< of the table's format
  std::uint8_t Checksum = 0;  ///< makes all bytes of the table sum to zero
  std::array<char, 6> OEMID{};
  std::array<char, 8> OEM_Table_ID{};
  std::uint32_t OEM_Revision = 0;
  std::array<char, 4> Creator_ID{};
  std::uint32_t Creator_Revision = 0;

  constexpr Header() = default;
  /// A header without length and checksum, which write_table() fills in.
  constexpr Header(Identifier<4> signature, std::uint8_t revision, Identity const& identity)
      : Signature(signature.characters),
        Revision(revision),
        OEMID(identity.oem_id.characters),
        OEM_Table_ID(identity.oem_table_id.characters),
        OEM_Revision(identity.oem_revision),
        Creator_ID(identity.creator_id.characters),
        Creator_Revision(identity.creator_revision) {}
};
static_assert(sizeof(Header) == 36);
static_assert(offsetof(Header, Length) == 4 && offsetof(Header, Checksum) == 9 && offsetof(Header, OEMID) == 10 &&
              offsetof(Header, OEM_Table_ID) == 16 && offsetof(Header, Creator_Revision) == 32);

/// The byte that makes the sum of `bytes` and itself zero, modulo 256. Zero for a table whose checksum is right.
constexpr std::uint8_t checksum(ConstBytes bytes) {
  std::uint8_t sum = 0;
  for (std::byte byte : bytes) sum = static_cast<std::uint8_t>(sum + std::to_integer<std::uint8_t>(byte));
  return static_cast<std::uint8_t>(-sum);
}

/// Writes a table that begins with `fixed` (whose first member is a Header called `header`) and goes on with what
/// `rest` writes; fills in Length and Checksum. Returns the table's address.
template <class Fixed, class Rest>
constexpr GuestAddress write_table(ByteWriter& out, Fixed const& fixed, Rest&& rest) {
  out.align(16);
  GuestAddress address = out.address();
  std::size_t start = out.size();
  out.put(fixed);
  rest();
  out.overwrite(start + offsetof(Header, Length), static_cast<std::uint32_t>(out.size() - start));
  if (!out.overflowed()) out.overwrite(start + offsetof(Header, Checksum), checksum(out.written().subspan(start)));
  return address;
}

}  // namespace axvm::inline v1::acpi
