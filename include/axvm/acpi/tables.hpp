#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/dsdt.hpp>
#include <axvm/acpi/facs.hpp>
#include <axvm/acpi/fadt.hpp>
#include <axvm/acpi/madt.hpp>
#include <axvm/acpi/mcfg.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/acpi/rsdp.hpp>
#include <axvm/acpi/slit.hpp>
#include <axvm/acpi/srat.hpp>
#include <axvm/acpi/xsdt.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1::acpi {

/// Where the tables have been put.
struct Tables {
  GuestAddress rsdp = 0;   ///< the RSDP, the address the guest was told to look at
  std::uint64_t size = 0;  ///< bytes from there on that the tables occupy
};

/// Writes all tables of a machine into `storage`, which the guest sees at `base` (a multiple of 16; all of it below
/// 4 GiB): the RSDP first, everything else behind it. `devices(Aml&)` writes the devices' own parts into \_SB; it is
/// called once. Needs no guest memory and works in constant expressions. Errors: a platform that check() refuses, AML
/// that cannot be expressed, tables larger than `storage` (with both sizes).
template <class Devices>
[[gnu::cold]] constexpr Result<Tables> build_tables(Bytes storage, GuestAddress base, Platform const& platform,
                                                    Devices&& devices) {
  if (auto checked = check(platform); !checked) return std::unexpected(checked.error());
  if (!is_aligned(base, 16) || base > 4 * GiB || storage.size() > 4 * GiB - base)
    return failure(ErrorCode::OutOfRange, text<1023>("write ACPI tables at ", Hex{base}, ": ", Hex{storage.size()},
                                                     " bytes must begin at a multiple of 16 and end below 4 GiB"));
  ByteWriter out(storage, base);
  // The RSDP and the XSDT come first but are known last: room is left for them.
  const std::size_t entries = 2 + (platform.nodes != 0 ? 2 : 0) + (platform.pci_config != 0 ? 1 : 0);
  out.put(Rsdp{});
  out.align(16);
  std::size_t xsdt_offset = out.size();
  std::size_t xsdt_size = sizeof(Xsdt) + entries * sizeof(GuestAddress);
  for (std::size_t i = 0; i < xsdt_size; ++i) out.put<std::uint8_t>(0);

  GuestAddress facs = write_facs(out);
  GuestAddress list[5] = {0, write_madt(out, platform)};
  if (platform.nodes != 0) {
    list[2] = write_srat(out, platform);
    list[3] = write_slit(out, platform);
  }
  if (platform.pci_config != 0) list[entries - 1] = write_mcfg(out, platform);
  // The FADT of its fixed size comes before the DSDT, whose address is the next multiple of 16.
  out.align(16);
  list[0] = out.address();
  std::size_t fadt_offset = out.size();
  out.put(Fadt{});
  auto dsdt = write_dsdt(out, platform, devices);
  if (!dsdt) return std::unexpected(dsdt.error());
  if (out.overflowed())
    return failure(ErrorCode::OutOfMemory, text<1023>("write ACPI tables at ", Hex{base}, ": ", out.size(),
                                                      " bytes do not fit into ", storage.size()));

  ByteWriter fadt_out(storage.subspan(fadt_offset, sizeof(Fadt)), list[0]);
  write_fadt(fadt_out, platform, facs, *dsdt);
  ByteWriter xsdt_out(storage.subspan(xsdt_offset, xsdt_size), base + xsdt_offset);
  GuestAddress xsdt = write_xsdt(xsdt_out, platform.identity, std::span<const GuestAddress>(list, entries));
  out.overwrite(0, make_rsdp(platform.identity, xsdt));
  return Tables{.rsdp = base, .size = out.size()};
}

/// Writes all tables of a machine into guest RAM at `base`, at most `size` bytes; see build_tables(). 0xe0000 and
/// 128 KiB are where a guest finds the RSDP by itself. The guest's memory map must not offer this range as free RAM.
template <class Devices>
[[gnu::cold]] Result<Tables> write_tables(GuestMemory const& memory, GuestAddress base, std::uint64_t size,
                                          Platform const& platform, Devices&& devices) {
  std::byte* storage = memory.at(base, size);
  if (storage == nullptr)
    return failure(ErrorCode::OutOfRange,
                   text<1023>("write ACPI tables at ", Hex{base}, ": ", Hex{size}, " bytes there are not guest RAM"));
  return build_tables(Bytes(storage, size), base, platform, devices);
}

}  // namespace axvm::inline v1::acpi
