#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/acpi/acpi.hpp>
#include <axvm/host/host.hpp>
#include <axvm/memory/memory.hpp>
#include <axvm/observe/observe.hpp>
#include <axvm/placement/placement.hpp>

#include "recorded_host.hpp"

using namespace axvm;
using recorded::RecordedHost;

namespace {

const CpuSet everything = CpuSet::range(0, CpuSet::capacity - 1);

AllowedHost cpus(std::string_view list) { return {.cpus = CpuSet::parse(list).value(), .nodes = everything}; }

/// A request of `vcpus` with 1 GiB each; what else it has of is added by a test.
PlacementRequest of(unsigned vcpus, std::string_view pin = "auto", std::string_view numa = "auto") {
  return {.vcpus = vcpus,
          .memory = vcpus * GiB,
          .pin = PinOption::parse(pin).value(),
          .numa = NumaOption::parse(numa).value()};
}

PlacementPlan plan(HostTopology const& host, PlacementRequest const& request, AllowedHost const& allowed) {
  return plan_placement(host, allowed, request).value();
}
PlacementPlan plan(HostTopology const& host, PlacementRequest const& request) {
  return plan(host, request, {.cpus = everything, .nodes = everything});
}

/// "0,1,2" or "any": the host CPU of each vCPU in order.
std::string order(PlacementPlan const& plan) {
  std::string out;
  for (VcpuPlacement const& vcpu : plan.vcpus)
    out.append(out.empty() ? "" : ",").append(vcpu.cpu ? std::to_string(*vcpu.cpu) : "any");
  return out;
}
std::string ascending(unsigned first, unsigned last) {
  std::string out;
  for (unsigned i = first; i <= last; ++i) out.append(i == first ? "" : ",").append(std::to_string(i));
  return out;
}
/// "0:0-5:6G": host node, vCPUs and memory of each guest node, as --numa has them but for their order.
std::string nodes(PlacementPlan const& plan) {
  std::string out;
  for (unsigned i = 0; i < plan.nodes.size(); ++i) {
    GuestNodePlacement const& node = plan.nodes[i];
    CHECK(node.vcpus == plan.vcpus_of(i).count());
    out.append(out.empty() ? "" : " ").append(std::to_string(node.host_node)).append(":");
    out.append(to_string(plan.vcpus_of(i))).append(":").append(notation::size(node.memory));
  }
  return out;
}
std::string warnings(PlacementPlan const& plan) {
  std::string out;
  for (auto const& warning : plan.warnings) out.append(out.empty() ? "" : "; ").append(warning.view());
  return out;
}

Error refused(HostTopology const& host, PlacementRequest const& request, AllowedHost const& allowed) {
  const auto result = plan_placement(host, allowed, request);
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().hint.empty());
  return result.error();
}

/// What holds of every plan, whatever the host.
void check_sound(HostTopology const& host, AllowedHost const& allowed, PlacementRequest const& request,
                 PlacementPlan const& plan) {
  REQUIRE(plan.vcpus.size() == request.vcpus);
  CpuSet used;
  for (unsigned i = 0; i < plan.vcpus.size(); ++i) {
    VcpuPlacement const& vcpu = plan.vcpus[i];
    const CpuSet affinity = plan.affinity(i);
    CHECK((affinity - allowed.cpus).empty());
    if (vcpu.node && !plan.nodes.empty()) CHECK_FALSE(affinity.empty());
    if (!vcpu.cpu) continue;
    CHECK_FALSE(used.has(*vcpu.cpu));
    used.add(*vcpu.cpu);
    CHECK(host.cpu(*vcpu.cpu)->node == vcpu.node);
    CHECK(host.cpu(*vcpu.cpu)->package == vcpu.package);
  }
  CHECK_FALSE(plan.io_cpus.empty());
  CHECK((plan.io_cpus - (allowed.cpus & host.online())).empty());
  std::uint64_t memory = 0;
  unsigned vcpus = 0;
  for (GuestNodePlacement const& node : plan.nodes) {
    memory += node.memory;
    vcpus += node.vcpus;
  }
  if (!plan.nodes.empty()) {
    CHECK(memory == request.memory);
    CHECK(vcpus == request.vcpus);
    CHECK(plan.distances.size() == plan.nodes.size() * plan.nodes.size());
  }
  for (unsigned i = 1; i < plan.vcpus.size(); ++i)  // consecutive on their node
    CHECK(plan.vcpus[i].guest_node >= plan.vcpus[i - 1].guest_node);
  if (plan.threads_per_core == 2)
    for (unsigned i = 0; i < plan.vcpus.size(); i += 2)
      CHECK(host.cpu(*plan.vcpus[i].cpu)->core == host.cpu(*plan.vcpus[i + 1].cpu)->core);
}

}  // namespace

