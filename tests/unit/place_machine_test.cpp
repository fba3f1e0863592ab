#include <pthread.h>
#include <sched.h>

#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/placement/placement.hpp>

// What becomes of a plan when a machine is placed by it.

using namespace axvm;

namespace {

CpuSet affinity_of_this_thread() {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  REQUIRE(::pthread_getaffinity_np(::pthread_self(), sizeof mine, &mine) == 0);
  CpuSet set;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mine)) set.add(cpu);
  return set;
}

/// Notes where the thread of the vCPU that triple-faults may run, and how urgent it is.
struct Where {
  Action handle(auto&) {
    affinity = affinity_of_this_thread();
    policy = ::sched_getscheduler(0);
    return Action::Stop;
  }
  CpuSet affinity;
  int policy = -1;
};

using M = Machine<Portable, Devices<>, Handlers<OnShutdown<Where>>, fake::Fake>;

Result<M> make(M::Config const& config = {.memory = 4 * MiB}) {
  return M::create(config, Host{}, fake::Fake({fake::exit(ExitReason::Shutdown)}));
}
Result<EntryState> nothing(boot::Context const&) { return EntryState{}; }

/// Two guest nodes on host node 0, unpinned.
PlacementPlan two_nodes(unsigned vcpus) {
  PlacementPlan plan;
  for (unsigned i = 0; i < vcpus; ++i) plan.vcpus.add({.guest_node = i < vcpus / 2 ? 0u : 1u});
  plan.nodes.add({.host_node = 0, .vcpus = vcpus / 2, .memory = 1 * MiB});
  plan.nodes.add({.host_node = 0, .vcpus = vcpus - vcpus / 2, .memory = 3 * MiB});
  for (const unsigned distance : {10u, 21u, 21u, 10u}) plan.distances.add(static_cast<std::uint8_t>(distance));
  return plan;
}

/// The ACPI table with this signature in a machine's memory, or an empty text.
std::string table(M& machine, std::string_view signature) {
  const AddressMap map = Portable::address_map;
  std::string all(map.acpi_tables_size, '\0');
  std::memcpy(all.data(), machine.memory().at(map.acpi_tables, map.acpi_tables_size), all.size());
  for (std::size_t at = 0; at + 8 < all.size(); at += 4) {
    if (all.compare(at, 4, signature) != 0) continue;
    std::uint32_t size = 0;
    std::memcpy(&size, &all[at + 4], sizeof size);
    if (size >= 36 && size <= all.size() - at) return all.substr(at, size);
  }
  return {};
}

}  // namespace

TEST_CASE("place: the thread of a vCPU runs on its host CPU") {
  const CpuSet allowed = affinity_of_this_thread();
  allowed.for_each([](unsigned cpu) {
    PlacementPlan plan;
    plan.vcpus.add({.cpu = cpu});
    plan.io_cpus = CpuSet::range(cpu, cpu);
    auto machine = make();
    REQUIRE(machine);
    REQUIRE(machine->place(plan));
    REQUIRE(machine->load(nothing));
    CHECK(*machine->run() == End::Finished);
    CHECK(machine->handler<Where>().affinity == CpuSet::range(cpu, cpu));
  });
}

TEST_CASE("place: without a plan a vCPU runs where this process does") {
  auto machine = make();
  REQUIRE(machine->load(nothing));
  REQUIRE(machine->run());
  CHECK(machine->handler<Where>().affinity == affinity_of_this_thread());
  CHECK(machine->handler<Where>().policy == SCHED_OTHER);
}

TEST_CASE("place: a vCPU that is only tied to a node runs on the CPUs of that node") {
  const unsigned cpu = affinity_of_this_thread().first();
  PlacementPlan plan;
  plan.vcpus.add({.node = 0, .guest_node = 0});
  plan.nodes.add({.host_node = 0, .vcpus = 1, .memory = 4 * MiB, .cpus = CpuSet::range(cpu, cpu)});
  plan.distances.add(10);
  auto machine = make();
  REQUIRE(machine->place(plan));
  REQUIRE(machine->load(nothing));
  REQUIRE(machine->run());
  CHECK(machine->handler<Where>().affinity == CpuSet::range(cpu, cpu));
  CHECK(table(*machine, "SRAT").empty());  // one node is of no use to a guest
}

