#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <axvm/compose/description.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/core/once.hpp>
#include <axvm/observe/json_writer.hpp>
#include <axvm/observe/notation.hpp>
#include <axvm/observe/plan_text.hpp>

namespace axvm::inline v1 {

namespace detail {

/// The claims of one kind, as an array.
[[gnu::cold]] inline void json_claims(JsonWriter& json, DeviceDescription const& device, ClaimKind kind) {
  json.array([&] {
    for (Claim const& claim : device.claims) {
      if (claim.kind != kind) continue;
      json.object([&] {
        json.key("name").value(claim.name);
        if (kind == ClaimKind::Irq) {
          json.key("line").value(claim.base);
          json.key("trigger").value(notation::name_of(claim.trigger));
        } else if (kind == ClaimKind::Msi) {
          json.key("vectors").value(claim.size);
        } else {
          json.key("base").value(claim.base);
          json.key("size").value(claim.size);
        }
      });
    }
  });
}

/// The PCI functions that a device is, as lspci has them.
[[gnu::cold]] inline void json_functions(JsonWriter& json, Description const& machine,
                                         DeviceDescription const& device) {
  json.array([&] {
    for (Claim const& claim : device.claims)
      if (claim.kind != ClaimKind::Mmio) continue;
      else if (const auto number = machine.pci_device(claim.base)) json.value(notation::pci(*number));
  });
}

[[gnu::cold]] inline void json_device(JsonWriter& json, Description const& machine, std::size_t index) {
  DeviceDescription const& device = machine.devices[index];
  json.object([&] {
    json.key("type").value(device.type);
    if (device.name.empty()) json.key("name").null();
    else json.key("name").value(device.name.view());
    json.key("implicit").value(device.implicit);
    json.key("present").value(machine.present(index));
    json.key("ports"), json_claims(json, device, ClaimKind::Pio);
    json.key("mmio"), json_claims(json, device, ClaimKind::Mmio);
    json.key("irqs"), json_claims(json, device, ClaimKind::Irq);
    json.key("messages"), json_claims(json, device, ClaimKind::Msi);
    if (machine.has_pci) json.key("pci"), json_functions(json, machine, device);
    json.key("acpi");
    const AcpiNode node = machine.present(index) ? device.acpi_node() : AcpiNode{};
    if (node.path.empty()) return json.null();
    json.object([&] {
      json.key("path").value(node.path.view());
      json.key("hid").value(node.hid.view());
    });
  });
}

}  // namespace detail

/// A machine as a JSON object for tools: addresses, sizes and lines are numbers. What the members mean is said at
/// Description, DeviceDescription and Region, whose names they have.
[[nodiscard, gnu::cold, AXVM_ONCE]] inline std::string describe_json(Description const& machine) {
  JsonWriter json;
  json.object([&] {
    json.key("profile").object([&] {
      json.key("type").value(machine.profile_type);
      json.key("name").value(machine.profile);
      json.key("platform").value(std::string_view(machine.platform == Platform::Pc ? "pc" : "bare"));
      json.key("max_vcpus").value(machine.max_vcpus);
    });
    json.key("hypervisor").value(machine.hypervisor);
    json.key("interrupt_controllers").value(machine.has_interrupts);
    json.key("vcpus").value(machine.vcpus);
    json.key("cpu_use").value(std::string_view(machine.cpu_use == CpuUse::dedicated ? "dedicated" : "shared"));
    json.key("halt_poll_ns");
    if (machine.halt_poll_ns) json.value(*machine.halt_poll_ns);
    else json.null();
    json.key("memory").value(machine.memory);
    json.key("devices").array([&] {
      for (std::size_t i = 0; i < machine.devices.size(); ++i) detail::json_device(json, machine, i);
    });
    json.key("address_map").array([&] {
      for_each_region(machine, [&](Region const& region) {
        json.object([&] {
          json.key("kind").value(name_of(region.kind));
          json.key("base").value(region.base);
          json.key("size").value(region.size);
          if (region.kind != RegionKind::Window) return;
          json.key("device").value(region.device);
          json.key("name").value(region.name);
        });
      });
    });
    if (machine.placement != nullptr) {
      json.key("placement");
      plan_json(json, *machine.placement);
    }
  });
  return json.str();
}

}  // namespace axvm::inline v1