TEST_CASE("plan: two sockets, a core for each vCPU on as few nodes as have them") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementPlan p = plan(host, of(1));
  CHECK(order(p) == "0");
  CHECK(nodes(p) == "0:0:1 GiB");
  CHECK(p.nodes[0].binding == MemoryBinding::Strict);
  CHECK_FALSE(p.guest_has_nodes());
  CHECK(p.io_cpus.list() == "1-9,21-29");

  p = plan(host, of(4));
  CHECK(order(p) == "0,1,2,3");
  CHECK(p.io_cpus.list() == "4-9,24-29");

  p = plan(host, of(10));
  CHECK(order(p) == ascending(0, 9));
  CHECK(nodes(p) == "0:0-9:10 GiB");
  CHECK(p.io_cpus.list() == "20-29");  // siblings, but on the node
  CHECK(warnings(p) == "");

  p = plan(host, of(12));
  CHECK(order(p) == "0,1,2,3,4,5,10,11,12,13,14,15");
  CHECK(nodes(p) == "0:0-5:6 GiB 1:6-11:6 GiB");
  CHECK(p.io_cpus.list() == "6-9,16-19,26-29,36-39");
  CHECK(p.guest_has_nodes());
  CHECK(p.vcpus[11].core == 8);
  CHECK(p.vcpus[11].package == 1);

  p = plan(host, of(20));
  CHECK(order(p) == ascending(0, 19));
  CHECK(nodes(p) == "0:0-9:10 GiB 1:10-19:10 GiB");
  CHECK(p.threads_per_core == 1);
  CHECK(p.io_cpus.list() == "20-39");
  CHECK(warnings(p) == "");
  CHECK(std::vector<std::uint8_t>(p.distances.begin(), p.distances.end()) == std::vector<std::uint8_t>{10, 21, 21, 10});

  p = plan(host, of(40));
  CHECK(order(p).starts_with("0,20,1,21,2,22,"));
  CHECK(order(p).ends_with(",18,38,19,39"));
  CHECK(nodes(p) == "0:0-19:20 GiB 1:20-39:20 GiB");
  CHECK(p.threads_per_core == 2);
  CHECK(p.io_cpus.list() == "0-39");
  CHECK(warnings(p) == "the vCPUs use every host CPU there is; I/O threads share theirs");
}

TEST_CASE("plan: siblings that are no exact pairs are not shown, and told of") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementPlan p = plan(host, of(22));
  CHECK(order(p) == ascending(0, 9) + ",20," + ascending(10, 19) + ",30");
  CHECK(p.threads_per_core == 1);
  CHECK(warnings(p) == "4 of 22 vCPUs share a core with another one, which the guest does not see");
  PlacementRequest hidden = of(40);
  hidden.policy.show_threads = false;
  p = plan(host, hidden);
  CHECK(p.threads_per_core == 1);
  CHECK(order(p) == ascending(0, 9) + "," + ascending(20, 29) + "," + ascending(10, 19) + "," + ascending(30, 39));
  CHECK(warnings(p).starts_with("40 of 40 vCPUs share a core"));
}

