#include <string>

#include <doctest/doctest.h>

#include <axvm/cpu/cpu.hpp>

// What a guest of the Xv2 profile is shown, whatever the host has.

using namespace axvm;

namespace {

/// A host with every bit of every leaf set, whose vendor is `vendor`.
CpuidTable everything(std::string_view vendor) {
  CpuidTable table;
  auto add = [&](CpuidEntry entry) { REQUIRE(table.add(entry)); };
  auto letters = [&](std::size_t at) { return ivy_bridge::four_bytes(vendor, at); };
  add({.function = 0, .eax = 0x20, .ebx = letters(0), .ecx = letters(8), .edx = letters(4)});
  for (std::uint32_t leaf : {1u, 2u, 3u, 5u, 6u, 9u, 0xau, 0x15u, 0x16u, 0x19u})
    add({.function = leaf, .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u});
  for (std::uint32_t leaf : {4u, 7u, 0xbu, 0xdu, 0x14u, 0x1fu, 0x20u})
    for (std::uint32_t i = 0; i < 4; ++i)
      add({.function = leaf, .index = i, .indexed = true, .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u});
  add({.function = 0x4000'0000, .eax = 0x4000'0001, .ebx = 0x4b4d'564b, .ecx = 0x564b'4d56, .edx = 0x4d});
  add({.function = 0x4000'0001, .eax = ~0u, .edx = ~0u});
  for (std::uint32_t leaf = 0x8000'0000; leaf <= 0x8000'0008; ++leaf)
    add({.function = leaf, .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u});
  table.find(0x8000'0008)->eax = 0x3934;
  for (std::uint32_t leaf : {0x8000'000au, 0x8000'0019u, 0x8000'001du, 0x8000'001eu, 0x8000'0021u})
    add({.function = leaf, .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u});
  return table;
}

CpuidTable shown(CpuidTable table, GuestCpu const& cpu = {}) {
  IvyBridgeXv2::guest_cpuid(table, cpu);
  return table;
}

CpuidEntry leaf(CpuidTable& table, std::uint32_t function, std::uint32_t index = 0) {
  CpuidEntry const* entry = table.find(function, index);
  REQUIRE(entry != nullptr);
  return *entry;
}

void append(std::string& to, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i)
    if (const char letter = static_cast<char>(value >> 8 * i); letter != 0) to += letter;
}

}  // namespace

TEST_CASE("ivy_bridge: the guest reads the name, the number and the caches of an E5-2680 v2") {
  CpuidTable table = shown(everything("AuthenticAMD"));
  std::string vendor, brand;
  for (const std::uint32_t part : {leaf(table, 0).ebx, leaf(table, 0).edx, leaf(table, 0).ecx}) append(vendor, part);
  CHECK(vendor == "GenuineIntel");
  for (std::uint32_t i = 0x8000'0002; i <= 0x8000'0004; ++i)
    for (const std::uint32_t part : {leaf(table, i).eax, leaf(table, i).ebx, leaf(table, i).ecx, leaf(table, i).edx})
      append(brand, part);
  CHECK(brand == "Intel(R) Xeon(R) CPU E5-2680 v2 @ 2.80GHz");
  CHECK(leaf(table, 0).eax == 0xd);
  CHECK(leaf(table, 1).eax == 0x306e4);
  auto size = [&](std::uint32_t index) {
    const CpuidEntry cache = leaf(table, 4, index);
    return ((cache.ebx >> 22) + 1) * ((cache.ebx >> 12 & 0x3ff) + 1) * ((cache.ebx & 0xfff) + 1) * (cache.ecx + 1);
  };
  CHECK(size(0) == 32 << 10);
  CHECK(size(1) == 32 << 10);
  CHECK(size(2) == 256 << 10);
  CHECK(size(3) == 25 << 20);
  CHECK((leaf(table, 4, 4).eax & 0x1f) == 0);
}

TEST_CASE("ivy_bridge: nothing newer than the processor gets through, nothing that is not virtualised") {
  CpuidTable table = shown(everything("GenuineIntel"));
  // Linux's names of what a guest on an E5-2680 v2 sees.
  const CpuidEntry features = leaf(table, 1);
  for (const unsigned newer : {12u /* FMA */, 22u /* MOVBE */}) CHECK((features.ecx >> newer & 1) == 0);
  for (const unsigned not_virtual : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 14u, 15u, 18u})
    CHECK((features.ecx >> not_virtual & 1) == 0);
  for (const unsigned there : {0u, 1u, 9u, 13u, 17u, 19u, 20u, 21u, 23u, 24u, 25u, 26u, 27u, 28u, 29u, 30u, 31u})
    CHECK((features.ecx >> there & 1) == 1);
  CHECK(features.edx == (0x1f8b'fbff & ~cpuid::EDX_HTT));  // one processor
  CHECK(leaf(table, 7).eax == 0);
  CHECK(leaf(table, 7).ebx == 0x281);
  CHECK(leaf(table, 7).ecx == 0);
  CHECK(leaf(table, 7).edx == 0x9c00'0400);
  CHECK(leaf(table, 6).eax == 4);
  CHECK(leaf(table, 0xd).eax == 7);
  CHECK(leaf(table, 0xd).ebx == 832);
  CHECK(leaf(table, 0xd, 1).eax == 1);
  CHECK(leaf(table, 0xd, 2).eax == 256);
  CHECK(leaf(table, 0xd, 2).ebx == 576);
  CHECK(leaf(table, 0x8000'0000).eax == 0x8000'0008);
  CHECK(leaf(table, 0x8000'0001).ecx == 1);
  CHECK(leaf(table, 0x8000'0001).edx == 0x2c10'0800);
  CHECK(leaf(table, 0x8000'0007).edx == 0x100);
  CHECK(leaf(table, 0x8000'0008).ebx == 0);
  for (CpuidEntry const& entry : table.entries()) {
    CAPTURE(entry.function);
    const bool ours = entry.function <= 0xd || (entry.function >= 0x8000'0000 && entry.function <= 0x8000'0008) ||
                      entry.function >> 28 == 4;
    CHECK(ours);
  }
  CHECK(leaf(table, 0xa).eax == 0);
}

TEST_CASE("ivy_bridge: what the host lacks the guest lacks") {
  CpuidTable nothing;
  REQUIRE(nothing.add({.function = 0, .eax = 1}));
  CpuidTable table = shown(nothing);
  CHECK((leaf(table, 1).ecx & ~cpuid::ECX_HYPERVISOR) == 0);
  CHECK(leaf(table, 1).edx == 0);
  CHECK(leaf(table, 7).ebx == 0);
  CHECK(leaf(table, 7).edx == 0);
  CHECK(leaf(table, 0xd).eax == 0);
  CHECK(leaf(table, 0xd).ebx == 0);
  CHECK(table.find(0xd, 2) == nullptr);
  CHECK(leaf(table, 0x8000'0001).edx == 0);
  CHECK(leaf(table, 0x8000'0007).edx == 0);
  CHECK(leaf(table, 0x8000'0008).eax == 0x3024);  // what every 64-bit processor has at least
  CHECK(table.find(0x4000'0001) == nullptr);
}

TEST_CASE("ivy_bridge: without AVX the extended state is that of SSE") {
  CpuidTable host = everything("GenuineIntel");
  host.find(0xd)->eax = 3;
  CpuidTable table = shown(host);
  CHECK(leaf(table, 0xd).eax == 3);
  CHECK(leaf(table, 0xd).ebx == 576);
  CHECK(table.find(0xd, 2) == nullptr);
}

TEST_CASE("ivy_bridge: addresses are as wide as the processor's, and the host's") {
  CpuidTable host = everything("GenuineIntel");
  CpuidTable wide = shown(host);
  CHECK(leaf(wide, 0x8000'0008).eax == 0x302e);  // 46 of the 52 the host has
  host.find(0x8000'0008)->eax = 0x3027;
  CpuidTable narrow = shown(host);
  CHECK(leaf(narrow, 0x8000'0008).eax == 0x3027);
}

TEST_CASE("ivy_bridge: a guest that shares its processors is told how to leave them") {
  using namespace kvm_cpuid;
  CpuidTable table = shown(everything("GenuineIntel"), {.use = CpuUse::shared});
  CHECK(leaf(table, FEATURES).eax == (always | when_shared));
  CHECK((leaf(table, FEATURES).eax & (PV_TLB_FLUSH | PV_SEND_IPI | STEAL_TIME | POLL_CONTROL)) ==
        (PV_TLB_FLUSH | PV_SEND_IPI | STEAL_TIME | POLL_CONTROL));
  CHECK(leaf(table, FEATURES).edx == 0);
}

TEST_CASE("ivy_bridge: a guest that has its processors for itself is told so") {
  using namespace kvm_cpuid;
  CpuidTable table = shown(everything("GenuineIntel"), {.use = CpuUse::dedicated});
  CHECK(leaf(table, FEATURES).eax == (CLOCKSOURCE | CLOCKSOURCE2 | CLOCKSOURCE_STABLE | NOP_IO_DELAY | PV_EOI));
  CHECK(leaf(table, FEATURES).edx == EDX_HINTS_REALTIME);
}

TEST_CASE("ivy_bridge: on a processor of another vendor no hypercall is offered") {
  using namespace kvm_cpuid;
  CpuidTable table = shown(everything("AuthenticAMD"), {.use = CpuUse::shared});
  CHECK(leaf(table, FEATURES).eax == ((always | when_shared) & ~by_hypercall));
  // Portable keeps the vendor, and so the instruction.
  CpuidTable same = everything("AuthenticAMD");
  Portable::guest_cpuid(same, {.use = CpuUse::shared});
  CHECK(leaf(same, FEATURES).eax == (always | when_shared));
}

TEST_CASE("ivy_bridge: what another hypervisor offers is left alone") {
  CpuidTable host = everything("GenuineIntel");
  host.find(0x4000'0000)->ebx = 0x7263'694d;  // "Micr"
  CpuidTable table = shown(host, {.use = CpuUse::dedicated});
  CHECK(leaf(table, axvm::kvm_cpuid::FEATURES).eax == ~0u);
  CHECK(leaf(table, axvm::kvm_cpuid::FEATURES).edx == ~0u);
}

TEST_CASE("ivy_bridge: MWAIT is shown only where it waits in the guest") {
  CpuidTable without = shown(everything("GenuineIntel"), {.use = CpuUse::dedicated});
  CHECK((leaf(without, 1).ecx & cpuid::ECX_MONITOR) == 0);
  CHECK(leaf(without, 5).ecx == 0);
  CpuidTable with = shown(everything("GenuineIntel"), {.use = CpuUse::dedicated, .mwait = true});
  CHECK((leaf(with, 1).ecx & cpuid::ECX_MONITOR) != 0);
  CHECK(leaf(with, 5).eax == 64);
  CHECK(leaf(with, 5).ecx == 3);
}

TEST_CASE("ivy_bridge: 20 processors are 10 cores of 2 threads that share an L3, or 20 cores") {
  for (const unsigned threads : {1u, 2u}) {
    for (unsigned index = 0; index < 20; ++index) {
      CpuidTable table =
          shown(everything("GenuineIntel"), {.topology = {.vcpus = 20, .threads_per_core = threads}, .index = index});
      CHECK((leaf(table, 1).ebx >> 24) == index);
      CHECK((leaf(table, 1).edx & cpuid::EDX_HTT) != 0);
      CHECK(leaf(table, 0xb, 0).ebx == threads);
      CHECK(leaf(table, 0xb, 1).ebx == 20);
      CHECK(leaf(table, 0xb, 1).edx == index);
      CHECK((leaf(table, 4, 0).eax >> 14 & 0xfff) + 1 == threads);
      CHECK((leaf(table, 4, 3).eax >> 14 & 0xfff) + 1 == 32);
    }
  }
}
