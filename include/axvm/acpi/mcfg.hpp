#pragma once

#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1::acpi {

/// Memory Mapped Configuration table, what precedes the allocations ([pci-firmware] 4.1.2).
struct [[gnu::packed]] Mcfg {
  Header header;
  std::uint64_t Reserved = 0;
};
static_assert(sizeof(Mcfg) == 44);

/// Memory Mapped Enhanced Configuration Space Base Address Allocation Structure: where the configuration space of some
/// buses is ([pci-firmware] 4.1.2).
struct [[gnu::packed]] ConfigurationSpaceAllocation {
  std::uint64_t Base_Address = 0;  ///< of bus 0, whichever is the first
  std::uint16_t PCI_Segment_Group_Number = 0;
  std::uint8_t Start_Bus_Number = 0;
  std::uint8_t End_Bus_Number = 0;  ///< the last one
  std::uint32_t Reserved = 0;
};
static_assert(sizeof(ConfigurationSpaceAllocation) == 16);
static_assert(offsetof(ConfigurationSpaceAllocation, PCI_Segment_Group_Number) == 8 &&
              offsetof(ConfigurationSpaceAllocation, End_Bus_Number) == 11);

/// Writes the MCFG of a machine with PCI: one bus. Returns its address.
[[AXVM_ONCE]] constexpr GuestAddress write_mcfg(ByteWriter& out, Platform const& platform) {
  return write_table(out, Mcfg{.header = Header("MCFG", 1, platform.identity)}, [&] {
    ConfigurationSpaceAllocation bus;
    bus.Base_Address = platform.pci_config;
    out.put(bus);
  });
}

}  // namespace axvm::inline v1::acpi
