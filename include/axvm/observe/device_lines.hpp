#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/compose/description.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/observe/notation.hpp>

namespace axvm::inline v1 {

/// What is said of one device, in words, for outputs that a person reads.
struct DeviceLines {
  std::string title;               ///< "VirtioBlk blk0"
  std::vector<std::string> ports;  ///< "0x40-0x43 counters"
  std::vector<std::string> mmio;   ///< "0xd0000000-0xd0000fff"; "PCI 00:03.0" behind configuration space
  std::vector<std::string> irq;    ///< "4 edge", "2 messages"
  std::string acpi;                ///< the node's path below \_SB and its _HID: "COM1 PNP0501"

  /// Device `index` of a machine.
  [[gnu::cold]] DeviceLines(Description const& machine, std::size_t index) {
    DeviceDescription const& device = machine.devices[index];
    title = title_of(device);
    for (Claim const& claim : device.claims) {
      auto named = [&claim](std::string what) {
        return claim.name.empty() ? what : std::move(what).append(" ").append(claim.name);
      };
      switch (claim.kind) {
        case ClaimKind::Pio: ports.push_back(named(notation::range(claim.base, claim.size))); break;
        case ClaimKind::Mmio:
          mmio.push_back(named(notation::range(claim.base, claim.size)));
          if (const auto number = machine.pci_device(claim.base)) mmio.push_back("PCI " + notation::pci(*number));
          break;
        case ClaimKind::Irq:
          irq.push_back(named(std::to_string(claim.base).append(" ").append(notation::name_of(claim.trigger))));
          break;
        case ClaimKind::Msi: irq.push_back(named(notation::count(claim.size, "message"))); break;
      }
    }
    if (!machine.present(index)) return;
    constexpr std::string_view system_bus = "\\_SB.";
    const AcpiNode node = device.acpi_node();
    acpi = node.path.view();
    if (acpi.starts_with(system_bus)) acpi.erase(0, system_bus.size());
    if (!node.hid.empty()) acpi.append(" ").append(node.hid.view());
  }

  /// What to call a device: its class and, where it has settings, what they begin with.
  [[nodiscard, gnu::cold]] static std::string title_of(DeviceDescription const& device) {
    std::string title(device.type);
    if (!device.name.empty()) title.append(" ").append(device.name.view());
    return title;
  }
};

/// What a region is, in words: "RAM", "VirtioBlk blk0".
[[gnu::cold]] inline std::string title_of(Region const& region, Description const& machine) {
  if (region.kind != RegionKind::Window) return std::string(name_of(region.kind));
  std::string title = DeviceLines::title_of(machine.devices[region.device]);
  if (!region.name.empty()) title.append(" ").append(region.name);
  if (const auto number = machine.pci_device(region.base)) title.append(", PCI ").append(notation::pci(*number));
  return title;
}

}  // namespace axvm::inline v1
