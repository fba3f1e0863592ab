#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/acpi/header.hpp>
#include <axvm/core/address_map.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::acpi {

/// A processor of the machine. Its ACPI processor UID is its place in Platform::processors.
struct Processor {
  std::uint32_t apic_id = 0;           ///< the x2APIC id that CPUID leaf 0xb shows; all ids differ
  std::uint32_t proximity_domain = 0;  ///< its NUMA node; ignored on a machine without nodes
};

/// A stretch of guest RAM that belongs to one NUMA node.
struct NodeMemory {
  std::uint32_t proximity_domain = 0;
  GuestAddress base = 0;
  std::uint64_t size = 0;  ///< bytes
};

/// An ISA interrupt that is wired to another pin or signals differently than ISA does ([acpi/6.5] 5.2.12.5).
struct InterruptOverride {
  std::uint8_t source = 0;  ///< ISA interrupt, 0 to 15
  std::uint32_t gsi = 0;    ///< the pin of the I/O APIC
  std::uint16_t flags = 0;  ///< MPS INTI flags: 0 as the bus, 0x5 edge active high, 0xd level active high
};

/// What a PC with a dual 8259 and an I/O APIC has: the timer arrives at pin 2. The hypervisor must route it so.
inline constexpr InterruptOverride pc_overrides[] = {{.source = 0, .gsi = 2, .flags = 0}};

/// Preferred_PM_Profile ([acpi/6.5] 5.2.9.1).
enum class PowerProfile : std::uint8_t {
  Unspecified = 0,
  Desktop = 1,
  Mobile = 2,
  Workstation = 3,
  EnterpriseServer = 4,
  SOHOServer = 5,
  AppliancePC = 6,
  PerformanceServer = 7,
  Tablet = 8,
};

/// A range of addresses or ports, both ends included; as it stands, none.
struct PciWindow {
  std::uint64_t first = 1, last = 0;

  [[nodiscard]] constexpr bool empty() const { return first > last; }
};

/// Everything the tables say about a machine, the devices' own parts excepted. The spans must live as long as the
/// tables are being written. A PC, not hardware-reduced: PM1 registers at I/O ports, an SCI, ACPI mode always on.
struct Platform {
  Identity identity;

  /// All processors, the bootstrap processor first; 1 to 4096. Those with an id below 255 must be among the first 255.
  std::span<const Processor> processors;
  GuestAddress local_apic = 0xfee0'0000;  ///< below 4 GiB
  GuestAddress io_apic = 0xfec0'0000;     ///< below 4 GiB; its pins are the global system interrupts from 0 on
  std::uint8_t io_apic_id = 0;
  bool dual_8259 = true;  ///< there are also the interrupt controllers of the PC/AT
  /// Overrides of ISA interrupts. The SCI's own (level, active high) is added, and must not be listed.
  std::span<const InterruptOverride> overrides = pc_overrides;

  std::uint8_t sci = 9;              ///< the system control interrupt, 0 to 15: level-triggered, active high
  std::uint16_t pm1a_event = 0;      ///< port of PM1a_EVT_BLK, 4 bytes: PM1_STS, PM1_EN; required
  std::uint16_t pm1a_control = 0;    ///< port of PM1a_CNT_BLK, 2 bytes; SCI_EN always reads 1; required
  std::uint16_t pm_timer = 0;        ///< port of the 32-bit PM timer; 0: none
  std::uint16_t reset_register = 0;  ///< port of the 8-bit reset register; 0: none
  std::uint8_t reset_value = 0;      ///< what a guest writes there to reset the machine
  std::uint8_t sleep_type_s5 = 5;    ///< SLP_TYP that powers the machine off, 0 to 7
  bool power_button = true;          ///< a fixed-feature power button: PWRBTN_STS in PM1_STS
  PowerProfile profile = PowerProfile::EnterpriseServer;

  bool legacy_devices = true;    ///< the ISA bus has devices a user sees: a serial port, for example
  bool i8042 = false;            ///< there is a keyboard controller at 0x60 and 0x64
  bool vga = false;              ///< there is a VGA at 0xa0000
  bool cmos_rtc = false;         ///< there is an RTC at 0x70; without one a guest would wait seconds for it
  std::uint8_t rtc_century = 0;  ///< the RTC's index of the century, 0 when it has none
  bool msi = true;               ///< message-signalled interrupts work

  /// The configuration space of PCI bus 0 as memory (ECAM): 1 MiB below 4 GiB, at a multiple of that; 0: no PCI.
  GuestAddress pci_config = 0;
  /// Where the bus hands on memory, below 4 GiB and outside its configuration space: from the first window behind it to
  /// the last; other devices may have windows between.
  PciWindow pci_memory;
  PciWindow pci_ports;  ///< the same of the ports

  /// Number of NUMA nodes, proximity domains 0 to nodes - 1; 0: no SRAT and no SLIT.
  std::uint32_t nodes = 0;
  std::span<const NodeMemory> memory;  ///< with nodes: all of the guest's RAM
  /// nodes * nodes relative distances, row by row: 10 from a node to itself, 11 to 254 otherwise, 255 for unreachable.
  /// Empty: 20 between any two nodes.
  std::span<const std::uint8_t> distances;
};