TEST_CASE("plan: a policy may prefer few nodes to own cores") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementRequest request = of(12);
  request.policy.prefer = PlacementPolicy::Prefer::FewNodes;
  PlacementPlan p = plan(host, request);
  CHECK(order(p) == ascending(0, 9) + ",20,21");
  CHECK(nodes(p) == "0:0-11:12 GiB");
  request.vcpus = 20;
  p = plan(host, request);
  CHECK(p.threads_per_core == 2);
  CHECK(order(p).starts_with("0,20,1,21,"));
  CHECK(p.io_cpus.list() == "10-19,30-39");
  CHECK(warnings(p) == "the vCPUs use every host CPU of their nodes; I/O threads run on other nodes");
}

TEST_CASE("plan: one socket, up to more vCPUs than it has CPUs") {
  const HostTopology host = RecordedHost(recorded::one_socket).topology();
  PlacementPlan p = plan(host, of(4));
  CHECK(order(p) == "0,1,2,3");
  CHECK(p.nodes[0].binding == MemoryBinding::None);  // there is no other memory
  CHECK(plan(host, of(1)).io_cpus.list() == "1-9,11-19");
  CHECK(order(plan(host, of(10))) == ascending(0, 9));
  p = plan(host, of(12));
  CHECK(order(p) == ascending(0, 11));
  CHECK(warnings(p) == "4 of 12 vCPUs share a core with another one, which the guest does not see");
  CHECK(p.io_cpus.list() == "12-19");
  p = plan(host, of(20));
  CHECK(p.threads_per_core == 2);
  CHECK(order(p).starts_with("0,10,1,11,"));
  p = plan(host, of(40));
  CHECK_FALSE(p.pinned());
  CHECK(p.threads_per_core == 1);
  CHECK(warnings(p) == "40 vCPUs share 20 host CPUs of node 0 and are not pinned");
  CHECK(p.io_cpus == CpuSet::range(0, 19));
}

TEST_CASE("plan: four nodes, near caches first") {
  const HostTopology host = RecordedHost(recorded::epyc).topology();
  CHECK(order(plan(host, of(4))) == "0,1,2,3");
  PlacementPlan p = plan(host, of(10));
  CHECK(nodes(p) == "0:0-4:5 GiB 1:5-9:5 GiB");
  CHECK(order(p) == "0,1,2,3,4,8,9,10,11,12");
  p = plan(host, of(20));
  CHECK(nodes(p) == "0:0-6:7 GiB 1:7-13:7 GiB 2:14-19:6 GiB");
  p = plan(host, of(40));
  CHECK(p.nodes.size() == 4);
  CHECK(p.nodes[3].vcpus == 10);
  CHECK(p.threads_per_core == 1);
  CHECK(warnings(p).starts_with("16 of 40 vCPUs share a core"));
  CHECK(plan(host, of(64)).threads_per_core == 2);
}

TEST_CASE("plan: vCPUs share a cache where its CPUs are not numbered in a row") {
  const RecordedHost recorded(recorded::epyc);
  for (unsigned i = 0; i < 8; ++i)
    for (const unsigned cpu : {i, 32 + i})
      recorded.put("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index2/shared_cpu_list",
                   i % 2 == 0 ? "0,2,4,6,32,34,36,38" : "1,3,5,7,33,35,37,39");
  CHECK(order(plan(recorded.topology(), of(4))) == "0,2,4,6");
}

TEST_CASE("plan: of two nodes near ones are taken") {
  auto shape = recorded::epyc;
  const RecordedHost recorded(shape);
  recorded.put(RecordedHost::node_folder(0) + "/distance", "10 30 30 12");
  recorded.put(RecordedHost::node_folder(3) + "/distance", "12 30 30 10");
  CHECK(nodes(plan(recorded.topology(), of(12))) == "0:0-5:6 GiB 3:6-11:6 GiB");
}

