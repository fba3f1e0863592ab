#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1::acpi {

/// Extended System Description Table: the addresses of the other tables ([acpi/6.5] 5.2.8).
struct [[gnu::packed]] Xsdt {
  Header header;
};
static_assert(sizeof(Xsdt) == 36);

/// Writes the XSDT with its entries; returns its address.
[[AXVM_ONCE]] constexpr GuestAddress write_xsdt(ByteWriter& out, Identity const& identity,
                                                std::span<const GuestAddress> entries) {
  return write_table(out, Xsdt{Header("XSDT", 1, identity)}, [&] {
    for (GuestAddress entry : entries) out.put<std::uint64_t>(entry);
  });
}

}  // namespace axvm::inline v1::acpi
