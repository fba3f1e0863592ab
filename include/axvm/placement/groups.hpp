#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <axvm/core/placement_plan.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>
#include <axvm/placement/allowed.hpp>
#include <axvm/placement/node_choice.hpp>
#include <axvm/placement/options.hpp>
#include <axvm/placement/topology.hpp>

namespace axvm::inline v1 {

/// What a machine needs of its host, and how the user wants it placed.
struct PlacementRequest {
  unsigned vcpus = 1;        ///< 1 to PlacementPlan::max_vcpus
  std::uint64_t memory = 0;  ///< bytes, a multiple of 4 KiB
  PinOption pin{};
  NumaOption numa{};
  PlacementPolicy policy{};
  std::uint64_t page_size = 0;  ///< 2 MiB or 1 GiB: memory comes from the host's pools of such pages; 0: it does not
};

namespace detail {

/// A core of the host, as far as this process may use it.
struct HostCore {
  unsigned first = 0;  ///< HostCpu::core
  unsigned l3 = 0;
  std::vector<unsigned> threads{};
};

/// What of a host can be used, node by node; indices are those of HostTopology::nodes.
struct HostSurvey {
  HostSurvey(HostTopology const& of, AllowedHost const& allowed, std::uint64_t page_size)
      : host(of), usable(of.online() & allowed.cpus) {
    // A host that says nothing about its memory is taken to have enough.
    bool known = false;
    for (HostNode const& node : host.nodes) known = known || node.memory_total != 0;
    for (HostNode const& node : host.nodes) {
      std::vector<HostCore> list;
      (node.cpus & usable).for_each([&](unsigned number) {
        HostCpu const& cpu = *host.cpu(number);
        const unsigned l3 = cpu.l3.value_or(0);
        std::size_t at = 0;
        while (at < list.size() && list[at].first != cpu.core) ++at;
        if (at == list.size()) {
          list.emplace_back();
          for (; at != 0 && list[at - 1].l3 > l3; --at) std::swap(list[at], list[at - 1]);
          list[at] = {cpu.core, l3, {}};
        }
        list[at].threads.push_back(number);
      });
      threads.push_back((node.cpus & usable).count());
      cores.push_back(std::move(list));
      has_memory.push_back(allowed.nodes.has(node.number) && (node.memory_total != 0 || !known));
      std::uint64_t bytes = known ? node.memory_available : ~0ull;
      if (page_size == 2 * MiB) bytes = node.huge_2m.free * page_size;
      if (page_size == GiB) bytes = node.huge_1g.free * page_size;
      memory.push_back(has_memory.back() ? bytes : 0);
    }
  }

  HostTopology const& host;
  CpuSet usable;                             ///< online and allowed
  std::vector<std::vector<HostCore>> cores;  ///< by shared cache, then by number
  std::vector<unsigned> threads;             ///< how many usable CPUs
  std::vector<std::uint64_t> memory;         ///< bytes to be had
  std::vector<bool> has_memory;              ///< whether the node has memory that this process may use
};

/// vCPUs and memory that belong together on one host node.
struct PlacementGroup {
  std::size_t node = 0;
  std::vector<unsigned> vcpus{};
  std::uint64_t memory = 0;
};

/// Spreads vCPUs evenly over nodes: a core each while there are some, then a thread each, then by number of threads.
inline std::vector<unsigned> share_vcpus(HostSurvey const& survey, std::vector<std::size_t> const& nodes,
                                         unsigned vcpus) {
  std::vector<unsigned> shares(nodes.size());
  unsigned threads = 0;
  for (const std::size_t node : nodes) threads += survey.threads[node];
  const bool overcommitted = vcpus > threads;
  for (unsigned left = vcpus; left != 0; --left) {
    // The lowest rank takes the next one. Ranks compare as fractions: vCPUs, more than any when there is no core left.
    std::size_t best = 0;
    std::uint64_t best_rank = ~0ull;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const std::uint64_t share = shares[i], own = survey.cores[nodes[i]].size(), all = survey.threads[nodes[i]];
      std::uint64_t rank = overcommitted ? (share + 1) * 1'000'000 / all : share;
      if (!overcommitted && share >= own) rank += 1'000'000;
      if (!overcommitted && share >= all) continue;
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    ++shares[best];
  }
  return shares;
}

/// Divides memory among groups in proportion to their vCPUs, in whole pages of the largest kind that makes sense, and
/// moves what a node has no room for to one that has.
inline void share_memory(HostSurvey const& survey, std::vector<PlacementGroup>& groups,
                         PlacementRequest const& request) {
  std::uint64_t unit = request.page_size != 0 ? request.page_size : 2 * MiB;
  if (request.page_size == 0 && request.memory / unit < groups.size()) unit = 4 * KiB;
  const std::uint64_t units = request.memory / unit;
  std::uint64_t left = units;
  auto units_of = [&](PlacementGroup const& group) { return survey.memory[group.node] / unit; };
  std::vector<std::uint64_t> shares;
  for (PlacementGroup const& group : groups) {
    shares.push_back(units * group.vcpus.size() / request.vcpus);
    left -= shares.back();
  }
  for (std::size_t i = 0; left != 0; i = (i + 1) % shares.size(), --left) ++shares[i];
  for (std::size_t from = 0; from < groups.size(); ++from)
    for (std::size_t to = 0; to < groups.size(); ++to) {
      const std::uint64_t has = units_of(groups[from]), room = units_of(groups[to]);
      if (shares[from] <= has || shares[to] >= room) continue;
      const std::uint64_t excess = shares[from] - has, space = room - shares[to];
      const std::uint64_t moved = excess < space ? excess : space;
      shares[from] -= moved;
      shares[to] += moved;
    }
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i].memory = shares[i] * unit;
  groups.back().memory += request.memory % unit;
}

/// The nodes for `--pin auto --numa auto`.
inline std::vector<PlacementGroup> choose_groups(HostSurvey const& survey, PlacementRequest const& request) {
  using Prefer = PlacementPolicy::Prefer;
  std::vector<NodeRoom> by_core, by_thread;
  std::uint64_t cores = 0;
  std::vector<std::size_t> all;
  for (std::size_t n = 0; n < survey.host.nodes.size(); ++n) {
    const auto own = static_cast<unsigned>(survey.cores[n].size());
    by_core.push_back({own, survey.memory[n]});
    by_thread.push_back({survey.threads[n], survey.memory[n]});
    cores += own;
    if (own != 0) all.push_back(n);
  }
  const std::uint64_t memory = request.numa.kind == NumaOption::Kind::Off ? 0 : request.memory;
  const bool own_cores = request.policy.prefer == Prefer::OwnCores;
  std::vector<std::size_t> nodes = own_cores && cores >= request.vcpus
                                       ? choose_nodes(survey.host, by_core, request.vcpus, memory)
                                       : choose_nodes(survey.host, by_thread, request.vcpus, memory);
  // When there are fewer cores than vCPUs, all of them are used before any has two.
  if (own_cores && cores < request.vcpus && all.size() <= PlacementPlan::max_nodes) nodes = all;
  const std::vector<unsigned> shares = share_vcpus(survey, nodes, request.vcpus);
  std::vector<PlacementGroup> groups;
  unsigned vcpu = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (shares[i] == 0) continue;
    groups.push_back({.node = nodes[i]});
    for (unsigned k = 0; k < shares[i]; ++k) groups.back().vcpus.push_back(vcpu++);
  }
  share_memory(survey, groups, request);
  return groups;
}