TEST_CASE("plan: offline CPUs and cpusets are honoured") {
  auto shape = recorded::two_sockets;
  shape.offline = "0-4,20-24";
  HostTopology host = RecordedHost(shape).topology();
  CHECK(order(plan(host, of(4))) == "5,6,7,8");
  CHECK(order(plan(host, of(6))) == "10,11,12,13,14,15");
  CHECK(order(plan(host, of(10))) == ascending(10, 19));
  CHECK(order(plan(host, of(12))) == "5,6,7,8,9,10,11,12,13,14,15,16");

  host = RecordedHost(recorded::two_sockets).topology();
  PlacementPlan p = plan(host, of(4), cpus("3-8"));
  CHECK(order(p) == "3,4,5,6");
  CHECK(p.io_cpus.list() == "7-8");
  p = plan(host, of(4), cpus("5,25,6,26"));
  CHECK(order(p) == "5,25,6,26");
  CHECK(p.threads_per_core == 2);
  p = plan(host, of(4), cpus("5,25,6"));
  CHECK_FALSE(p.pinned());
  CHECK(p.vcpus[0].node == 0);
  CHECK(p.affinity(0).list() == "5-6,25");
  p = plan(host, of(1), cpus("12"));
  CHECK(order(p) == "12");
  CHECK(nodes(p) == "1:0:1 GiB");
}

TEST_CASE("plan: memory decides on nodes, and what does not fit is told") {
  const RecordedHost recorded(recorded::two_sockets);  // 48 GiB available on each
  const HostTopology host = recorded.topology();
  PlacementRequest request = of(4);
  request.memory = 60 * GiB;
  PlacementPlan p = plan(host, request);
  CHECK(nodes(p) == "0:0-1:30 GiB 1:2-3:30 GiB");
  CHECK(warnings(p) == "");
  request.vcpus = 1;
  p = plan(host, request);
  CHECK(nodes(p) == "0:0:60 GiB");
  CHECK(p.nodes[0].binding == MemoryBinding::Preferred);
  CHECK(warnings(p) == "61440 MiB of guest memory do not fit on node 0, which has 49152 MiB available");
  recorded.memory(0, 64 * GiB, 2 * GiB, 2 * GiB);
  request = of(12);
  p = plan(recorded.topology(), request);
  CHECK(nodes(p) == "0:0-5:4 GiB 1:6-11:8 GiB");
  CHECK(warnings(p) == "");
  CHECK(order(plan(recorded.topology(), of(6))) == "10,11,12,13,14,15");
}

TEST_CASE("plan: memory from pools of huge pages is where the pages are, in whole pages") {
  const RecordedHost recorded(recorded::two_sockets);
  recorded.pool(1, "1048576", 16, 9);
  PlacementRequest request = of(9);
  request.page_size = GiB;
  PlacementPlan p = plan(recorded.topology(), request);
  CHECK(nodes(p) == "1:0-8:9 GiB");
  recorded.pool(0, "1048576", 16, 9);
  request = of(12);
  request.page_size = GiB;
  request.memory = 13 * GiB;
  CHECK(nodes(plan(recorded.topology(), request)) == "0:0-5:7 GiB 1:6-11:6 GiB");
  request.page_size = 2 * MiB;
  CHECK(warnings(plan(recorded.topology(), request)).find("0 MiB in free huge pages") != std::string::npos);
}

TEST_CASE("plan: small and odd amounts of memory are divided without loss") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  for (const std::uint64_t memory : {1 * MiB, 3 * MiB, 128 * MiB, 129 * MiB + 4 * KiB, 8 * KiB}) {
    PlacementRequest request = of(20);
    request.memory = memory;
    const PlacementPlan p = plan(host, request);
    CAPTURE(memory);
    CHECK(p.nodes[0].memory + p.nodes[1].memory == memory);
    CHECK(p.nodes[0].memory != 0);
    CHECK(p.nodes[1].memory % (4 * KiB) == 0);
  }
}

TEST_CASE("plan: nodes without memory, or with memory that is not allowed") {
  const RecordedHost recorded(recorded::two_sockets);
  AllowedHost allowed{.cpus = everything, .nodes = CpuSet::range(1, 1)};
  PlacementPlan p = plan(recorded.topology(), of(4), allowed);
  CHECK(order(p) == "10,11,12,13");
  allowed.cpus = CpuSet::range(0, 9);
  p = plan(recorded.topology(), of(4), allowed);
  CHECK(p.nodes[0].binding == MemoryBinding::None);
  CHECK(warnings(p) == "node 0 has no memory that this process may use; guest memory is not bound");
  for (unsigned node = 0; node < 2; ++node) recorded.remove(RecordedHost::node_folder(node) + "/meminfo");
  CHECK(warnings(plan(recorded.topology(), of(4))) == "");  // unknown is not none
}

