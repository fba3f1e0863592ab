#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/host/host.hpp>

#include "scratch.hpp"

/// Hosts as sysfs shows them, written into a scratch directory from a short description. Numbers of sockets, cores,
/// threads and caches are those that the makers of the processors publish. Amounts of memory and distances are made up
/// (10, 16 and 21 are of the size that firmware gives).
namespace recorded {

/// A machine of equal nodes.
struct Shape {
  unsigned packages = 1;
  unsigned nodes_per_package = 1;
  unsigned cores_per_node = 1;
  unsigned threads = 1;
  unsigned cores_per_l3 = 1;  ///< divides cores_per_node
  std::uint64_t memory_per_node = 64ull << 30;
  unsigned near = 16, far = 21;   ///< distances within a package and between packages
  std::string_view offline = "";  ///< a list
  bool node_directory = true;
};

// Intel Xeon E5-2680 v2: 10 cores, 20 threads, 25 MB of third-level cache for all of them (ark.intel.com). The CPUs of
// the nodes, 0-9,20-29 and 10-19,30-39, and the core ids 0-4 and 8-12 are those of a published lscpu of two E5-2660 v2,
// which have as many cores (https://faichou.com/posts/lscpu/).
inline constexpr Shape two_sockets{.packages = 2, .cores_per_node = 10, .threads = 2, .cores_per_l3 = 10};
inline constexpr Shape one_socket{.packages = 1, .cores_per_node = 10, .threads = 2, .cores_per_l3 = 10};
// Like an AMD EPYC 7551P: 32 cores, 64 threads, 64 MB of third-level cache (amd.com); four dies, each of them a node
// of two complexes, each of four cores with a cache of 8 MB. Numbered as Linux does: one thread of each core first.
inline constexpr Shape epyc{.packages = 1,
                            .nodes_per_package = 4,
                            .cores_per_node = 8,
                            .threads = 2,
                            .cores_per_l3 = 4,
                            .memory_per_node = 16ull << 30};

class RecordedHost {
 public:
  explicit RecordedHost(Shape const& shape) {
    const unsigned nodes = shape.packages * shape.nodes_per_package, cores = nodes * shape.cores_per_node;
    const unsigned all = cores * shape.threads;
    online = axvm::CpuSet::range(0, all - 1) - *axvm::CpuSet::parse(shape.offline);
    put("sys/devices/system/cpu/online", text(online));
    online.for_each([&](unsigned number) {
      const unsigned core = number % cores, node = core / shape.cores_per_node, in_node = core % shape.cores_per_node;
      const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(number);
      put(folder + "/topology/physical_package_id", std::to_string(node / shape.nodes_per_package));
      put(folder + "/topology/die_id", "0");
      const unsigned id = in_node + (shape.nodes_per_package > 1 ? node * shape.cores_per_node : in_node < 5 ? 0 : 3);
      put(folder + "/topology/core_id", std::to_string(id));
      put(folder + "/topology/thread_siblings_list", text(threads_of(shape, cores, core, 1)));
      put(folder + "/cache/index0/level", "1");
      put(folder + "/cache/index1/level", "2");
      put(folder + "/cache/index2/level", "3");
      const unsigned first = core / shape.cores_per_l3 * shape.cores_per_l3;
      put(folder + "/cache/index2/shared_cpu_list", text(threads_of(shape, cores, first, shape.cores_per_l3)));
    });
    put("proc/meminfo", "MemTotal:       67108864 kB\nMemFree:        33554432 kB\nMemAvailable:   50331648 kB\n");
    put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "7");
    put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "5");
    if (!shape.node_directory) return;
    put("sys/devices/system/node/online", text(axvm::CpuSet::range(0, nodes - 1)));
    for (unsigned node = 0; node < nodes; ++node) {
      const std::string folder = node_folder(node);
      put(folder + "/cpulist", text(threads_of(shape, cores, node * shape.cores_per_node, shape.cores_per_node)));
      memory(node, shape.memory_per_node, shape.memory_per_node / 2, shape.memory_per_node / 4);
      pool(node, "2048", 0, 0);
      pool(node, "1048576", 0, 0);
      std::string distances;
      for (unsigned other = 0; other < nodes; ++other) {
        const bool same_package = node / shape.nodes_per_package == other / shape.nodes_per_package;
        distances += std::to_string(node == other ? 10 : same_package ? shape.near : shape.far) + " ";
      }
      distances.pop_back();
      put(folder + "/distance", distances);
    }
  }

  void memory(unsigned node, std::uint64_t total, std::uint64_t free, std::uint64_t files) const {
    const std::string name = "Node " + std::to_string(node) + " ";
    auto line = [&](std::string_view what, std::uint64_t bytes) {
      return name + std::string(what) + ":       " + std::to_string(bytes >> 10) + " kB\n";
    };
    put(node_folder(node) + "/meminfo", line("MemTotal", total) + line("MemFree", free) + line("Active(anon)", 4096) +
                                            line("Active(file)", files / 2) + line("Inactive(file)", files / 2) + name +
                                            "HugePages_Total:     3");
  }
  void pool(unsigned node, std::string const& size, unsigned total, unsigned free) const {
    put(node_folder(node) + "/hugepages/hugepages-" + size + "kB/nr_hugepages", std::to_string(total));
    put(node_folder(node) + "/hugepages/hugepages-" + size + "kB/free_hugepages", std::to_string(free));
  }
  static std::string node_folder(unsigned node) { return "sys/devices/system/node/node" + std::to_string(node); }

  /// Writes a file of the host, with a newline behind it.
  void put(std::string const& file, std::string const& contents) const {
    const std::filesystem::path path = directory_.name(file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << contents << "\n";
  }
  void remove(std::string const& file) const { std::filesystem::remove_all(directory_.name(file)); }

  [[nodiscard]] axvm::Result<axvm::HostTopology> read() const { return axvm::read_topology(paths()); }
  [[nodiscard]] axvm::HostTopology topology() const { return read().value(); }
  /// Valid while the host lives.
  [[nodiscard]] axvm::HostPaths paths() const { return {.sys = sys_, .proc = proc_}; }

  axvm::CpuSet online;

 private:
  static std::string text(axvm::CpuSet const& set) { return axvm::to_string(set); }

  [[nodiscard]] axvm::CpuSet threads_of(Shape const& shape, unsigned cores, unsigned first, unsigned count) const {
    axvm::CpuSet set;
    for (unsigned thread = 0; thread < shape.threads; ++thread)
      set = set | axvm::CpuSet::range(first + thread * cores, first + thread * cores + count - 1);
    return set & online;
  }

  scratch::Directory directory_;
  std::string sys_ = directory_.name("sys"), proc_ = directory_.name("proc");
};

}  // namespace recorded