/// The nodes on which the CPUs of `--pin LIST` are, the first vCPU's node first.
inline std::vector<PlacementGroup> groups_of_list(HostSurvey const& survey, PlacementRequest const& request) {
  std::vector<PlacementGroup> groups;
  for (unsigned vcpu = 0; vcpu < request.vcpus; ++vcpu) {
    const unsigned number = survey.host.cpu(request.pin.cpus[vcpu])->node;
    const auto node = static_cast<std::size_t>(survey.host.node(number) - survey.host.nodes.data());
    std::size_t at = 0;
    while (at < groups.size() && groups[at].node != node) ++at;
    if (at == groups.size()) groups.push_back({.node = node});
    groups[at].vcpus.push_back(vcpu);
  }
  share_memory(survey, groups, request);
  return groups;
}

using ErrorList = std::vector<Error>;

[[gnu::noinline]] inline void add_error(ErrorList& errors, ErrorCode code, std::string const& what,
                                        std::string const& hint) {
  errors.emplace_back();
  errors.back().code = code;
  errors.back().operation = what;
  errors.back().hint = hint;
}

/// What is wrong with the CPUs of `--pin LIST`.
inline void check_list(HostSurvey const& survey, AllowedHost const& allowed, PlacementRequest const& request,
                       ErrorList& errors) {
  CpuSet listed;
  for (const unsigned cpu : request.pin.cpus) listed.add(cpu);
  const CpuSet online = survey.host.online();
  auto bad = [&errors](ErrorCode code, CpuSet const& cpus, std::string const& what, std::string const& hint) {
    if (cpus.empty()) return;
    const bool one = cpus.count() == 1;
    add_error(
        errors, code,
        (one ? "pin vCPUs: host CPU " : "pin vCPUs: host CPUs ") + to_string(cpus) + (one ? " is " : " are ") + what,
        hint);
  };
  bad(ErrorCode::NotFound, listed - online, "not online; online are " + to_string(online),
      "list others, or bring them online (/sys/devices/system/cpu/cpuN/online)");
  bad(ErrorCode::PermissionDenied, (listed & online) - allowed.cpus,
      "outside of what this process may use, " + to_string(survey.usable),
      "list others, or widen the cgroup's cpuset.cpus or the affinity it is started with (taskset)");
  if (request.pin.cpus.size() < request.vcpus)
    add_error(errors, ErrorCode::InvalidArgument,
              "pin vCPUs: " + std::to_string(request.pin.cpus.size()) + " host CPUs are listed for " +
                  std::to_string(request.vcpus) + " vCPUs",
              "list at least one for each, or use fewer vCPUs");
}