TEST_CASE("plan: --numa off has no nodes, and pins all the same") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  const PlacementPlan p = plan(host, of(12, "auto", "off"));
  CHECK(p.nodes.empty());
  CHECK(p.distances.empty());
  CHECK(order(p) == "0,1,2,3,4,5,10,11,12,13,14,15");
}

TEST_CASE("plan: --pin none leaves all to the kernel but what --numa names") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementPlan p = plan(host, of(50, "none"), cpus("0-19"));
  CHECK_FALSE(p.pinned());
  CHECK(p.nodes.empty());
  CHECK(p.io_cpus.list() == "0-19");
  CHECK(warnings(p) == "");
  CHECK(p.affinity(7).empty());
  p = plan(host, of(4, "none", "1:3G:0-2,0:1G:3"));
  CHECK(nodes(p) == "1:0-2:3 GiB 0:3:1 GiB");
  CHECK(p.affinity(0).list() == "10-19,30-39");
  CHECK_FALSE(p.pinned());
}

TEST_CASE("plan: --pin LIST is taken as written") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementPlan p = plan(host, of(4, "13,3,23,12"));
  CHECK(order(p) == "13,3,23,12");
  CHECK(nodes(p) == "1:0,3:2 GiB 0:1-2:2 GiB");
  CHECK(p.threads_per_core == 1);
  CHECK(warnings(p) == "2 of 4 vCPUs share a core with another one, which the guest does not see");
  p = plan(host, of(4, "3,23,12,32,5-6"));
  CHECK(p.threads_per_core == 2);
  CHECK(p.io_cpus.list() == "5-6");
  CHECK(warnings(p) == "");
}

TEST_CASE("plan: a list with CPUs that cannot be had is refused with all of them") {
  auto shape = recorded::two_sockets;
  shape.offline = "7";
  const HostTopology host = RecordedHost(shape).topology();
  Error error = refused(host, of(2, "1,12"), cpus("0-9"));
  CHECK(error.code == ErrorCode::PermissionDenied);
  CHECK(error.operation == "pin vCPUs: host CPU 12 is outside of what this process may use, 0-6,8-9");
  CHECK(error.hint.view().find("cpuset.cpus") != std::string_view::npos);
  error = refused(host, of(2, "1,7,99"), cpus("0-39"));
  CHECK(error.code == ErrorCode::NotFound);
  CHECK(error.operation == "pin vCPUs: host CPUs 7,99 are not online; online are 0-6,8-39");
  error = refused(host, of(4, "0-2"), cpus("0-39"));
  CHECK(error.operation == "pin vCPUs: 3 host CPUs are listed for 4 vCPUs");
  const auto all = plan_placement(host, cpus("0-9"), of(9, "7,12"));
  REQUIRE_FALSE(all);
  CHECK(all.error().operation.view().starts_with("3 problems:"));
}

TEST_CASE("plan: --numa with nodes is taken as written, several on one host node too") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementPlan p = plan(host, of(4, "auto", "1:1G:0-1,1:3G:2-3"));
  CHECK(order(p) == "10,11,12,13");
  CHECK(nodes(p) == "1:0-1:1 GiB 1:2-3:3 GiB");
  CHECK(p.distances[1] == 11);  // a SLIT has 10 for a node and itself only
  p = plan(host, of(4, "auto", "0:2G:1,3,1:2G:0,2"));
  CHECK(order(p) == "10,0,11,1");
  p = plan(host, of(2, "0,1", "1:2G:0-1"));
  CHECK(warnings(p) == "the host CPUs of these vCPUs are not on the nodes that have their memory: 0-1");
}

