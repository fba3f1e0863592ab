#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <axvm/acpi/acpi.hpp>
#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/device/acpi_power.hpp>
#include <axvm/device/placement.hpp>

namespace axvm::inline v1::detail {

/// What the devices of a machine say of themselves.
struct DeviceNodes {
  void* machine = nullptr;
  void (*describe)(void* machine, acpi::Aml& aml) = nullptr;

  void operator()(acpi::Aml& aml) const { describe(machine, aml); }
};

/// The PCI bus of a machine, as far as it has devices there.
struct PciBus {
  GuestAddress config = 0;            ///< configuration space; 0: nothing is on the bus
  acpi::PciWindow memory{}, ports{};  ///< what the windows of its devices lie in

  /// Adds a device that is there, if it is a function of the bus. The machine has PCI: nothing else is in configuration
  /// space.
  [[gnu::cold, AXVM_ONCE]] void add(std::span<const Claim> claims, AddressMap const& map) {
    auto is_function = [&map](Claim const& claim) {
      return claim.kind == ClaimKind::Mmio && map.in_pci_config(claim.base);
    };
    if (std::none_of(claims.begin(), claims.end(), is_function)) return;
    config = map.pci_config;
    for (Claim const& claim : claims) {
      if (claim.kind == ClaimKind::Pio) extend(ports, claim);
      else if (claim.kind == ClaimKind::Mmio && !is_function(claim)) extend(memory, claim);
    }
  }

 private:
  static void extend(acpi::PciWindow& window, Claim const& claim) {
    const std::uint64_t last = claim.base + (claim.size - 1);
    if (window.empty()) window = {claim.base, last};
    else window = {std::min(window.first, claim.base), std::max(window.last, last)};
  }
};

/// Writes the ACPI tables of a machine into its memory: the platform's fixed part, then what the devices say of
/// themselves and its PCI bus. `own_pins` is how many pins the machine's own I/O APIC has, 0 where it is the
/// hypervisor's. With a plan that has several NUMA nodes, the guest is told of them. `regions` are its RAM. Returns the
/// address of the RSDP.
[[gnu::cold, AXVM_ONCE]] inline Result<GuestAddress> write_machine_tables(
    DeviceNodes devices, PciBus const& pci, unsigned own_pins, GuestMemory const& memory, AddressMap const& map,
    std::span<const GuestRegion> regions, Topology const& topology, PlacementPlan const* plan) {
  std::vector<acpi::Processor> processors(topology.vcpus);
  for (unsigned i = 0; i < topology.vcpus; ++i) processors[i].apic_id = topology.apic_id(i);
  acpi::Platform platform;
  platform.processors = processors;
  std::vector<acpi::NodeMemory> node_memory;
  if (plan != nullptr && plan->guest_has_nodes()) {
    for (unsigned i = 0; i < topology.vcpus; ++i) processors[i].proximity_domain = plan->vcpus[i].guest_node;
    for_each_node_memory(*plan, regions, [&node_memory](std::size_t node, GuestRegion const& part) {
      node_memory.push_back(
          {.proximity_domain = static_cast<std::uint32_t>(node), .base = part.base, .size = part.size});
    });
    platform.memory = node_memory;
    platform.nodes = static_cast<std::uint32_t>(plan->nodes.size());
    platform.distances = plan->distances.span();
  }
  platform.local_apic = map.local_apic;
  platform.io_apic = map.io_apic;
  platform.dual_8259 = own_pins == 0;  // it comes with a hypervisor's I/O APIC
  // ISA interrupts of which there is no pin are wired to one that nobody uses, so that nobody looks for theirs.
  std::vector<acpi::InterruptOverride> missing;
  if (own_pins != 0)
    for (unsigned source = own_pins; source < 16; ++source)
      missing.push_back({.source = static_cast<std::uint8_t>(source), .gsi = 2});
  platform.overrides = missing;  // the hypervisor wires ISA interrupt 0 to pin 0, as all others to their own
  platform.pci_config = pci.config;
  platform.pci_memory = pci.memory;
  platform.pci_ports = pci.ports;
  platform.sci = AcpiPower::sci_interrupt;
  platform.pm1a_event = AcpiPower::pm1a_event_block;
  platform.pm1a_control = AcpiPower::pm1a_control_block;
  platform.reset_register = AcpiPower::reset_register;
  platform.reset_value = AcpiPower::reset_value;
  platform.sleep_type_s5 = AcpiPower::s5_sleep_type;

  auto tables = acpi::write_tables(memory, map.acpi_tables, map.acpi_tables_size, platform, devices);
  if (!tables) return std::unexpected(tables.error());
  return tables->rsdp;
}

}  // namespace axvm::inline v1::detail
