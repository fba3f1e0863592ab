#include <algorithm>
#include <cstdint>
#include <set>

#include <doctest/doctest.h>

#include <axvm/cpu/cpu.hpp>
#include <axvm/hv/kvm/quirks.hpp>

using namespace axvm;

namespace {

/// The leaves of a processor that has all leaves on topology, with every bit set that the guest must not see as it is.
CpuidTable a_host() {
  CpuidTable table;
  auto add = [&](CpuidEntry const& entry) { REQUIRE(table.add(entry)); };
  add({.function = 0, .eax = 0x1f});
  add({.function = 1, .eax = 0x306e4, .ebx = 0xffff'0800, .ecx = 0x7fff'ffff, .edx = 0xffff'ffff});
  constexpr std::uint32_t types[] = {1, 2, 3, 3, 0};   // data, instruction, unified, unified, none more
  constexpr std::uint32_t levels[] = {1, 1, 2, 3, 0};  // [intel/vol2] CPUID leaf 4: EAX[4:0], EAX[7:5]
  for (std::uint32_t i = 0; i < 5; ++i)
    add({.function = 4,
         .index = i,
         .indexed = true,
         .eax = types[i] == 0 ? 0 : 0xffff'c100 | types[i] | levels[i] << 5,
         .ebx = 0x01c0'003f});
  add({.function = 7, .index = 0, .indexed = true, .eax = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u});
  add({.function = 7, .index = 1, .indexed = true, .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u});
  auto add_topology = [&](std::uint32_t leaf) {
    for (std::uint32_t i = 0; i < 4; ++i)
      add({.function = leaf, .index = i, .indexed = true, .eax = 31, .ebx = 0xffff, .ecx = 0x500 | i, .edx = ~0u});
  };
  add_topology(0xb);
  add({.function = 0xd, .index = 0, .indexed = true, .eax = 7, .ebx = 832, .ecx = 832});
  add({.function = 0xd, .index = 1, .indexed = true, .eax = 0xf, .ebx = 999, .ecx = 0x100});
  add({.function = 0xd, .index = 2, .indexed = true, .eax = 256, .ebx = 576});
  add_topology(0x1f);
  add({.function = 0x8000'0001, .ecx = ~0u, .edx = ~0u});
  add({.function = 0x8000'0008, .eax = 0x3028, .ebx = 0x1234, .ecx = 0xffff'ffff});
  for (std::uint32_t i = 0; i < 4; ++i)
    add({.function = 0x8000'001d, .index = i, .indexed = true, .eax = 0x03ff'c100 | types[i] | levels[i] << 5});
  add({.function = 0x8000'001e, .eax = ~0u, .ebx = ~0u, .ecx = ~0u});
  return table;
}

CpuidEntry leaf(CpuidTable& table, std::uint32_t function, std::uint32_t index = 0) {
  CpuidEntry const* entry = table.find(function, index);
  REQUIRE(entry != nullptr);
  return *entry;
}

std::uint32_t bits(std::uint32_t value, unsigned high, unsigned low) {
  return value >> low & static_cast<std::uint32_t>((1ull << (high - low + 1)) - 1);
}

/// What the guest of one vCPU reads, checked against itself.
void check_consistent(Topology const& topology, unsigned index) {
  CAPTURE(topology.vcpus);
  CAPTURE(topology.threads_per_core);
  CAPTURE(index);
  CpuidTable table = a_host();
  apply_topology(table, topology, index);

  // 0xB: thread level, core level, the end.
  const CpuidEntry thread = leaf(table, 0xb, 0), core = leaf(table, 0xb, 1), end = leaf(table, 0xb, 2);
  const unsigned threads = std::min(topology.threads_per_core, topology.vcpus);
  CHECK(bits(thread.ecx, 15, 8) == 1);
  CHECK(bits(core.ecx, 15, 8) == 2);
  CHECK(bits(end.ecx, 15, 8) == 0);
  CHECK(bits(thread.ecx, 7, 0) == 0);
  CHECK(bits(core.ecx, 7, 0) == 1);
  CHECK(bits(end.ecx, 7, 0) == 2);
  CHECK(table.find(0xb, 3) == nullptr);
  CHECK(end.eax == 0);
  CHECK(end.ebx == 0);
  CHECK(thread.ebx == threads);
  CHECK(core.ebx == topology.vcpus);
  CHECK(thread.eax <= core.eax);
  CHECK((1u << thread.eax) >= threads);
  CHECK((1u << core.eax) >= topology.vcpus);
  const std::uint32_t id = core.edx;
  CHECK(thread.edx == id);
  CHECK(end.edx == id);
  CHECK((id >> core.eax) == 0);  // one package
  for (std::uint32_t i = 0; i < 3; ++i) {
    const CpuidEntry a = leaf(table, 0xb, i), b = leaf(table, 0x1f, i);
    CHECK(a.eax == b.eax);
    CHECK(a.ebx == b.ebx);
    CHECK(a.ecx == b.ecx);
    CHECK(a.edx == b.edx);
  }

  // 1: the initial APIC id, room for all APIC ids, and whether there is more than one.
  const CpuidEntry features = leaf(table, 1);
  CHECK(bits(features.ebx, 31, 24) == (id & 0xff));
  CHECK(bits(features.ebx, 23, 16) == std::min(1u << core.eax, 255u));
  CHECK(bits(features.ebx, 15, 0) == 0x0800);
  CHECK(((features.edx & cpuid::EDX_HTT) != 0) == (topology.vcpus > 1));
  CHECK((features.edx | cpuid::EDX_HTT) == ~0u);
  CHECK(features.eax == 0x306e4);

  // 4: first and second level belong to a core, the third to the package.
  for (std::uint32_t i = 0; i < 4; ++i) {
    const CpuidEntry cache = leaf(table, 4, i);
    CHECK(bits(cache.eax, 25, 14) + 1 == (1u << (i < 3 ? thread.eax : core.eax)));
    CHECK(bits(cache.eax, 31, 26) + 1 == std::min(1u << (core.eax - thread.eax), 64u));
    CHECK(bits(cache.eax, 13, 8) == 1);
    CHECK(cache.ebx == 0x01c0'003f);
  }
  CHECK(leaf(table, 4, 4).eax == 0);

  // AMD: threads in the package, bits of an APIC id, threads in a core, this core.
  const CpuidEntry sizes = leaf(table, 0x8000'0008), amd = leaf(table, 0x8000'001e);
  CHECK(bits(sizes.ecx, 7, 0) + 1 == topology.vcpus);
  CHECK(bits(sizes.ecx, 15, 12) == core.eax);
  CHECK(bits(sizes.ecx, 31, 16) == 0xffff);
  CHECK(sizes.eax == 0x3028);
  CHECK(amd.eax == id);
  CHECK(bits(amd.ebx, 15, 8) + 1 == threads);
  CHECK(bits(amd.ebx, 7, 0) == (id >> thread.eax));
  CHECK(amd.ecx == 0);  // one node
  CHECK(bits(leaf(table, 0x8000'001d, 0).eax, 25, 14) + 1 == 1u << thread.eax);
  CHECK(bits(leaf(table, 0x8000'001d, 3).eax, 25, 14) + 1 == 1u << core.eax);
  CHECK(bits(leaf(table, 0x8000'001d, 3).eax, 31, 26) == 0);
}

template <class Profile>
void check_profile() {
  CpuidTable table = a_host();
  const Topology topology{.vcpus = 2};
  Profile::guest_cpuid(table, {.topology = topology, .index = 1});
  const CpuidEntry features = leaf(table, 1);
  CHECK((features.ecx & cpuid::ECX_HYPERVISOR) != 0);
  CHECK((features.ecx | cpuid::ECX_HYPERVISOR) == ~0u);
  CHECK(bits(features.ebx, 31, 24) == 1);
  CHECK(leaf(table, 0xb, 1).edx == 1);
  const CpuidEntry state = leaf(table, 0xd, 1);
  CHECK((state.eax & (cpuid::XSAVE1_EAX_XSAVEC | cpuid::XSAVE1_EAX_XSAVES)) == 0);
  CHECK((state.eax & 1) != 0);  // XSAVEOPT needs no compacted format
  CHECK(state.ebx == 0);
  CHECK(state.ecx == 0);
  CHECK(leaf(table, 0xd, 0).ebx == 832);
  CHECK(leaf(table, 0xd, 2).eax == 256);
}

}  // namespace

TEST_CASE("cpuid table: finds by leaf, and by sub-leaf where there are any") {
  CpuidTable table;
  REQUIRE(table.add({.function = 1, .index = 9, .eax = 10}));  // not indexed: the sub-leaf means nothing
  REQUIRE(table.add({.function = 4, .index = 0, .indexed = true, .eax = 40}));
  REQUIRE(table.add({.function = 4, .index = 2, .indexed = true, .eax = 42}));
  CHECK(leaf(table, 1).eax == 10);
  CHECK(leaf(table, 1, 77).eax == 10);
  CHECK(leaf(table, 4).eax == 40);
  CHECK(leaf(table, 4, 2).eax == 42);
  CHECK(table.find(4, 1) == nullptr);
  CHECK(table.find(5) == nullptr);
}

TEST_CASE("cpuid table: set replaces what is there and adds what is not") {
  CpuidTable table;
  CHECK(table.set({.function = 4, .index = 0, .indexed = true, .eax = 1}));
  CHECK(table.set({.function = 4, .index = 1, .indexed = true, .eax = 2}));
  CHECK(table.set({.function = 4, .index = 0, .indexed = true, .eax = 3}));
  CHECK(table.entries().size() == 2);
  CHECK(leaf(table, 4, 0).eax == 3);
  CHECK(leaf(table, 4, 1).eax == 2);
}

TEST_CASE("cpuid table: remove takes all sub-leaves and keeps the others in order") {
  CpuidTable table = a_host();
  const std::size_t before = table.entries().size();
  table.remove(4);
  CHECK(table.entries().size() == before - 5);
  CHECK(table.find(4, 0) == nullptr);
  CHECK(table.find(4, 3) == nullptr);
  CHECK(leaf(table, 1).eax == 0x306e4);
  CHECK(std::is_sorted(table.entries().begin(), table.entries().end(),
                       [](CpuidEntry const& a, CpuidEntry const& b) { return a.function < b.function; }));
  table.remove(4);
  CHECK(table.entries().size() == before - 5);
}

TEST_CASE("cpuid table: a full one takes nothing new and stays as it is") {
  CpuidTable table;
  for (std::uint32_t i = 0; i < CpuidTable::capacity; ++i) REQUIRE(table.add({.function = i, .eax = i}));
  CHECK_FALSE(table.add({.function = 1000}));
  CHECK_FALSE(table.set({.function = 1000}));
  CHECK(table.set({.function = 255, .eax = 7}));
  CHECK(table.entries().size() == CpuidTable::capacity);
  CHECK(leaf(table, 255).eax == 7);
  CHECK(table.find(1000) == nullptr);
  // 0xB is there, and its three levels do not fit: what else there is says the same all the same.
  apply_topology(table, {.vcpus = 4}, 3);
  CHECK(bits(leaf(table, 1).ebx, 31, 24) == 3);
  CHECK(table.entries().size() <= CpuidTable::capacity);
}

TEST_CASE(
    "topology: all leaves agree for 1 to 20 vCPUs of one and two threads a core, and every APIC id is one vCPU's") {
  for (unsigned vcpus = 1; vcpus <= 20; ++vcpus)
    for (const unsigned threads : {1u, 2u}) {
      std::set<std::uint32_t> ids;
      for (unsigned index = 0; index < vcpus; ++index) {
        const Topology topology{.vcpus = vcpus, .threads_per_core = threads};
        check_consistent(topology, index);
        CpuidTable table = a_host();
        apply_topology(table, topology, index);
        ids.insert(leaf(table, 0xb).edx);
      }
      CHECK(ids.size() == vcpus);
    }
}

TEST_CASE("topology: the largest machines fill the 8-bit fields without leaving them") {
  for (const unsigned vcpus : {127u, 128u, 129u, 254u, 255u})
    for (const unsigned threads : {1u, 2u}) check_consistent({.vcpus = vcpus, .threads_per_core = threads}, vcpus - 1);
}

TEST_CASE("topology: leaves that the processor lacks are not invented, but 0xB where it can be") {
  CpuidTable old;
  REQUIRE(old.add({.function = 0, .eax = 4}));
  REQUIRE(old.add({.function = 1}));
  apply_topology(old, {.vcpus = 2}, 1);
  CHECK(old.entries().size() == 2);

  CpuidTable middle;
  REQUIRE(middle.add({.function = 0, .eax = 0x1f}));
  apply_topology(middle, {.vcpus = 2}, 1);
  CHECK(middle.entries().size() == 4);
  CHECK(leaf(middle, 0xb, 1).ebx == 2);
  CHECK(middle.find(0x1f) == nullptr);
}

TEST_CASE("topology: applied twice is the same as once") {
  CpuidTable once = a_host(), twice = a_host();
  const Topology topology{.vcpus = 6, .threads_per_core = 2};
  apply_topology(once, topology, 5);
  apply_topology(twice, topology, 2);
  apply_topology(twice, topology, 5);
  REQUIRE(once.entries().size() == twice.entries().size());
  for (CpuidEntry const& entry : once.entries()) {
    const CpuidEntry other = leaf(twice, entry.function, entry.index);
    CHECK(entry.eax == other.eax);
    CHECK(entry.ebx == other.ebx);
    CHECK(entry.ecx == other.ecx);
    CHECK(entry.edx == other.edx);
  }
}

TEST_CASE("profiles: the guest is told that it is one, which vCPU it is, and an extended state that adds up") {
  check_profile<Portable>();
  check_profile<Bare>();
}

TEST_CASE("profiles: an extended state without compacted formats is left alone") {
  CpuidTable table = a_host();
  table.find(0xd, 1)->eax = 5;
  Portable::guest_cpuid(table, {});
  CHECK(leaf(table, 0xd, 1).eax == 5);
  CHECK(leaf(table, 0xd, 1).ebx == 999);
}

TEST_CASE("quirks: without XSAVE nothing is left that needs it, and all else is") {
  CpuidTable table = a_host();
  table.find(1)->ecx = ~0u;
  REQUIRE(table.add({.function = 0x1d, .indexed = true}));
  REQUIRE(table.add({.function = 0x1e, .indexed = true}));
  REQUIRE(table.add({.function = 0x24, .indexed = true}));
  kvm::hide_xsave(table);
  for (const std::uint32_t gone : {0xdu, 0x1du, 0x1eu, 0x24u})
    for (std::uint32_t i = 0; i < 3; ++i) CHECK(table.find(gone, i) == nullptr);

  // The bits as the manuals list them: [intel/vol2] CPUID, tables 3-8, 3-10, 3-11; [amd/vol3] E.4.2.
  auto without = [](std::initializer_list<unsigned> hidden) {
    std::uint32_t left = ~0u;
    for (const unsigned bit : hidden) left &= ~(1u << bit);
    return left;
  };
  CHECK(leaf(table, 1).ecx == without({12, 26, 27, 28, 29}));
  CHECK(leaf(table, 7).ebx == without({5, 14, 16, 17, 21, 26, 27, 28, 30, 31}));
  CHECK(leaf(table, 7).ecx == without({1, 3, 4, 6, 7, 9, 10, 11, 12, 14}));
  CHECK(leaf(table, 7).edx == without({2, 3, 5, 8, 20, 22, 23, 24, 25}));
  CHECK(leaf(table, 7, 1).eax == without({0, 1, 2, 4, 5, 21, 23}));
  CHECK(leaf(table, 7, 1).edx == without({4, 5, 8, 10, 19, 21}));
  CHECK(leaf(table, 0x8000'0001).ecx == without({11, 15, 16}));
  CHECK(leaf(table, 1).edx == ~0u);
  CHECK(leaf(table, 0x8000'0001).edx == ~0u);

  CpuidTable empty;
  kvm::hide_xsave(empty);
  CHECK(empty.entries().empty());
}

TEST_CASE("guest_debug: breakpoints become DR7") {
  GuestDebug debug;
  static_assert(GuestDebug{}.dr7() == 0x400);
  CHECK(!debug.any_breakpoint());
  debug.breakpoints[0] = {.address = 0x1000, .enabled = true};
  CHECK(debug.dr7() == 0x402);
  debug.breakpoints[3] = {.address = 0x2000, .on = Breakpoint::On::write, .length = 8, .enabled = true};
  CHECK(debug.dr7() == 0x9000'0482);
  debug.breakpoints[1] = {.address = 0x2000, .on = Breakpoint::On::access, .length = 4, .enabled = true};
  CHECK(debug.dr7() == 0x90f0'048a);
  CHECK(debug.any_breakpoint());
}