TEST_CASE("plan: a node that is memory only has memory for vCPUs that run elsewhere") {
  const RecordedHost recorded(recorded::two_sockets);
  recorded.put(RecordedHost::node_folder(1) + "/cpulist", "");
  const HostTopology host = recorded.topology();
  for (std::string_view pin : {"none", "0,1"}) {
    const PlacementPlan p = plan(host, of(2, pin, "0:1G:0,1:1G:1"));
    CHECK(order(p) == (pin == "none" ? "any,any" : "0,1"));
    CHECK(nodes(p) == "0:0:1 GiB 1:1:1 GiB");
    CHECK(p.nodes[1].binding == MemoryBinding::Strict);
    CHECK(p.affinity(1).empty() == (pin == "none"));
  }
  CHECK(refused(host, of(2, "auto", "0:1G:0,1:1G:1"), {.cpus = everything, .nodes = everything}).operation ==
        "place NUMA nodes: this process may run on no CPU of host node 1");
  // Not so where it has CPUs that are forbidden: nobody asked for other ones.
  CHECK(refused(RecordedHost(recorded::two_sockets).topology(), of(2, "none", "0:1G:0,1:1G:1"), cpus("0-9")).code ==
        ErrorCode::PermissionDenied);
}

TEST_CASE("plan: --numa with nodes that cannot be is refused") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  const AllowedHost all{.cpus = everything, .nodes = everything};
  CHECK(refused(host, of(2, "auto", "2:2G:0-1"), all).operation ==
        "place NUMA nodes: the host has no node 2, only 0-1");
  CHECK(refused(host, of(3, "auto", "0:3G:0,2"), all).operation == "place NUMA nodes: vCPUs 1 are on no node");
  CHECK(refused(host, of(1, "auto", "0:1G:0-3"), all).operation == "place NUMA nodes: there are no vCPUs 1-3");
  CHECK(refused(host, of(2, "auto", "0:1G:0,1:512M:1"), all).operation ==
        "place NUMA nodes: the nodes have 1536M of memory, the machine has 2G");
  CHECK(refused(host, of(2, "auto", "0:2G:0-1"), cpus("10-19")).operation ==
        "place NUMA nodes: this process may run on no CPU of host node 0");
  CHECK(refused(host, of(2, "auto", "0:2G:0-1"), {.cpus = everything, .nodes = CpuSet::range(1, 1)}).code ==
        ErrorCode::PermissionDenied);
  const auto odd = plan_placement(host, all, of(1, "auto", "0:5000:0"));
  REQUIRE_FALSE(odd);
  CHECK(odd.error().operation.view().find("5000 bytes are not whole pages of 4 KiB") != std::string_view::npos);
}

TEST_CASE("plan: no vCPUs, too many, no CPU to run on") {
  const HostTopology host = RecordedHost(recorded::one_socket).topology();
  CHECK(refused(host, of(0), cpus("0-9")).code == ErrorCode::OutOfRange);
  CHECK(refused(host, of(256), cpus("0-9")).code == ErrorCode::OutOfRange);
  CHECK(plan(host, of(255)).vcpus.size() == 255);
  CHECK(refused(host, of(1), cpus("100")).code == ErrorCode::InvalidState);
}

TEST_CASE("plan: what holds of every plan holds on every host for every number of vCPUs") {
  auto offline = recorded::two_sockets, flat = recorded::one_socket, single = recorded::two_sockets;
  offline.offline = "1,3,22,35-39";
  flat.node_directory = false;
  single.threads = 1;
  for (auto const& shape : {recorded::two_sockets, recorded::one_socket, recorded::epyc, offline, flat, single}) {
    const HostTopology host = RecordedHost(shape).topology();
    for (std::string_view list : {"0-8191", "0-7", "2,5-6,12,15,17,19-22"}) {
      for (const unsigned vcpus :
           {1u, 2u, 3u, 4u, 5u, 7u, 8u, 9u, 10u, 11u, 12u, 16u, 19u, 20u, 21u, 24u, 39u, 40u, 41u, 64u, 70u})
        for (const auto prefer : {PlacementPolicy::Prefer::OwnCores, PlacementPolicy::Prefer::FewNodes}) {
          PlacementRequest request = of(vcpus);
          request.policy.prefer = prefer;
          const AllowedHost allowed = cpus(list);
          const PlacementPlan p = plan(host, request, allowed);
          check_sound(host, allowed, request, p);
          CHECK(p.pinned() == (vcpus <= (allowed.cpus & host.online()).count()));
        }
    }
  }
}