/// The guest nodes of `--numa NODE:MEM:CPUS,...`.
inline std::vector<PlacementGroup> groups_of_option(HostSurvey const& survey, PlacementRequest const& request,
                                                    ErrorList& errors) {
  std::vector<PlacementGroup> groups;
  auto bad = [&errors](ErrorCode code, std::string const& what, std::string const& hint) {
    add_error(errors, code, "place NUMA nodes: " + what, hint);
  };
  CpuSet numbers, vcpus;
  for (HostNode const& node : survey.host.nodes) numbers.add(node.number);
  const std::uint64_t page = request.page_size != 0 ? request.page_size : 4 * KiB;
  std::uint64_t memory = 0;
  bool fits = true;
  for (NumaNodeOption const& wanted : request.numa.nodes) {
    vcpus = vcpus | wanted.vcpus;
    fits = fits && !__builtin_add_overflow(memory, wanted.memory, &memory);
    if (!is_aligned(wanted.memory, page))
      bad(ErrorCode::InvalidArgument,
          std::to_string(wanted.memory) + " bytes are not whole pages of " + std::to_string(page / KiB) + " KiB",
          "round each node's memory");
    HostNode const* node = survey.host.node(wanted.host_node);
    if (node == nullptr) {
      bad(ErrorCode::NotFound,
          "the host has no node " + std::to_string(wanted.host_node) + ", only " + to_string(numbers),
          "choose among these");
      continue;
    }
    const auto position = static_cast<std::size_t>(node - survey.host.nodes.data());
    if (!survey.has_memory[position])
      bad(ErrorCode::PermissionDenied,
          "there is no memory for this process on host node " + std::to_string(node->number),
          "choose another node, or widen the cgroup's cpuset.mems");
    // A node that is memory only is good enough where the kernel decides on the CPUs.
    const bool cpus_elsewhere =
        request.pin.kind == PinOption::Kind::List || (request.pin.kind == PinOption::Kind::None && node->cpus.empty());
    if (survey.threads[position] == 0 && !cpus_elsewhere)
      bad(ErrorCode::PermissionDenied, "this process may run on no CPU of host node " + std::to_string(node->number),
          "choose another node, or widen the cgroup's cpuset.cpus or the affinity it is started with (taskset)");
    groups.push_back({.node = position, .memory = wanted.memory});
    wanted.vcpus.for_each([&](unsigned vcpu) { groups.back().vcpus.push_back(vcpu); });
  }
  const CpuSet all = CpuSet::range(0, request.vcpus - 1);
  if (const CpuSet missing = all - vcpus; !missing.empty())
    bad(ErrorCode::InvalidArgument, "vCPUs " + to_string(missing) + " are on no node", "name every vCPU once");
  if (const CpuSet more = vcpus - all; !more.empty())
    bad(ErrorCode::InvalidArgument, "there are no vCPUs " + to_string(more),
        "the machine has " + std::to_string(request.vcpus));
  if (!fits || memory != request.memory)
    bad(ErrorCode::InvalidArgument,
        "the nodes have " + (fits ? size_option(memory) : std::string("too much")) + " of memory, the machine has " +
            size_option(request.memory),
        "make the nodes' memory add up to the machine's");
  return groups;
}

/// Which vCPUs and how much memory go to which node; no groups where nothing is to be placed. All that is wrong with
/// the request is one error.
inline Result<std::vector<PlacementGroup>> group_vcpus(HostSurvey const& survey, AllowedHost const& allowed,
                                                       PlacementRequest const& request) {
  if (request.vcpus == 0 || request.vcpus > PlacementPlan::max_vcpus)
    return failure(ErrorCode::OutOfRange, "place " + std::to_string(request.vcpus) + " vCPUs",
                   "1 to " + std::to_string(PlacementPlan::max_vcpus) + " can be placed");
  if (survey.usable.empty())
    return failure(
        ErrorCode::InvalidState,
        "place vCPUs: of the online host CPUs " + to_string(survey.host.online()) + " this process may use none",
        "widen the cgroup's cpuset.cpus or the affinity it is started with (taskset)");
  ErrorList errors;
  std::vector<PlacementGroup> groups;
  const bool list = request.pin.kind == PinOption::Kind::List;
  if (list) check_list(survey, allowed, request, errors);
  if (request.numa.kind == NumaOption::Kind::Nodes) groups = groups_of_option(survey, request, errors);
  if (!errors.empty()) return std::unexpected(combine(errors));
  if (request.numa.kind == NumaOption::Kind::Nodes || request.pin.kind == PinOption::Kind::None) return groups;
  groups = list ? groups_of_list(survey, request) : choose_groups(survey, request);
  if (groups.size() > PlacementPlan::max_nodes && request.numa.kind != NumaOption::Kind::Off)
    return failure(ErrorCode::OutOfRange, "pin vCPUs: the host CPUs are on " + std::to_string(groups.size()) + " nodes",
                   "list CPUs of at most " + std::to_string(PlacementPlan::max_nodes) + " nodes, or use --numa off");
  return groups;
}

}  // namespace detail

}  // namespace axvm::inline v1
