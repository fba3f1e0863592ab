#pragma once

#include <cstddef>
#include <string>

#include <axvm/core/placement_plan.hpp>
#include <axvm/observe/json_writer.hpp>
#include <axvm/observe/notation.hpp>
#include <axvm/observe/text_table.hpp>

namespace axvm::inline v1 {

/// A placement plan as tables: where each vCPU runs, what memory the guest's nodes have, where I/O threads run, and
/// warnings. UTF-8, at most 120 columns, ends with a newline.
[[nodiscard]] inline std::string plan_text(PlacementPlan const& plan) {
  auto number = [](auto const& value) { return value ? std::to_string(*value) : std::string("any"); };
  std::string out = notation::count(plan.vcpus.size(), "vCPU");
  out.append(plan.pinned() ? ", each on a host CPU of its own" : ", not pinned");
  if (plan.threads_per_core == 2) out.append(", two threads a core");
  if (plan.guest_has_nodes()) out.append(", ").append(notation::count(plan.nodes.size(), "NUMA node"));
  out.append("\n\n");

  detail::TextTable<6> vcpus({10, 10, 10, 10, 10, 12});
  vcpus.add({{{"vCPU"}, {"Host CPU"}, {"Core"}, {"Socket"}, {"Node"}, {"Guest node"}}});
  for (std::size_t i = 0; i < plan.vcpus.size(); ++i) {
    VcpuPlacement const& vcpu = plan.vcpus[i];
    vcpus.add({{{std::to_string(i)},
                {number(vcpu.cpu)},
                {vcpu.cpu ? std::to_string(vcpu.core) : ""},
                {vcpu.cpu ? std::to_string(vcpu.package) : ""},
                {number(vcpu.node)},
                {plan.nodes.empty() ? "" : std::to_string(vcpu.guest_node)}}});
  }
  out += vcpus.str();

  if (!plan.nodes.empty()) {
    detail::TextTable<5> nodes({10, 40, 12, 10, 9});
    nodes.add({{{"Guest node"}, {"vCPUs"}, {"Memory"}, {"Host node"}, {"Bound"}}});
    for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
      GuestNodePlacement const& node = plan.nodes[i];
      nodes.add({{{std::to_string(i)},
                  {std::string(plan.vcpus_of(static_cast<unsigned>(i)).list<1023>().view())},
                  {notation::size(node.memory)},
                  {std::to_string(node.host_node)},
                  {std::string(name_of(node.binding))}}});
    }
    out.append("\n").append(nodes.str());
  }

  out.append("\n");
  for (std::string const& line :
       notation::wrap(std::string("I/O threads: host CPUs ").append(plan.io_cpus.list<1023>().view()), 120))
    out.append(line).append("\n");
  for (auto const& warning : plan.warnings)
    for (std::string const& line : notation::wrap(std::string("warning: ").append(warning.view()), 120))
      out.append(line).append("\n");
  return out;
}

/// A placement plan as a JSON object, the members named as those of PlacementPlan; null is what is left to the kernel.
inline void plan_json(JsonWriter& json, PlacementPlan const& plan) {
  auto optional = [&json](std::string_view key, std::optional<unsigned> const& value) {
    json.key(key);
    if (value) json.value(*value);
    else json.null();
  };
  json.object([&] {
    json.key("threads_per_core").value(plan.threads_per_core);
    json.key("vcpus").array([&] {
      for (VcpuPlacement const& vcpu : plan.vcpus)
        json.object([&] {
          optional("cpu", vcpu.cpu);
          optional("core", vcpu.cpu ? std::optional(vcpu.core) : std::nullopt);
          optional("package", vcpu.cpu ? std::optional(vcpu.package) : std::nullopt);
          optional("node", vcpu.node);
          optional("guest_node", plan.nodes.empty() ? std::nullopt : std::optional(vcpu.guest_node));
        });
    });
    json.key("nodes").array([&] {
      for (GuestNodePlacement const& node : plan.nodes)
        json.object([&] {
          json.key("host_node").value(node.host_node);
          json.key("vcpus").value(node.vcpus);
          json.key("memory").value(node.memory);
          json.key("binding").value(name_of(node.binding));
        });
    });
    json.key("distances").array([&] {
      for (const unsigned distance : plan.distances) json.value(distance);
    });
    json.key("io_cpus").array([&] { plan.io_cpus.for_each([&](unsigned cpu) { json.value(cpu); }); });
    json.key("warnings").array([&] {
      for (auto const& warning : plan.warnings) json.value(warning.view());
    });
  });
}

}  // namespace axvm::inline v1
