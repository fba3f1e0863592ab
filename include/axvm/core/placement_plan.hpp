#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <axvm/core/bounded_list.hpp>
#include <axvm/core/cpu_set.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// What a CPU profile wants of the host when there is a choice.
struct PlacementPolicy {
  enum class Prefer : std::uint8_t {
    OwnCores,  ///< a core for every vCPU, on more NUMA nodes if it must be
    FewNodes,  ///< as few NUMA nodes as have enough hardware threads, vCPUs sharing cores if they must
  };
  Prefer prefer = Prefer::OwnCores;
  bool show_threads = true;  ///< the guest sees threads of a core where its vCPUs are exactly that

  friend constexpr bool operator==(PlacementPolicy const&, PlacementPolicy const&) = default;
};

/// How firmly memory is tied to its host node.
enum class MemoryBinding : std::uint8_t {
  None,       ///< the kernel's own policy: the node has no memory for us, or the host has one node only
  Preferred,  ///< from the node while it has some, then from elsewhere
  Strict,     ///< from the node alone
};

/// The name of a binding as a person reads it.
constexpr std::string_view name_of(MemoryBinding binding) {
  constexpr std::string_view names[] = {"none", "preferred", "strict"};
  return names[static_cast<std::size_t>(binding)];
}

/// Where a vCPU's thread runs.
struct VcpuPlacement {
  std::optional<unsigned> cpu{};   ///< the one host CPU it is pinned to
  std::optional<unsigned> node{};  ///< the host node it stays on; without `cpu`: on any allowed CPU of that node
  unsigned core = 0;               ///< with `cpu`: the number that the host gives its core, unique within the package
  unsigned package = 0;            ///< with `cpu`: the host's number of its package (socket)
  unsigned guest_node = 0;         ///< index into PlacementPlan::nodes, where there are any
};

/// A NUMA node of the guest.
struct GuestNodePlacement {
  unsigned host_node = 0;    ///< the host's number of the node that it lies on
  unsigned vcpus = 0;        ///< how many vCPUs name it
  std::uint64_t memory = 0;  ///< bytes of guest RAM, in the order of addresses: node 0 has the lowest
  MemoryBinding binding = MemoryBinding::None;
  CpuSet cpus{};  ///< the host CPUs of that node that may be used
};

/// Which host CPUs and which memory a machine uses: the outcome of planning, for a person to read and a program to
/// apply.
struct PlacementPlan {
  static constexpr std::size_t max_vcpus = 255, max_nodes = 32;

  BoundedList<VcpuPlacement, max_vcpus> vcpus;  ///< one for each vCPU of the machine
  /// The guest's NUMA nodes; none when nothing is known or wanted of NUMA. A single one is for binding memory, and of
  /// no use to the guest.
  BoundedList<GuestNodePlacement, max_nodes> nodes;
  /// nodes * nodes relative distances, row by row, as a SLIT has them: 10 from a node to itself, more otherwise.
  BoundedList<std::uint8_t, max_nodes * max_nodes> distances;
  CpuSet io_cpus;                 ///< where the threads of back-end I/O run
  unsigned threads_per_core = 1;  ///< 2: vCPUs 2n and 2n+1 are threads of one core, and the guest may know
  /// What the user should know; complete sentences without a full stop.
  BoundedList<Text<255>, 8> warnings;

  /// Whether each vCPU has a host CPU.
  [[nodiscard]] constexpr bool pinned() const {
    for (VcpuPlacement const& vcpu : vcpus)
      if (!vcpu.cpu) return false;
    return true;
  }
  /// Whether the guest is to be shown NUMA nodes.
  [[nodiscard]] constexpr bool guest_has_nodes() const { return nodes.size() > 1; }
  /// The host CPUs that the thread of a vCPU may run on; empty: any.
  [[nodiscard]] constexpr CpuSet affinity(unsigned vcpu) const {
    VcpuPlacement const& placed = vcpus[vcpu];
    if (placed.cpu) return CpuSet::range(*placed.cpu, *placed.cpu);
    return nodes.empty() || !placed.node ? CpuSet{} : nodes[placed.guest_node].cpus;
  }
  /// The vCPUs of a guest node.
  [[nodiscard]] constexpr CpuSet vcpus_of(unsigned guest_node) const {
    CpuSet set;
    for (unsigned i = 0; i < vcpus.size(); ++i)
      if (!nodes.empty() && vcpus[i].guest_node == guest_node) set.add(i);
    return set;
  }
};

/// Calls `visit(node, part)` for each stretch of RAM that belongs to one guest node, in the order of addresses; `node`
/// is an index into plan.nodes, `part` a GuestRegion cut out of `regions`, which are the machine's RAM in the order of
/// addresses. For binding memory (part.host, part.size) and for the SRAT (part.base, part.size).
template <class Visit>
constexpr void for_each_node_memory(PlacementPlan const& plan, std::span<const GuestRegion> regions, Visit&& visit) {
  std::size_t node = 0;
  std::uint64_t left = plan.nodes.empty() ? 0 : plan.nodes[0].memory;
  for (GuestRegion region : regions) {
    while (region.size != 0) {
      while (left == 0 && node + 1 < plan.nodes.size()) left = plan.nodes[++node].memory;
      if (left == 0) return;
      const std::uint64_t size = left < region.size ? left : region.size;
      visit(node, GuestRegion{region.base, size, region.host});
      region = {region.base + size, region.size - size, region.host + size};
      left -= size;
    }
  }
}

}  // namespace axvm::inline v1
