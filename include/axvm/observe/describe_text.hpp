#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <axvm/compose/description.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/core/once.hpp>
#include <axvm/observe/device_lines.hpp>
#include <axvm/observe/notation.hpp>
#include <axvm/observe/plan_text.hpp>
#include <axvm/observe/text_table.hpp>

namespace axvm::inline v1 {

namespace detail {

/// What becomes of a vCPU that has nothing to do, in a line.
[[nodiscard, gnu::cold]] inline std::string waiting_text(Description const& machine) {
  const bool dedicated = machine.cpu_use == CpuUse::dedicated;
  std::string out(dedicated ? "dedicated host CPUs: an idle vCPU waits in the guest; where it cannot, "
                            : "shared host CPUs: ");
  if (!machine.halt_poll_ns) return out.append("a vCPU that halts is waited for as long as the host has set");
  if (*machine.halt_poll_ns == 0) return out.append("a vCPU that halts is not waited for");
  return out.append("a vCPU that halts is waited for up to ")
      .append(std::to_string((*machine.halt_poll_ns + 999) / 1000))
      .append(" us");
}

}  // namespace detail

/// A machine as a table of its devices, one of its address map and, if it was planned, where it runs: UTF-8, at most
/// 120 columns, ends with a newline. Addresses are inclusive.
/// `std::fputs(describe_text(Xv2::description(config)).c_str(), stdout);`
[[nodiscard, gnu::cold, AXVM_ONCE]] inline std::string describe_text(Description const& machine) {
  std::string out(machine.profile_type);
  out.append(": ").append(machine.profile).append("\n");
  out.append(notation::count(machine.vcpus, "vCPU")).append(" of at most ").append(std::to_string(machine.max_vcpus));
  out.append(", ").append(notation::size(machine.memory)).append(" of memory, hypervisor ").append(machine.hypervisor);
  out.append(!machine.has_interrupts ? ", no interrupt controllers"
             : machine.own_io_apic   ? " with local APICs"
                                     : " with local APICs and I/O APIC");
  out.append("\n");
  out.append(detail::waiting_text(machine)).append("\n\n");

  detail::TextTable<5> devices({36, 22, 30, 10, 14});
  devices.add({{{"Device"}, {"Ports"}, {"MMIO"}, {"IRQ"}, {"ACPI"}}});
  for (std::size_t i = 0; i < machine.devices.size(); ++i) {
    DeviceLines const lines(machine, i);
    std::string title = lines.title;
    if (machine.devices[i].implicit) title += " (platform)";
    if (!machine.present(i)) title += " (absent)";
    devices.add({{{std::move(title)}, lines.ports, lines.mmio, lines.irq, {lines.acpi}}});
  }
  out += devices.str();

  std::size_t digits = 0;
  for_each_region(machine,
                  [&](Region const& region) { digits = notation::hex(region.base + (region.size - 1)).size() - 2; });
  detail::TextTable<3> regions({37, 12, 67});
  regions.add({{{"Addresses"}, {"Size"}, {"What"}}});
  for_each_region(machine, [&](Region const& region) {
    std::string title = title_of(region, machine);
    if (region.kind == RegionKind::Window && !machine.present(region.device)) title += " (absent)";
    regions.add({{{notation::hex(region.base, digits) + "-" + notation::hex(region.base + (region.size - 1), digits)},
                  {notation::size(region.size)},
                  {std::move(title)}}});
  });
  out.append("\n").append(regions.str());
  if (machine.placement != nullptr) out.append("\n").append(plan_text(*machine.placement));
  return out;
}

}  // namespace axvm::inline v1
