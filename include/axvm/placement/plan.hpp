#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/core/placement_plan.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>
#include <axvm/placement/allowed.hpp>
#include <axvm/placement/groups.hpp>
#include <axvm/placement/node_choice.hpp>
#include <axvm/placement/options.hpp>
#include <axvm/placement/topology.hpp>

namespace axvm::inline v1 {

namespace detail {

/// Makes a plan in steps; see plan_placement().
class Planner {
 public:
  Planner(HostTopology const& host, AllowedHost const& allowed, PlacementRequest const& request)
      : allowed_(allowed), request_(request), survey_(host, allowed, request.page_size) {}

  Result<PlacementPlan> plan() {
    auto groups = group_vcpus(survey_, allowed_, request_);
    if (!groups) return std::unexpected(groups.error());
    groups_ = std::move(*groups);
    for (unsigned i = 0; i < request_.vcpus; ++i) plan_.vcpus.add({});
    for (unsigned g = 0; g < groups_.size(); ++g)
      for (const unsigned vcpu : groups_[g].vcpus) {
        plan_.vcpus[vcpu].guest_node = g;
        plan_.vcpus[vcpu].node = node(groups_[g].node).number;
      }
    if (request_.pin.kind == PinOption::Kind::Auto) pin_by_group();
    if (request_.pin.kind == PinOption::Kind::List) pin_by_list();
    find_threads();
    if (request_.numa.kind == NumaOption::Kind::Off) {
      for (VcpuPlacement& vcpu : plan_.vcpus) vcpu.guest_node = 0;
    } else {
      place_memory();
    }
    choose_io_cpus();
    return plan_;
  }

 private:
  [[nodiscard]] HostNode const& node(std::size_t position) const { return survey_.host.nodes[position]; }

  void warn(std::string const& warning) { plan_.warnings.add(warning); }

  void pin(unsigned vcpu, unsigned number) {
    HostCpu const& cpu = *survey_.host.cpu(number);
    VcpuPlacement& placed = plan_.vcpus[vcpu];
    placed = {number, cpu.node, cpu.core_id, cpu.package, placed.guest_node};
    taken_.add(number);
  }

  void pin_by_list() {
    CpuSet away;
    for (unsigned i = 0; i < request_.vcpus; ++i) {
      const std::optional<unsigned> home = plan_.vcpus[i].node;
      pin(i, request_.pin.cpus[i]);
      if (home && home != plan_.vcpus[i].node) away.add(i);
    }
    if (!away.empty())
      warn("the host CPUs of these vCPUs are not on the nodes that have their memory: " + to_string(away));
  }

  /// A CPU for each vCPU on the nodes that have enough of them: first one of every core, then the second ones. Where
  /// that makes pairs of siblings of all vCPUs, neighbours are siblings.
  void pin_by_group() {
    std::vector<unsigned> wanted(survey_.host.nodes.size());
    for (PlacementGroup const& group : groups_) wanted[group.node] += static_cast<unsigned>(group.vcpus.size());
    bool in_pairs = request_.policy.show_threads;
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      if (wanted[n] > survey_.threads[n])
        warn(std::to_string(wanted[n]) + " vCPUs share " + std::to_string(survey_.threads[n]) + " host CPUs of node " +
             std::to_string(node(n).number) + " and are not pinned");
      if (wanted[n] == 0) continue;
      unsigned in_two = 0;  // CPUs of cores that have exactly two
      for (HostCore const& core : survey_.cores[n]) in_two += core.threads.size() == 2 ? 2 : 0;
      in_pairs = in_pairs && wanted[n] == survey_.threads[n] && in_two == wanted[n];
    }
    std::vector<unsigned> next(wanted.size());
    for (PlacementGroup const& group : groups_)
      for (const unsigned vcpu : group.vcpus)
        if (wanted[group.node] <= survey_.threads[group.node])
          pin(vcpu, nth_cpu(survey_.cores[group.node], next[group.node]++, in_pairs));
  }

  /// The CPU whose turn is the `index`-th: core by core, or the first one of all cores before the second ones.
  static unsigned nth_cpu(std::vector<HostCore> const& cores, unsigned index, bool by_core) {
    if (by_core) return cores[index / 2].threads[index % 2];
    for (std::size_t thread = 0;; ++thread)
      for (HostCore const& core : cores)
        if (thread < core.threads.size() && index-- == 0) return core.threads[thread];
  }

  /// Whether the vCPUs are pairs of siblings, and if not so, how many share a core and do not know.
  void find_threads() {
    std::vector<unsigned> cores;
    for (VcpuPlacement const& vcpu : plan_.vcpus)
      if (vcpu.cpu) cores.push_back(survey_.host.cpu(*vcpu.cpu)->core);
    const std::size_t count = plan_.vcpus.size();
    bool pairs = request_.policy.show_threads && cores.size() == count && count % 2 == 0;
    unsigned sharing = 0;
    for (std::size_t i = 0; i < cores.size(); ++i) {
      unsigned same = 0;
      for (const unsigned core : cores) same += core == cores[i] ? 1 : 0;
      pairs =
          pairs && same == 2 && cores[i] == cores[i ^ 1] && plan_.vcpus[i].guest_node == plan_.vcpus[i ^ 1].guest_node;
      if (same > 1) ++sharing;
    }
    if (pairs) plan_.threads_per_core = 2;
    else if (sharing != 0)
      warn(std::to_string(sharing) + " of " + std::to_string(count) +
           " vCPUs share a core with another one, which the guest does not see");
  }

