#pragma once

#include <vector>

#include <axvm/acpi/acpi.hpp>
#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/device/acpi_power.hpp>
#include <axvm/device/placement.hpp>

namespace axvm::inline v1 {

/// Writes the ACPI tables of a machine into its memory: the platform's fixed part, then what every device that is
/// there says of itself, in the machine's order. With a plan that has several NUMA nodes, the guest is told of them.
/// `regions` are its RAM. Returns the address of the RSDP.
template <class BoardType>
Result<GuestAddress> write_machine_tables(BoardType& board, GuestMemory const& memory, AddressMap const& map,
                                          std::span<const GuestRegion> regions, Topology const& topology,
                                          PlacementPlan const* plan) {
  using Composed = typename BoardType::Composition;
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
  platform.dual_8259 = !Composed::own_io_apic;  // it comes with a hypervisor's I/O APIC
  // ISA interrupts of which there is no pin are wired to one that nobody uses, so that nobody looks for theirs.
  std::vector<acpi::InterruptOverride> missing;
  if constexpr (Composed::own_io_apic)
    for (unsigned source = board.template cell<Composed::io_apic>().device()->pins(); source < 16; ++source)
      missing.push_back({.source = static_cast<std::uint8_t>(source), .gsi = 2});
  platform.overrides = missing;  // the hypervisor wires ISA interrupt 0 to pin 0, as all others to their own
  platform.sci = AcpiPower::sci_interrupt;
  platform.pm1a_event = AcpiPower::pm1a_event_block;
  platform.pm1a_control = AcpiPower::pm1a_control_block;
  platform.reset_register = AcpiPower::reset_register;
  platform.reset_value = AcpiPower::reset_value;
  platform.sleep_type_s5 = AcpiPower::s5_sleep_type;

  auto tables = acpi::write_tables(memory, map.acpi_tables, map.acpi_tables_size, platform, [&](acpi::Aml& aml) {
    board.for_each_cell([&]<std::size_t I>(auto& cell) {
      using D = typename std::remove_cvref_t<decltype(cell)>::DeviceType;
      if constexpr (HasAcpi<D>)
        if (cell.wanted()) D::describe_acpi(aml, Placement{claims_of<Composed, I>, instance_of<Composed, I>});
    });
  });
  if (!tables) return std::unexpected(tables.error());
  return tables->rsdp;
}

}  // namespace axvm::inline v1
