#pragma once

#include <cstddef>
#include <cstdint>

#include <axvm/acpi/aml.hpp>
#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/acpi/resources.hpp>
#include <axvm/core/address_map.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1::acpi {

/// Differentiated System Description Table: the header that the AML follows ([acpi/6.5] 5.2.11.1).
struct [[gnu::packed]] Dsdt {
  Header header;
};
static_assert(sizeof(Dsdt) == 36);

/// Writes PCI bus 0: the host bridge and what it hands on, and motherboard resources that have the configuration space,
/// because operating systems believe an MCFG only where another device of the namespace has the memory
/// ([pci-firmware] 4.1.2). The functions there are conventional PCI's: PNP0A03, and nothing to negotiate.
[[gnu::cold, AXVM_ONCE]] constexpr void write_pci_bus(Aml& aml, Platform const& platform) {
  aml.device("PCI0", [&] {
    aml.name("_HID", EisaId("PNP0A03"));
    aml.name("_UID", 0);
    aml.name("_SEG", 0);
    aml.name("_BBN", 0);
    PciWindow const &memory = platform.pci_memory, &ports = platform.pci_ports;
    ResourceTemplate resources;
    resources.word_bus_number(0, 0);
    if (!ports.empty())
      resources.word_io(static_cast<std::uint16_t>(ports.first), static_cast<std::uint16_t>(ports.last));
    if (!memory.empty())
      resources.dword_memory(static_cast<std::uint32_t>(memory.first), static_cast<std::uint32_t>(memory.last));
    aml.name("_CRS", resources);
  });
  aml.device("ECAM", [&] {
    aml.name("_HID", EisaId("PNP0C02"));
    aml.name("_UID", 0);
    aml.name("_CRS", ResourceTemplate{}.memory32_fixed(platform.pci_config, AddressMap::pci_config_size));
  });
}

/// Writes the DSDT: \_S5, the processors as ACPI0007 devices C000, C001, ..., PCI where there is some, and what
/// `devices(Aml&)` adds to \_SB. Returns its address, or why something in it cannot be expressed; missing room shows in
/// `out` only.
template <class Devices>
[[gnu::cold]] constexpr Result<GuestAddress> write_dsdt(ByteWriter& out, Platform const& platform, Devices&& devices) {
  Result<> status;
  // Revision 2 is what makes the guest's integers 64 bits wide.
  GuestAddress address = write_table(out, Dsdt{Header("DSDT", 2, platform.identity)}, [&] {
    Aml aml(out.room());
    std::uint8_t s5 = platform.sleep_type_s5;
    aml.name("\\_S5", Package(s5, s5, 0, 0));  // SLP_TYPa and SLP_TYPb ([acpi/6.5] 7.4.2)
    aml.scope("\\_SB", [&] {
      for (std::size_t uid = 0; uid < platform.processors.size(); ++uid)
        aml.device(device_name("C", uid), [&] {
          aml.name("_HID", "ACPI0007");
          aml.name("_UID", uid);
        });
      if (platform.pci_config != 0) write_pci_bus(aml, platform);
      devices(aml);
    });
    out.skip(aml.size());
    status = aml.status();
  });
  if (!status && status.error().code != ErrorCode::OutOfMemory) return std::unexpected(status.error());
  return address;
}

}  // namespace axvm::inline v1::acpi
