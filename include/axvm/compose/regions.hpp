#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/compose/description.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// What a stretch of the guest's physical address space is for.
enum class RegionKind : std::uint8_t {
  Ram,              ///< the guest's memory
  AcpiTables,       ///< RAM in which the machine puts its ACPI tables
  Unused,           ///< nothing: no device window is ever placed there
  Hole,             ///< where device windows are placed, and none is
  Window,           ///< a device's MMIO window
  PciConfig,        ///< configuration space of PCI bus 0 where no device's function is
  IoApic,           ///< the I/O APIC's registers
  LocalApic,        ///< the local APICs' registers
  HypervisorPages,  ///< kept for the hypervisor: an identity-mapped page table and a TSS (AddressMap)
};

/// What to call a region's kind.
constexpr std::string_view name_of(RegionKind kind) {
  using namespace std::string_view_literals;
  switch (kind) {
    case RegionKind::Ram: return "RAM"sv;
    case RegionKind::AcpiTables: return "ACPI tables"sv;
    case RegionKind::Unused: return "unused"sv;
    case RegionKind::Hole: return "free for devices"sv;
    case RegionKind::Window: return "window"sv;
    case RegionKind::PciConfig: return "PCI configuration"sv;
    case RegionKind::IoApic: return "I/O APIC"sv;
    case RegionKind::LocalApic: return "local APIC"sv;
    case RegionKind::HypervisorPages: return "hypervisor pages"sv;
  }
  return {};
}

/// One stretch of the guest's physical address space.
struct Region {
  RegionKind kind{};
  GuestAddress base = 0;
  std::uint64_t size = 0;   ///< bytes, never 0
  std::size_t device = 0;   ///< windows: whose, an index into Description::devices
  std::string_view name{};  ///< windows: the claim's name where it has one
};

namespace detail {

/// Calls `visit(region)` for everything that has a place of its own, in no order.
template <class Visit>
constexpr void for_each_placed_region(Description const& machine, Visit const& visit) {
  AddressMap const& map = machine.address_map;
  if (machine.platform == Platform::Pc) visit(Region{RegionKind::AcpiTables, map.acpi_tables, map.acpi_tables_size});
  if (machine.has_interrupts) {
    visit(Region{RegionKind::IoApic, map.io_apic, 4_KiB});
    visit(Region{RegionKind::LocalApic, map.local_apic, 4_KiB});
  }
  visit(Region{RegionKind::HypervisorPages, map.kvm_identity_map, 4 * 4_KiB});
  for (std::size_t i = 0; i < machine.devices.size(); ++i)
    for (Claim const& claim : machine.devices[i].claims)
      if (claim.kind == ClaimKind::Mmio && !(machine.has_interrupts && claim.base == map.io_apic))
        visit(Region{RegionKind::Window, claim.base, claim.size, i, claim.name});
}

/// Where RAM ends, below the hole and above it.
struct RamEnds {
  GuestAddress low = 0, high = 0;

  constexpr explicit RamEnds(Description const& machine) {
    AddressMap const& map = machine.address_map;
    low = machine.memory < map.hole ? machine.memory : map.hole;
    const std::uint64_t rest = machine.memory - low, room = ~map.high_ram;
    high = map.high_ram + (rest < room ? rest : room);
  }
};

}  // namespace detail

/// Calls `visit(Region const&)` for the whole address space of a machine from 0 to the end of RAM or 4 GiB, whichever
/// is higher, by rising address and without gaps. Windows of absent devices are among them, as their places stay
/// reserved.
template <class Visit>
[[gnu::cold]] constexpr void for_each_region(Description const& machine, Visit&& visit) {
  AddressMap const& map = machine.address_map;
  const GuestAddress pci_end = map.pci_config + AddressMap::pci_config_size;
  const detail::RamEnds ram(machine);
  GuestAddress at = 0;
  auto fill_up_to = [&](GuestAddress end) {
    while (at < end) {
      RegionKind kind = RegionKind::Ram;
      GuestAddress limit = ram.high;
      if (at < ram.low) limit = ram.low;
      else if (at < map.hole) kind = RegionKind::Unused, limit = map.hole;
      else if (machine.has_pci && map.in_pci_config(at)) kind = RegionKind::PciConfig, limit = pci_end;
      else if (machine.has_pci && at < map.pci_config) kind = RegionKind::Hole, limit = map.pci_config;
      else if (at < map.windows_end) kind = RegionKind::Hole, limit = map.windows_end;
      else if (at < map.high_ram) kind = RegionKind::Unused, limit = map.high_ram;
      else if (at >= ram.high) return;
      if (limit > end) limit = end;
      visit(Region{kind, at, limit - at});
      at = limit;
    }
  };
  // What has a place is looked through once for each, always for the next one: no memory to sort it in, and no limit.
  GuestAddress last_base = 0;
  std::size_t last_order = 0;
  for (bool first = true;; first = false) {
    Region next;
    std::size_t next_order = 0, order = 0;
    detail::for_each_placed_region(machine, [&](Region const& region) {
      ++order;
      const bool behind_last = first || region.base > last_base || (region.base == last_base && order > last_order);
      if (behind_last && (next_order == 0 || region.base < next.base)) next = region, next_order = order;
    });
    if (next_order == 0) break;
    fill_up_to(next.base);
    visit(static_cast<Region const&>(next));
    last_base = next.base, last_order = next_order;
    if (at < next.base + next.size) at = next.base + next.size;
  }
  fill_up_to(ram.high > map.high_ram ? ram.high : map.high_ram);
}

}  // namespace axvm::inline v1