TEST_CASE("plan: nodes' memory across the hole below 4 GiB, and what ACPI says of it") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  PlacementRequest request = of(12);
  request.memory = 8 * GiB;
  const PlacementPlan p = plan(host, request);
  const Mapping mapping(::mmap(nullptr, 9 * GiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                        9 * GiB);
  const GuestRegion regions[] = {{0, 3 * GiB, mapping.data()}, {4 * GiB, 5 * GiB, mapping.data() + 4 * GiB}};
  std::vector<acpi::NodeMemory> memory;
  std::vector<std::byte*> at;
  for_each_node_memory(p, regions, [&](std::size_t node, GuestRegion const& part) {
    memory.push_back({static_cast<std::uint32_t>(node), part.base, part.size});
    at.push_back(part.host);
  });
  REQUIRE(memory.size() == 3);
  CHECK(memory[0].base == 0);
  CHECK(memory[0].size == 3 * GiB);
  CHECK(memory[1].proximity_domain == 0);
  CHECK(memory[1].base == 4 * GiB);
  CHECK(memory[1].size == GiB);
  CHECK(memory[2].proximity_domain == 1);
  CHECK(memory[2].base == 5 * GiB);
  CHECK(memory[2].size == 4 * GiB);
  CHECK(at[2] == mapping.data() + 5 * GiB);

  std::vector<acpi::Processor> processors;
  for (unsigned i = 0; i < p.vcpus.size(); ++i) processors.push_back({i, p.vcpus[i].guest_node});
  acpi::Platform platform;
  platform.processors = processors;
  platform.pm1a_event = 0x600;
  platform.pm1a_control = 0x604;
  platform.nodes = static_cast<std::uint32_t>(p.nodes.size());
  platform.memory = memory;
  platform.distances = p.distances.span();
  CHECK(acpi::check(platform).has_value());
}

TEST_CASE("plan: as a person and as a program read it") {
  const HostTopology host = RecordedHost(recorded::two_sockets).topology();
  CHECK(plan_text(plan(host, of(2, "3,12,13"))) ==
        "2 vCPUs, each on a host CPU of its own, 2 NUMA nodes\n\n"
        "vCPU  Host CPU  Core  Socket  Node  Guest node\n"
        "----  --------  ----  ------  ----  ----------\n"
        "0     3         3     0       0     0\n"
        "1     12        2     1       1     1\n\n"
        "Guest node  vCPUs  Memory  Host node  Bound\n"
        "----------  -----  ------  ---------  ------\n"
        "0           0      1 GiB   0          strict\n"
        "1           1      1 GiB   1          strict\n\n"
        "I/O threads: host CPUs 13\n");
  CHECK(plan_text(plan(host, of(2, "none"))) ==
        "2 vCPUs, not pinned\n\n"
        "vCPU  Host CPU  Core  Socket  Node  Guest node\n"
        "----  --------  ----  ------  ----  ----------\n"
        "0     any                     any\n"
        "1     any                     any\n\n"
        "I/O threads: host CPUs 0-39\n");
  const std::string crowded = plan_text(plan(host, of(41)));
  CHECK(crowded.find("\nwarning: 21 vCPUs share 20 host CPUs of node 0 and are not pinned\n") != std::string::npos);
  JsonWriter json;
  plan_json(json, plan(host, of(1, "none")));
  CHECK(json.str() ==
        "{\n  \"threads_per_core\": 1,\n  \"vcpus\": [\n    {\n      \"cpu\": null,\n      \"core\": null,\n"
        "      \"package\": null,\n      \"node\": null,\n      \"guest_node\": null\n    }\n  ],\n  \"nodes\": [],\n"
        "  \"distances\": [],\n  \"io_cpus\": [\n" +
            [] {
              std::string cpus;
              for (unsigned i = 0; i < 40; ++i) cpus += "    " + std::to_string(i) + (i < 39 ? ",\n" : "\n");
              return cpus;
            }() +
            "  ],\n  \"warnings\": []\n}\n");
}

