#include <sched.h>

#include <string>

#include <doctest/doctest.h>

#include <axvm/host/host.hpp>
#include <axvm/placement/placement.hpp>

#include "recorded_host.hpp"

using namespace axvm;
using recorded::RecordedHost;

namespace {

std::string cpu_folder(unsigned number) { return "sys/devices/system/cpu/cpu" + std::to_string(number); }

/// The error of a host that cannot be read, which must name the file.
std::string broken(RecordedHost const& host, std::string const& file) {
  const auto read = host.read();
  if (read) return "read";
  if (read.error().operation.view().find("/" + file + ": ") == std::string_view::npos)
    return std::string(read.error().operation.view());
  return "named";
}

AllowedHost allowed(RecordedHost const& host, std::string_view affinity) {
  return allowed_host(CpuSet::parse(affinity).value(), host.paths()).value();
}

}  // namespace

TEST_CASE("topology: two sockets of ten cores with two threads each") {
  const RecordedHost recorded(recorded::two_sockets);
  const HostTopology host = recorded.topology();
  REQUIRE(host.cpus.size() == 40);
  REQUIRE(host.nodes.size() == 2);
  CHECK(host.online() == CpuSet::range(0, 39));
  CHECK(host.nodes[0].cpus.list() == "0-9,20-29");
  CHECK(host.nodes[1].cpus.list() == "10-19,30-39");
  CHECK(host.nodes[0].distances == std::vector<unsigned>{10, 21});
  CHECK(host.nodes[1].distances == std::vector<unsigned>{21, 10});
  CHECK(host.nodes[1].memory_total == 64 * GiB);
  CHECK(host.nodes[1].memory_free == 32 * GiB);
  CHECK(host.nodes[1].memory_available == 48 * GiB);
  for (unsigned i = 0; i < 40; ++i) {
    CAPTURE(i);
    HostCpu const& cpu = host.cpus[i];
    CHECK(cpu.number == i);
    CHECK(cpu.core == i % 20);
    CHECK(cpu.package == i % 20 / 10);
    CHECK(cpu.node == i % 20 / 10);
    CHECK(cpu.l3 == i % 20 / 10 * 10);
    CHECK(host.cpu(i) == &cpu);
  }
  CHECK(host.cpus[35].core_id == 8);
  CHECK(host.cpu(40) == nullptr);
  CHECK(host.node(1) == &host.nodes[1]);
  CHECK(host.node(2) == nullptr);
}

TEST_CASE("topology: one processor of four nodes with two third-level caches each") {
  const HostTopology host = RecordedHost(recorded::epyc).topology();
  REQUIRE(host.cpus.size() == 64);
  REQUIRE(host.nodes.size() == 4);
  CHECK(host.nodes[3].cpus.list() == "24-31,56-63");
  CHECK(host.nodes[2].distances == std::vector<unsigned>{16, 16, 10, 16});
  CHECK(host.cpu(45)->l3 == 12);
  CHECK(host.cpu(45)->core == 13);
  CHECK(host.cpu(45)->package == 0);
  CHECK(host.cpu(45)->node == 1);
}

TEST_CASE("topology: pools of huge pages, node by node") {
  const RecordedHost recorded(recorded::two_sockets);
  recorded.pool(1, "2048", 512, 500);
  recorded.pool(0, "1048576", 8, 2);
  const HostTopology host = recorded.topology();
  CHECK(host.nodes[0].huge_2m.total == 0);
  CHECK(host.nodes[1].huge_2m.total == 512);
  CHECK(host.nodes[1].huge_2m.free == 500);
  CHECK(host.nodes[0].huge_1g.total == 8);
  CHECK(host.nodes[0].huge_1g.free == 2);
  CHECK(host.nodes[1].huge_1g.free == 0);
}

TEST_CASE("topology: CPUs that are offline are not there, and their siblings are alone") {
  auto shape = recorded::two_sockets;
  shape.offline = "0,25,30-39";
  const HostTopology host = RecordedHost(shape).topology();
  CHECK(host.online().list() == "1-24,26-29");
  CHECK(host.nodes[0].cpus.list() == "1-9,20-24,26-29");
  CHECK(host.nodes[1].cpus.list() == "10-19");
  CHECK(host.cpu(0) == nullptr);
  CHECK(host.cpu(20)->core == 20);  // its sibling 0 is offline
  CHECK(host.cpu(20)->l3 == 1);
  CHECK(host.cpu(21)->core == 1);
}