  void place_memory() {
    std::vector<std::uint64_t> wanted(survey_.host.nodes.size());
    for (PlacementGroup const& group : groups_) wanted[group.node] += group.memory;
    for (PlacementGroup const& group : groups_) {
      HostNode const& on = node(group.node);
      const std::uint64_t room = survey_.memory[group.node];
      MemoryBinding binding = wanted[group.node] > room ? MemoryBinding::Preferred : MemoryBinding::Strict;
      if (survey_.host.nodes.size() == 1 || !survey_.has_memory[group.node]) binding = MemoryBinding::None;
      plan_.nodes.add(
          {on.number, static_cast<unsigned>(group.vcpus.size()), group.memory, binding, on.cpus & allowed_.cpus});
    }
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      if (wanted[n] == 0) continue;
      if (!survey_.has_memory[n])
        warn("node " + std::to_string(node(n).number) +
             " has no memory that this process may use; guest memory is not bound");
      else if (wanted[n] > survey_.memory[n])
        warn(std::to_string(wanted[n] / MiB) + " MiB of guest memory do not fit on node " +
             std::to_string(node(n).number) + ", which has " + std::to_string(survey_.memory[n] / MiB) +
             (request_.page_size != 0 ? " MiB in free huge pages" : " MiB available"));
    }
    for (GuestNodePlacement const& a : plan_.nodes)
      for (GuestNodePlacement const& b : plan_.nodes) plan_.distances.add(distance(a, b));
  }

  /// As a SLIT may have it: 10 for a node itself and for nothing else.
  [[nodiscard]] std::uint8_t distance(GuestNodePlacement const& a, GuestNodePlacement const& b) const {
    if (&a == &b) return 10;
    HostNode const& from = *survey_.host.node(a.host_node);
    const auto to = survey_.host.node(b.host_node) - survey_.host.nodes.data();
    const unsigned far = from.distances[static_cast<std::size_t>(to)];
    return static_cast<std::uint8_t>(far < 11 ? 11 : far > 254 ? 254 : far);
  }

  /// On the vCPUs' nodes: cores that no vCPU uses, or else siblings, or else other nodes, or else the same CPUs.
  void choose_io_cpus() {
    if (request_.pin.kind == PinOption::Kind::List && request_.pin.cpus.size() > request_.vcpus) {
      for (std::size_t i = request_.vcpus; i < request_.pin.cpus.size(); ++i) plan_.io_cpus.add(request_.pin.cpus[i]);
      return;
    }
    CpuSet near, idle_cores;
    for (std::size_t n = 0; n < survey_.host.nodes.size(); ++n) {
      bool used = false;
      for (VcpuPlacement const& vcpu : plan_.vcpus) used = used || vcpu.node == node(n).number;
      if (!used) continue;
      for (HostCore const& core : survey_.cores[n]) {
        bool idle = true;
        for (const unsigned cpu : core.threads) idle = idle && !taken_.has(cpu);
        for (const unsigned cpu : core.threads) {
          near.add(cpu);
          if (idle) idle_cores.add(cpu);
        }
      }
    }
    if (near.empty()) near = survey_.usable;
    if (taken_.empty()) plan_.io_cpus = near;
    else if (!idle_cores.empty()) plan_.io_cpus = idle_cores;
    else if (const CpuSet siblings = near - taken_; !siblings.empty()) plan_.io_cpus = siblings;
    else if (const CpuSet others = survey_.usable - taken_; !others.empty()) {
      plan_.io_cpus = others;
      warn("the vCPUs use every host CPU of their nodes; I/O threads run on other nodes");
    } else {
      plan_.io_cpus = near;
      warn("the vCPUs use every host CPU there is; I/O threads share theirs");
    }
  }

  AllowedHost const& allowed_;
  PlacementRequest const& request_;
  HostSurvey survey_;
  std::vector<PlacementGroup> groups_;
  PlacementPlan plan_;
  CpuSet taken_;
};

}  // namespace detail

/// Decides where a machine's vCPUs, memory and I/O threads go on a host. A pure function.
///
/// `--pin auto`: one core for each vCPU before any SMT sibling, on as few NUMA nodes as vCPUs and memory fit on (a
/// policy may prefer few nodes to own cores), memory in proportion to the vCPUs; as many guest nodes as host nodes,
/// with consecutive vCPUs. More vCPUs than CPUs stay on their nodes unpinned. `--pin LIST` takes vCPU n to the n-th
/// CPU; guest nodes follow from that. `--pin none` leaves all to the kernel, and has no NUMA nodes but those of
/// `--numa`. I/O threads go elsewhere on the same nodes.
///
/// Errors: 0 or more than PlacementPlan::max_vcpus vCPUs; a listed CPU that is offline or not allowed; a list shorter
/// than the vCPUs; guest nodes that name a host node there is not or may not be used, that leave out a vCPU, or whose
/// memory is not the machine's. A host node without CPUs will do where the vCPUs need none of it: with a list, or none.
/// What the user should merely know is in the plan's warnings.
[[nodiscard]] inline Result<PlacementPlan> plan_placement(HostTopology const& host, AllowedHost const& allowed,
                                                          PlacementRequest const& request) {
  // Not on the stack, which keeps the pages that it once needed: a planner has a plan of tens of KiB.
  return std::make_unique<detail::Planner>(host, allowed, request)->plan();
}

}  // namespace axvm::inline v1