TEST_CASE("affinity: a thread goes where it is told, or the error says why not") {
  const CpuSet before = current_affinity().value();
  const CpuSet one = CpuSet::range(before.first(), before.first());
  REQUIRE(set_affinity(::pthread_self(), "vCPU 0", one));
  CHECK(current_affinity().value() == one);
  CHECK(::sched_getcpu() == static_cast<int>(one.first()));
  REQUIRE(set_affinity(::pthread_self(), "vCPU 0", before));
  CHECK(current_affinity().value() == before);
  const auto none = set_affinity(::pthread_self(), "vCPU 3", CpuSet::range(8000, 8001));
  REQUIRE_FALSE(none);
  CHECK(none.error().operation == "run vCPU 3 on host CPUs 8000-8001");
  CHECK(none.error().os_error == EINVAL);
  CHECK_FALSE(none.error().hint.empty());
  CHECK(current_affinity().value() == before);
}

TEST_CASE("memory: a range is bound to a node that is there, and to no other") {
  constexpr std::size_t size = 1 << 20;
  const Mapping mapping(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), size);
  const std::span<std::byte> memory(mapping.data(), size);
  const auto host = read_topology();
  const auto mine = allowed_host();
  unsigned node = 0;
  if (host && mine)
    while (node < 1024 && (host->node(node) == nullptr || !mine->nodes.has(node))) ++node;
  const auto bound = bind_memory(memory, node, MemoryBinding::Strict);
  if (!bound && bound.error().code != ErrorCode::InvalidArgument) {
    MESSAGE(std::string(bound.error().operation.view()), ": ", std::string(bound.error().hint.view()));
    return;
  }
  REQUIRE(bound);
  auto mode_of = [&] {
    int mode = -1;
    CHECK(::syscall(SYS_get_mempolicy, &mode, nullptr, 0, memory.data(), MPOL_F_ADDR) == 0);
    return mode;
  };
  CHECK(mode_of() == MPOL_BIND);
  memory[0] = std::byte{1};
  CHECK(bind_memory(memory, node, MemoryBinding::Preferred));
  CHECK(mode_of() == MPOL_PREFERRED);
  CHECK(bind_memory(memory, node, MemoryBinding::None));
  CHECK(mode_of() == MPOL_DEFAULT);
  const auto nowhere = bind_memory(memory, 1000, MemoryBinding::Strict);
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().operation == "bind 1 MiB of memory to host node 1000");
  CHECK(nowhere.error().os_error == EINVAL);
  CHECK(nowhere.error().hint.view().find("--numa") != std::string_view::npos);
  CHECK(bind_memory(memory, 100'000, MemoryBinding::Strict).error().code == ErrorCode::OutOfRange);
  CHECK(bind_memory(memory.subspan(1), node, MemoryBinding::Strict).error().os_error == EINVAL);
}

TEST_CASE("real time: a priority outside of the range is refused, a missing right is named") {
  for (const int priority : {0, -1, 100})
    CHECK(make_realtime(::pthread_self(), "vCPU 0", priority).error().code == ErrorCode::OutOfRange);
  const pid_t child = scratch::start_child([] {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_RTPRIO, &none);
    if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(3);
    const auto result = make_realtime(::pthread_self(), "vCPU 0", 10);
    if (result) ::_exit(1);
    const bool named = result.error().code == ErrorCode::PermissionDenied &&
                       result.error().hint.view().find("CAP_SYS_NICE") != std::string_view::npos &&
                       result.error().hint.view().find("ulimit -r is 0") != std::string_view::npos;
    ::_exit(named ? 0 : 2);
  });
  CHECK(scratch::exited_with(scratch::end_of(child), 0));
}