TEST_CASE("topology: without a directory of nodes there is one, with the host's memory") {
  auto shape = recorded::one_socket;
  shape.node_directory = false;
  const HostTopology host = RecordedHost(shape).topology();
  REQUIRE(host.nodes.size() == 1);
  CHECK(host.nodes[0].number == 0);
  CHECK(host.nodes[0].cpus == CpuSet::range(0, 19));
  CHECK(host.nodes[0].memory_total == 64 * GiB);
  CHECK(host.nodes[0].memory_free == 32 * GiB);
  CHECK(host.nodes[0].distances == std::vector<unsigned>{10});
  CHECK(host.nodes[0].huge_2m.total == 7);
  CHECK(host.nodes[0].huge_2m.free == 5);
}

TEST_CASE("topology: what is not shown takes a default") {
  const RecordedHost recorded(recorded::two_sockets);
  for (unsigned i = 0; i < 40; ++i) {
    recorded.remove(cpu_folder(i) + "/topology");
    recorded.remove(cpu_folder(i) + "/cache");
  }
  for (unsigned node = 0; node < 2; ++node)
    for (char const* file : {"/meminfo", "/distance", "/hugepages"})
      recorded.remove(RecordedHost::node_folder(node) + file);
  const HostTopology host = recorded.topology();
  for (HostCpu const& cpu : host.cpus) {
    CHECK(cpu.core == cpu.number);
    CHECK_FALSE(cpu.l3.has_value());
  }
  CHECK(host.nodes[1].memory_total == 0);
  CHECK(host.nodes[1].distances == std::vector<unsigned>{20, 10});
}

TEST_CASE("topology: a package the kernel does not know, a CPU without node, a node without CPUs") {
  const RecordedHost recorded(recorded::two_sockets);
  recorded.put(cpu_folder(3) + "/topology/physical_package_id", "-1");
  recorded.put(cpu_folder(3) + "/topology/core_cpus_list", "3,23");
  recorded.put(RecordedHost::node_folder(1) + "/cpulist", "");
  const HostTopology host = recorded.topology();
  CHECK(host.cpu(3)->package == 0);
  CHECK(host.cpu(3)->core == 3);
  CHECK(host.cpu(15)->node == 0);
  CHECK(host.nodes[0].cpus == CpuSet::range(0, 39));
  CHECK(host.nodes[1].cpus.empty());
}

