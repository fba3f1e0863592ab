#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <axvm/core/cpu_set.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>
#include <axvm/placement/kernel_files.hpp>

namespace axvm::inline v1 {

/// A logical processor of the host that is online.
struct HostCpu {
  unsigned number = 0;   ///< as the kernel counts
  unsigned package = 0;  ///< its socket; 0 where the kernel does not know
  unsigned die = 0;
  unsigned core_id = 0;          ///< the kernel's number of its core, unique within package and die
  unsigned core = 0;             ///< the least CPU number of its core: CPUs with the same one are SMT siblings
  unsigned node = 0;             ///< the number of its NUMA node
  std::optional<unsigned> l3{};  ///< the least CPU number that shares its third-level cache; nothing when unknown
};

/// The huge pages of one size that an administrator set aside.
struct HugePagePool {
  std::uint64_t total = 0;  ///< pages
  std::uint64_t free = 0;   ///< pages nobody uses or has reserved a place for on this node
};

/// A NUMA node of the host. A host without NUMA has one node, 0.
struct HostNode {
  unsigned number = 0;
  CpuSet cpus{};                       ///< online ones; none on a node that is memory alone
  std::uint64_t memory_total = 0;      ///< bytes; 0 when unknown or none
  std::uint64_t memory_free = 0;       ///< bytes in no use at all
  std::uint64_t memory_available = 0;  ///< bytes free, or of files' contents that the kernel can read again
  HugePagePool huge_2m{}, huge_1g{};
  std::vector<unsigned> distances{};  ///< to each of HostTopology::nodes, 10 meaning local
};

/// The host's processors and memory. A plain value: read once, or written down in a test.
struct HostTopology {
  std::vector<HostCpu> cpus;    ///< those online, numbers upwards
  std::vector<HostNode> nodes;  ///< those online, numbers upwards; at least one

  /// The CPU of this number, or null when there is none online.
  [[nodiscard]] HostCpu const* cpu(unsigned number) const {
    for (HostCpu const& one : cpus)
      if (one.number == number) return &one;
    return nullptr;
  }
  /// The node of this number, or null when there is none.
  [[nodiscard]] HostNode const* node(unsigned number) const {
    for (HostNode const& one : nodes)
      if (one.number == number) return &one;
    return nullptr;
  }
  [[nodiscard]] CpuSet online() const {
    CpuSet set;
    for (HostCpu const& one : cpus) set.add(one.number);
    return set;
  }
};

namespace detail {

/// Reads the topology files; see read_topology().
class TopologyReader {
 public:
  explicit TopologyReader(HostPaths const& paths)
      : proc_(paths.proc),
        sys_(paths.sys),
        cpus_(sys_ + "/devices/system/cpu"),
        nodes_(sys_ + "/devices/system/node") {}

  Result<HostTopology> read() {
    HostTopology host;
    const auto online = files_.set(cpus_ + "/online");
    if (files_.error()) return std::unexpected(*files_.error());
    if (!online || online->empty())
      return failure(ErrorCode::NotFound, text<1023>("read the host's topology: ", cpus_, "/online names no CPU"),
                     "mount sysfs there; --pin none and --numa off do without it");
    online->for_each([&](unsigned number) { host.cpus.push_back(read_cpu(number)); });
    const auto nodes = files_.set(nodes_ + "/online");
    if (nodes && nodes->count() > most_nodes)
      files_.refuse(nodes_ + "/online", text<511>("it names ", nodes->count(), " nodes"));
    else if (nodes && !nodes->empty()) read_nodes(host, *nodes, *online);
    else host.nodes.push_back(only_node(*online));
    if (files_.error()) return std::unexpected(*files_.error());
    return host;
  }

 private:
  static constexpr unsigned most_nodes = 1024;  // MAX_NUMNODES on x86, CONFIG_NODES_SHIFT at its limit

  HostCpu read_cpu(unsigned number) {
    const std::string folder = cpus_ + "/cpu" + std::to_string(number), topology = folder + "/topology/";
    HostCpu cpu{.number = number, .core = number};
    auto small = [this](std::string const& path, unsigned otherwise) {
      const auto value = files_.number(path);
      if (value && *value > ~0u) files_.refuse(path, "it is too large");
      return value ? static_cast<unsigned>(*value) : otherwise;
    };
    cpu.package = small(topology + "physical_package_id", 0);
    cpu.die = small(topology + "die_id", 0);
    cpu.core_id = small(topology + "core_id", number);
    // core_cpus_list is what older kernels call thread_siblings_list.
    for (char const* name : {"core_cpus_list", "thread_siblings_list"}) {
      const auto siblings = files_.set(topology + name);
      if (!siblings) continue;
      if (!siblings->has(number)) files_.refuse(topology + name, "the CPU itself is not in it");
      cpu.core = siblings->first();
      break;
    }
    for (unsigned index = 0; index < 10; ++index) {
      const std::string cache = folder + "/cache/index" + std::to_string(index);
      const auto level = files_.number(cache + "/level");
      if (!level) break;
      if (*level != 3) continue;
      if (const auto sharing = files_.set(cache + "/shared_cpu_list"); sharing && !sharing->empty())
        cpu.l3 = sharing->first();
    }
    return cpu;
  }