TEST_CASE("place: a host CPU that is not there ends the run with an error that says so") {
  PlacementPlan plan;
  plan.vcpus.add({.cpu = CpuSet::capacity - 1});
  auto machine = make();
  REQUIRE(machine->place(plan));
  REQUIRE(machine->load(nothing));
  const auto end = machine->run();
  REQUIRE(!end);
  CHECK(describe(end.error()).find("run vCPU 0 on host CPUs 8191") != std::string::npos);
  CHECK(machine->state() == MachineState::Failed);

  PlacementPlan io;
  io.vcpus.add({});
  io.io_cpus = CpuSet::range(CpuSet::capacity - 1, CpuSet::capacity - 1);
  auto other = make();
  REQUIRE(other->place(io));
  REQUIRE(other->load(nothing));
  const auto other_end = other->run();
  REQUIRE(!other_end);
  CHECK(describe(other_end.error()).find("run the I/O thread on host CPUs 8191") != std::string::npos);
}

TEST_CASE("place: only between create and load, and only by a plan for as many vCPUs") {
  auto machine = make();
  const auto wrong = machine->place(two_nodes(2));
  REQUIRE(!wrong);
  CHECK(describe(wrong.error()).find("place a machine of 1 vCPUs by a plan for 2") != std::string::npos);
  REQUIRE(machine->load(nothing));
  PlacementPlan plan;
  plan.vcpus.add({});
  const auto late = machine->place(plan);
  REQUIRE(!late);
  CHECK(late.error().code == ErrorCode::InvalidState);
}

TEST_CASE("place: a guest with nodes has tables of them and a package for each") {
  auto machine = M::create({.memory = 4 * MiB, .vcpus = 6}, Host{}, fake::Fake());
  const auto recorder = [&] {
    fake::Fake hypervisor;
    auto shared = hypervisor.share_recorder();
    machine = M::create({.memory = 4 * MiB, .vcpus = 6}, Host{}, std::move(hypervisor));
    return shared;
  }();
  REQUIRE(machine);
  REQUIRE(machine->place(two_nodes(6)));
  REQUIRE(machine->load(nothing));

  // Six processors of 16 bytes, two stretches of memory of 40.
  const std::string srat = table(*machine, "SRAT");
  REQUIRE(srat.size() == 48 + 6 * 16 + 2 * 40);
  constexpr unsigned ids[] = {0, 1, 2, 4, 5, 6};
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(static_cast<unsigned char>(srat[48 + 16 * i + 2]) == (i < 3 ? 0 : 1));
    CHECK(static_cast<unsigned char>(srat[48 + 16 * i + 3]) == ids[i]);
  }
  const std::string slit = table(*machine, "SLIT");
  REQUIRE(slit.size() == 44 + 4);
  CHECK(slit.substr(44) == std::string("\x0a\x15\x15\x0a", 4));
  const std::string madt = table(*machine, "APIC");
  for (std::size_t i = 0; i < 6; ++i) CHECK(static_cast<unsigned char>(madt[44 + 8 * i + 3]) == ids[i]);

  REQUIRE(recorder->cpuid.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    CpuidTable cpuid = recorder->cpuid[i];
    REQUIRE(cpuid.find(0xb, 1) != nullptr);
    CHECK(cpuid.find(0xb, 1)->edx == ids[i]);
    CHECK(cpuid.find(0xb, 1)->ebx == 3);  // in this package
    CHECK(cpuid.find(0xb, 1)->eax == 2);  // bits of an id within a package
  }
}

TEST_CASE("place: memory that is bound to a node that there is not is an error before the guest runs") {
  PlacementPlan plan = two_nodes(2);
  plan.nodes[1].host_node = 1023;
  plan.nodes[1].binding = MemoryBinding::Strict;
  auto machine = M::create({.memory = 4 * MiB, .vcpus = 2}, Host{}, fake::Fake());
  REQUIRE(machine->place(plan));
  const auto loaded = machine->load(nothing);
  REQUIRE(!loaded);
  CHECK(describe(loaded.error()).find("of memory to host node 1023") != std::string::npos);
}

TEST_CASE("place: a real-time priority, or what is missing for one") {
  auto machine = make({.memory = 4 * MiB, .realtime = 1});
  REQUIRE(machine->load(nothing));
  const auto end = machine->run();
  if (end) CHECK(machine->handler<Where>().policy == SCHED_FIFO);
  else CHECK(describe(end.error()).find("give vCPU 0 the real-time priority 1") != std::string::npos);
}