TEST_CASE("topology: files that make no sense are an error that names them") {
  struct Break {
    std::string file, contents;
  };
  const Break breaks[] = {
      {"devices/system/cpu/online", "0-3,zzz"},
      {"devices/system/cpu/online", "0-4294967295"},
      {"devices/system/cpu/cpu1/topology/core_id", "seven"},
      {"devices/system/cpu/cpu1/topology/core_id", "99999999999999999999999"},
      {"devices/system/cpu/cpu1/topology/physical_package_id", "4294967296"},
      {"devices/system/cpu/cpu1/topology/thread_siblings_list", "0,2"},
      {"devices/system/cpu/cpu1/topology/thread_siblings_list", "1-"},
      {"devices/system/cpu/cpu1/cache/index2/shared_cpu_list", "9-0"},
      {"devices/system/node/online", "0-5000"},
      {"devices/system/node/online", "nodes"},
      {"devices/system/node/node1/cpulist", "0-9"},
      {"devices/system/node/node0/distance", "10"},
      {"devices/system/node/node0/distance", "10 21 21"},
      {"devices/system/node/node0/distance", "10 far"},
      {"devices/system/node/node0/distance", "10 256"},
      {"devices/system/node/node0/meminfo", "Node 0 MemTotal: lots kB"},
      {"devices/system/node/node0/meminfo", "Node 0 MemFree: 18446744073709551615 kB"},
      {"devices/system/node/node0/meminfo", std::string(70'000, 'x')},
  };
  for (auto const& [file, contents] : breaks) {
    CAPTURE(file);
    CAPTURE(contents.substr(0, 40));
    const RecordedHost host(recorded::two_sockets);
    host.put("sys/" + file, contents);
    CHECK(broken(host, file) == "named");
    CHECK_FALSE(host.read().error().hint.empty());
  }
}

TEST_CASE("topology: no list of online CPUs is an error") {
  const RecordedHost host(recorded::one_socket);
  host.remove("sys/devices/system/cpu/online");
  REQUIRE_FALSE(host.read());
  CHECK(host.read().error().code == ErrorCode::NotFound);
  host.put("sys/devices/system/cpu/online", "");
  CHECK_FALSE(host.read());
}

TEST_CASE("topology: this machine's own can be read, and this process is allowed some of it") {
  const auto host = read_topology();
  if (!host) {
    MESSAGE(std::string(host.error().operation.view()));
    return;
  }
  REQUIRE_FALSE(host->nodes.empty());
  const auto mine = allowed_host();
  REQUIRE(mine);
  CHECK_FALSE((mine->cpus & host->online()).empty());
  CHECK(host->cpu(static_cast<unsigned>(::sched_getcpu())) != nullptr);
}

TEST_CASE("allowed: without cgroups it is the affinity, and any node") {
  const RecordedHost host(recorded::two_sockets);
  CHECK(allowed(host, "3-5,40").cpus.list() == "3-5,40");
  CHECK(allowed(host, "3-5").nodes.has(1));
}

TEST_CASE("allowed: version 2, the cgroup itself or the nearest one above it that has limits") {
  const RecordedHost host(recorded::two_sockets);
  host.put("proc/self/cgroup", "0::/system.slice/vm.scope");
  host.put("sys/fs/cgroup/cpuset.cpus.effective", "0-39");
  host.put("sys/fs/cgroup/system.slice/cpuset.cpus.effective", "0-9,20-29");
  host.put("sys/fs/cgroup/system.slice/cpuset.mems.effective", "0");
  CHECK(allowed(host, "5-15").cpus.list() == "5-9");
  CHECK(allowed(host, "5-15").nodes.list() == "0");
  host.put("sys/fs/cgroup/system.slice/vm.scope/cpuset.cpus.effective", "7");
  CHECK(allowed(host, "5-15").cpus.list() == "7");
  host.put("proc/self/cgroup", "0::/../elsewhere");
  CHECK(allowed(host, "5-15").cpus.list() == "5-15");
}

TEST_CASE("allowed: version 1, beside other controllers") {
  const RecordedHost host(recorded::two_sockets);
  host.put("proc/self/cgroup", "9:memory:/a\n3:cpu,cpuset:/vm\n1:name=systemd:/x:y\n0::/");
  host.put("sys/fs/cgroup/cpuset/vm/cpuset.cpus", "");
  host.put("sys/fs/cgroup/cpuset/cpuset.cpus", "0-3");
  host.put("sys/fs/cgroup/cpuset/vm/cpuset.mems", "1");
  CHECK(allowed(host, "0-39").cpus.list() == "0-3");
  CHECK(allowed(host, "0-39").nodes.list() == "1");
  host.put("sys/fs/cgroup/cpuset/vm/cpuset.effective_cpus", "2");
  CHECK(allowed(host, "0-39").cpus.list() == "2");
}

TEST_CASE("allowed: the kernel's own word on memory nodes counts") {
  const RecordedHost host(recorded::two_sockets);
  host.put("proc/self/status", "Name:\tx\nMems_allowed:\t2\nMems_allowed_list:\t1\nvoluntary_ctxt_switches:\t9");
  CHECK(allowed(host, "0-39").nodes.list() == "1");
}

TEST_CASE("allowed: nothing left, and a cpuset that makes no sense, are errors") {
  const RecordedHost host(recorded::two_sockets);
  host.put("proc/self/cgroup", "0::/vm");
  host.put("sys/fs/cgroup/vm/cpuset.cpus.effective", "0-3");
  auto none = allowed_host(CpuSet::range(8, 9), host.paths());
  REQUIRE_FALSE(none);
  CHECK(none.error().operation == "find CPUs to run on: of CPUs 8-9 the cpuset allows none");
  CHECK_FALSE(none.error().hint.empty());
  host.put("sys/fs/cgroup/vm/cpuset.cpus.effective", "0-3-5");
  none = allowed_host(CpuSet::range(0, 9), host.paths());
  REQUIRE_FALSE(none);
  CHECK(none.error().operation.view().find("cpuset.cpus.effective: '0-3-5'") != std::string_view::npos);
}