  void read_nodes(HostTopology& host, CpuSet const& numbers, CpuSet const& online) {
    CpuSet placed;
    numbers.for_each([&](unsigned number) {
      const std::string folder = nodes_ + "/node" + std::to_string(number);
      HostNode node{.number = number};
      node.cpus = files_.set(folder + "/cpulist").value_or(CpuSet{}) & online;
      if (!(node.cpus & placed).empty()) files_.refuse(folder + "/cpulist", "another node has the same CPUs");
      placed = placed | node.cpus;
      read_memory(node, folder + "/meminfo");
      read_pools(node, folder + "/hugepages");
      read_distances(node, folder + "/distance", numbers);
      host.nodes.push_back(std::move(node));
    });
    // What no node has counts as the first one's, where the kernel, too, would look for its memory first.
    host.nodes.front().cpus = host.nodes.front().cpus | (online - placed);
    for (HostNode const& node : host.nodes)
      for (HostCpu& cpu : host.cpus)
        if (node.cpus.has(cpu.number)) cpu.node = node.number;
  }

  HostNode only_node(CpuSet const& online) {
    HostNode node{.cpus = online, .distances = {10}};
    read_memory(node, proc_ + "/meminfo");
    read_pools(node, sys_ + "/kernel/mm/hugepages");
    return node;
  }

  /// Lines such as "Node 0 MemFree:  1234 kB" of a node, "MemFree:  1234 kB" of the host.
  void read_memory(HostNode& node, std::string const& path) {
    const auto contents = files_.text(path);
    if (!contents) return;
    std::string_view rest = *contents;
    while (!rest.empty()) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : rest.size());
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      const std::size_t space = line.rfind(' ', colon);
      const std::string_view name = line.substr(space + 1, colon - space - 1);  // npos + 1 is 0
      const bool total = name == "MemTotal", free = name == "MemFree";
      if (!total && !free && name != "Active(file)" && name != "Inactive(file)") continue;
      line.remove_prefix(colon + 1);
      while (line.starts_with(' ')) line.remove_prefix(1);
      std::uint64_t kib = 0;
      if (!KernelFiles::take_number(line, kib) || line != " kB" || kib > ~0ull >> 14)
        return files_.refuse(path, text<511>(name, " has no size in kB"));
      if (total) node.memory_total = kib * KiB;
      else node.memory_available += kib * KiB;
      if (free) node.memory_free = kib * KiB;
    }
  }

  void read_pools(HostNode& node, std::string const& folder) {
    auto pool = [&](char const* size) {
      const std::string path = folder + "/hugepages-" + size + "kB/";
      return HugePagePool{files_.number(path + "nr_hugepages").value_or(0),
                          files_.number(path + "free_hugepages").value_or(0)};
    };
    node.huge_2m = pool("2048");
    node.huge_1g = pool("1048576");
  }

  void read_distances(HostNode& node, std::string const& path, CpuSet const& nodes) {
    const auto contents = files_.text(path);
    std::string_view rest = contents ? std::string_view(*contents) : std::string_view();
    nodes.for_each([&](unsigned other) {
      std::uint64_t distance = node.number == other ? 10 : 20;
      if (contents &&
          (!KernelFiles::take_number(rest, distance) || distance > 255 || (!rest.empty() && rest[0] != ' ')))
        files_.refuse(path, text<511>("it has not one distance for each of ", nodes.count(), " nodes"));
      if (!rest.empty()) rest.remove_prefix(1);
      node.distances.push_back(static_cast<unsigned>(distance));
    });
    if (!rest.empty()) files_.refuse(path, text<511>("it has more distances than there are nodes, ", nodes.count()));
  }

  KernelFiles files_;
  std::string proc_, sys_, cpus_, nodes_;
};

}  // namespace detail

/// Reads the host's processors, NUMA nodes, memory and pools of huge pages from sysfs (Linux,
/// Documentation/ABI/stable/sysfs-devices-system-cpu and sysfs-devices-node). What the kernel does not show takes a
/// default: a CPU without topology has a core of its own, a host without NUMA nodes has one. Errors: no list of online
/// CPUs; a file that makes no sense, by name.
[[nodiscard]] inline Result<HostTopology> read_topology(HostPaths const& paths = {}) {
  return detail::TopologyReader(paths).read();
}

}  // namespace axvm::inline v1