/// Whether tables can be made from it; the error names the field and the numbers.
[[gnu::cold, AXVM_ONCE]] constexpr Result<> check(Platform const& platform) {
  auto refuse = [](AnyText what) {
    return failure(ErrorCode::InvalidArgument, text<1023>("write ACPI tables: ", what));
  };
  std::span<const Processor> processors = platform.processors;
  if (processors.empty() || processors.size() > 4096)
    return refuse(text<511>(processors.size(), " processors are not 1 to 4096"));
  for (std::size_t i = 0; i < processors.size(); ++i) {
    std::uint32_t id = processors[i].apic_id;
    if (id == 0xffff'ffff) return refuse(text<511>("processor ", i, " has the broadcast id as its local APIC id"));
    if (id < 255 && i >= 255)
      return refuse(text<511>("processor ", i, " has the local APIC id ", id, "; ids below 255 come first"));
    for (std::size_t k = 0; k < i; ++k)
      if (processors[k].apic_id == id)
        return refuse(text<511>("processors ", k, " and ", i, " both have the local APIC id ", id));
    if (platform.nodes != 0 && processors[i].proximity_domain >= platform.nodes)
      return refuse(
          text<511>("processor ", i, " is on NUMA node ", processors[i].proximity_domain, " of ", platform.nodes));
  }
  if (platform.local_apic >= 4 * GiB)
    return refuse(text<511>("the local APIC at ", Hex{platform.local_apic}, " is above 4 GiB"));
  if (platform.io_apic >= 4 * GiB)
    return refuse(text<511>("the I/O APIC at ", Hex{platform.io_apic}, " is above 4 GiB"));
  if (platform.sci > 15) return refuse(text<511>("the SCI ", platform.sci, " is no ISA interrupt"));
  for (InterruptOverride const& each : platform.overrides) {
    if (each.source > 15)
      return refuse(text<511>("the override of interrupt ", each.source, " is of no ISA interrupt"));
    if (each.source == platform.sci)
      return refuse(text<511>("the override of interrupt ", each.source, ", the SCI, is implied"));
  }
  if (platform.pm1a_event == 0 || platform.pm1a_event > 0xfffc)
    return refuse(text<511>("PM1a_EVT_BLK needs 4 ports, not at ", Hex{platform.pm1a_event}));
  if (platform.pm1a_control == 0 || platform.pm1a_control > 0xfffe)
    return refuse(text<511>("PM1a_CNT_BLK needs 2 ports, not at ", Hex{platform.pm1a_control}));
  if (platform.pm_timer > 0xfffc) return refuse(text<511>("PM_TMR_BLK needs 4 ports, not at ", Hex{platform.pm_timer}));
  if (platform.sleep_type_s5 > 7) return refuse(text<511>("the sleep type ", platform.sleep_type_s5, " is above 7"));
  if (!is_aligned(platform.pci_config, AddressMap::pci_config_size) || platform.pci_config >= 4 * GiB)
    return refuse(text<511>("PCI configuration space needs 1 MiB below 4 GiB, not at ", Hex{platform.pci_config}));
  PciWindow const &memory = platform.pci_memory, &ports = platform.pci_ports;
  auto window = [](PciWindow const& of) { return text<63>(Hex{of.first}, " to ", Hex{of.last}); };
  if (platform.pci_config == 0 && (!memory.empty() || !ports.empty()))
    return refuse("there are windows to PCI, and no PCI configuration space");
  if (!memory.empty() && (memory.last >= 4 * GiB || (memory.first < platform.pci_config + AddressMap::pci_config_size &&
                                                     memory.last >= platform.pci_config)))
    return refuse(
        text<511>("the PCI memory window ", window(memory), " leaves 4 GiB or has configuration space in it"));
  if (!ports.empty() && ports.last > 0xffff)
    return refuse(text<511>("the PCI port window ", window(ports), " leaves the 64 Ki ports"));
  if (platform.nodes == 0) return {};

  std::uint64_t nodes = platform.nodes;
  if (platform.memory.empty()) return refuse(text<511>(nodes, " NUMA nodes have no memory"));
  for (NodeMemory const& range : platform.memory) {
    if (range.proximity_domain >= nodes)
      return refuse(
          text<511>("memory at ", Hex{range.base}, " is on NUMA node ", range.proximity_domain, " of ", nodes));
    if (range.size == 0 || !checked_add(range.base, range.size))
      return refuse(text<511>("memory at ", Hex{range.base}, " has ", Hex{range.size}, " bytes"));
  }
  if (platform.distances.empty()) return {};
  if (platform.distances.size() != nodes * nodes)
    return refuse(text<511>(nodes, " NUMA nodes have ", platform.distances.size(), " distances, not ", nodes * nodes));
  for (std::uint64_t i = 0; i < nodes * nodes; ++i) {
    bool local = i / nodes == i % nodes;
    if (local != (platform.distances[i] == 10) || platform.distances[i] < 10)
      return refuse(
          text<511>("the distance from NUMA node ", i / nodes, " to ", i % nodes, " is ", platform.distances[i]));
  }
  return {};
}

}  // namespace axvm::inline v1::acpi
