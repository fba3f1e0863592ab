#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <axvm/core/placement_plan.hpp>
#include <axvm/placement/topology.hpp>

namespace axvm::inline v1 {

/// What a host node has to offer to one machine.
struct NodeRoom {
  unsigned cpus = 0;         ///< vCPUs that it takes
  std::uint64_t memory = 0;  ///< bytes
};

/// The nodes (as indices into host.nodes, upwards) on which so many vCPUs and so much memory fit: as few as possible,
/// and among those, near ones. `rooms` has one entry for each of host.nodes. Where nothing has room for all, as many
/// as leave the least over. At most one node for each vCPU and PlacementPlan::max_nodes; none when no node has CPUs.
[[nodiscard]] inline std::vector<std::size_t> choose_nodes(HostTopology const& host, std::span<const NodeRoom> rooms,
                                                           unsigned vcpus, std::uint64_t memory) {
  const std::size_t most = vcpus < PlacementPlan::max_nodes ? vcpus : PlacementPlan::max_nodes;
  std::uint64_t best[4] = {~0ull, 0, 0, 0};  // what is missing of CPUs, of memory, nodes, distance: less is better
  std::vector<std::size_t> chosen, order;
  for (std::size_t seed = 0; seed < rooms.size(); ++seed) {
    if (rooms[seed].cpus == 0) continue;
    auto distance = [&](std::size_t node) { return node == seed ? 0u : host.nodes[seed].distances[node]; };
    // From every node its neighbours are tried twice: the nearest first, and the roomiest first.
    for (const bool nearest_first : {true, false}) {
      auto before = [&](std::size_t a, std::size_t b) {
        if ((a == seed) != (b == seed)) return a == seed;
        if (nearest_first && distance(a) != distance(b)) return distance(a) < distance(b);
        if (rooms[a].cpus != rooms[b].cpus) return rooms[a].cpus > rooms[b].cpus;
        return distance(a) < distance(b);
      };
      order.clear();
      for (std::size_t node = 0; node < rooms.size(); ++node) {
        if (rooms[node].cpus == 0) continue;
        std::size_t at = order.size();
        order.push_back(node);
        for (; at != 0 && before(node, order[at - 1]); --at) order[at] = order[at - 1];
        order[at] = node;
      }
      std::uint64_t cost[4] = {vcpus, memory, 0, 0};
      for (std::size_t i = 0; i < order.size() && i < most; ++i) {
        NodeRoom const& room = rooms[order[i]];
        cost[0] -= cost[0] < room.cpus ? cost[0] : room.cpus;
        cost[1] -= cost[1] < room.memory ? cost[1] : room.memory;
        cost[2] = i + 1;
        cost[3] += distance(order[i]);
        std::size_t k = 0;
        while (k < 3 && cost[k] == best[k]) ++k;
        if (cost[k] >= best[k]) continue;
        for (k = 0; k < 4; ++k) best[k] = cost[k];
        chosen = order;
        chosen.resize(i + 1);
      }
    }
  }
  order.clear();  // upwards
  for (std::size_t node = 0; node < rooms.size(); ++node)
    for (const std::size_t one : chosen)
      if (one == node) order.push_back(node);
  return order;
}

}  // namespace axvm::inline v1
