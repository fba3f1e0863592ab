#pragma once

#include <cstdint>

#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// Where things are in the guest's physical address space. RAM fills [0, hole) and continues at 4 GiB; devices live in
/// the hole, so that no memory size ever meets a device window. A CPU profile has one as a constant.
struct AddressMap {
  GuestAddress hole = 0xd000'0000;         ///< end of low RAM; floating windows are placed from here on
  GuestAddress windows_end = 0xfec0'0000;  ///< end of what floating windows may use
  /// The configuration space of PCI bus 0 as memory (ECAM), a multiple of 1 MiB in the hole; only machines with PCI
  /// functions have it.
  GuestAddress pci_config = 0xfeb0'0000;
  GuestAddress io_apic = 0xfec0'0000;
  GuestAddress local_apic = 0xfee0'0000;
  GuestAddress kvm_identity_map =
      0xfeff'c000;                      ///< one page, then three for the TSS; Intel hosts without unrestricted guest
  GuestAddress high_ram = 4 * GiB;      ///< RAM beyond the hole continues here
  GuestAddress acpi_tables = 0xe'0000;  ///< the RSDP lies at its beginning ([acpi/6.5] 5.2.5.1)
  std::uint64_t acpi_tables_size = 0x2'0000;  ///< up to 1 MiB

  /// Bytes of configuration space that a bus has ([pci-firmware] 4.1.2), and that a device of the bus has: eight
  /// functions of 4 KiB.
  static constexpr std::uint64_t pci_config_size = MiB;
  static constexpr std::uint64_t pci_device_size = 0x8000;

  /// Whether an address is in the configuration space of PCI bus 0, of a machine that has it.
  [[nodiscard]] constexpr bool in_pci_config(GuestAddress address) const {
    return address >= pci_config && address - pci_config < pci_config_size;
  }
};

}  // namespace axvm::inline v1
