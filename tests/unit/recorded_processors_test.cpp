#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <axvm/cpu/cpu.hpp>
#include <axvm/host/host.hpp>
#include <axvm/observe/observe.hpp>

#include "recorded_by_name.hpp"

// Processors as they were recorded (tests/unit/hosts; each says where it is from): what is detected there, what fits,
// and what a guest of the Xv2 profile is shown on them.

using namespace axvm;

namespace {

std::set<std::string> all_names() {
  std::set<std::string> names;
  for (auto const& file : std::filesystem::directory_iterator(AXVM_RECORDED_HOSTS))
    if (file.path().extension() == ".txt") names.insert(file.path().stem().string());
  return names;
}

/// What one recorded host is known to be.
struct Known {
  std::string name;
  std::string vendor, brand;
  unsigned family, model, stepping, physical_bits;
  std::string hypervisor;
  std::string missing, missing_optional;  ///< for IvyBridgeXv2
  std::string portable_lacks;             ///< for Portable
};

const std::string nothing_of_vt_x =
    "TSC scaling (absent), APICv (absent), posted interrupts (absent), 1 GiB pages (absent)";

const Known known[] = {
    {"bochs-ivy-bridge", "GenuineIntel", "Intel(R) Core(TM) i7-3770K CPU @ 3.50GHz", 6, 0x3a, 9, 40, "",
     "Intel Ivy Bridge-EP (family 6, model 0x3e) (GenuineIntel family 6, model 0x3a)",
     "TSC scaling (absent, says IA32_VMX_PROCBASED_CTLS2), APICv (absent, says kvm_intel), "
     "posted interrupts (absent, says kvm_intel), 1 GiB pages (absent)",
     "1 GiB pages (absent)"},
    {"qemu-ivy-bridge", "GenuineIntel", "Intel Xeon E3-12xx v2 (Ivy Bridge)", 6, 0x3a, 9, 40, "TCGTCGTCGTCG",
     "Intel Ivy Bridge-EP (family 6, model 0x3e) (GenuineIntel family 6, model 0x3a), VT-x (absent), EPT (absent), "
     "invariant TSC (absent), x2APIC (absent)",
     nothing_of_vt_x,
     "VT-x or SVM (neither), EPT or NPT (EPT absent), invariant TSC (absent), x2APIC (absent), 1 GiB pages (absent)"},
    {"qemu-ivy-bridge-ep", "GenuineIntel", "Intel Xeon E3-12xx v2 (Ivy Bridge)", 6, 0x3e, 9, 40, "TCGTCGTCGTCG",
     "VT-x (absent), EPT (absent), invariant TSC (absent), x2APIC (absent)", nothing_of_vt_x,
     "VT-x or SVM (neither), EPT or NPT (EPT absent), invariant TSC (absent), x2APIC (absent), 1 GiB pages (absent)"},
    {"qemu-haswell", "GenuineIntel", "Intel Core Processor (Haswell)", 6, 0x3c, 4, 40, "TCGTCGTCGTCG",
     "Intel Ivy Bridge-EP (family 6, model 0x3e) (GenuineIntel family 6, model 0x3c), VT-x (absent), EPT (absent), "
     "invariant TSC (absent), x2APIC (absent)",
     nothing_of_vt_x,
     "VT-x or SVM (neither), EPT or NPT (EPT absent), invariant TSC (absent), x2APIC (absent), 1 GiB pages (absent)"},
    {"qemu-epyc", "AuthenticAMD", "AMD EPYC Processor", 0x17, 1, 2, 40, "TCGTCGTCGTCG",
     "Intel Ivy Bridge-EP (family 6, model 0x3e) (AuthenticAMD family 23, model 0x1), VT-x (absent), EPT (absent), "
     "invariant TSC (absent), x2APIC (absent)",
     "TSC scaling (absent, says kvm_amd), APICv (absent, says kvm_amd), posted interrupts (absent, says kvm_amd)",
     "invariant TSC (absent), x2APIC (absent)"},
    {"qemu-max", "AuthenticAMD", "QEMU TCG CPU version 2.5+", 0xf, 0x6b, 1, 40, "TCGTCGTCGTCG",
     "Intel Ivy Bridge-EP (family 6, model 0x3e) (AuthenticAMD family 15, model 0x6b), VT-x (absent), EPT (absent), "
     "invariant TSC (absent), x2APIC (absent)",
     "TSC scaling (absent, says kvm_amd), APICv (absent, says kvm_amd), posted interrupts (absent, says kvm_amd)",
     "invariant TSC (absent), x2APIC (absent)"},
    {"cascade-lake-guest", "GenuineIntel", "Intel(R) Xeon(R) Processor @ 2.50GHz", 6, 0x55, 7, 46, "KVMKVMKVM",
     "Intel Ivy Bridge-EP (family 6, model 0x3e) (GenuineIntel family 6, model 0x55), VT-x (absent), EPT (absent)",
     "TSC scaling (absent), APICv (absent), posted interrupts (absent), 1 GiB pages (present; for guests absent)",
     "VT-x or SVM (neither), EPT or NPT (EPT absent), 1 GiB pages (present; for guests absent)"},
};

// The feature bits of a real Xeon E5-2680 v2 whose microcode has the defences against speculation; `any` where a
// register has no feature bits.
constexpr std::uint32_t any = ~0u;
constexpr struct {
  std::uint32_t function, index, eax, ebx, ecx, edx;
} real[] = {
    {1, 0, any, any, 0x7fbe'e3ff, 0xbfeb'fbff},
    {6, 0, 0x77, any, any, any},
    {7, 0, 0, 0x0000'0281, 0, 0x9c00'0400},
    {0xd, 0, 7, any, any, 0},
    {0xd, 1, 1, 0, 0, 0},
    {0x8000'0001, 0, any, any, 0x0000'0001, 0x2c10'0800},
    {0x8000'0007, 0, 0, 0, 0, 0x0000'0100},
};

CpuidEntry leaf(CpuidTable& table, std::uint32_t function, std::uint32_t index = 0) {
  CpuidEntry const* entry = table.find(function, index);
  return entry != nullptr ? *entry : CpuidEntry{};
}

}  // namespace

TEST_CASE("recorded hosts: each is known, and there is no other") {
  std::set<std::string> names;
  for (Known const& one : known) names.insert(one.name);
  CHECK(names == all_names());
}

TEST_CASE("recorded hosts: the facts are those of the processor, the reports name exactly what is not met") {
  for (Known const& one : known) {
    CAPTURE(one.name);
    RecordedProcessor host = recorded(one.name);
    const HostFacts facts = host.facts();
    CHECK(facts.vendor == one.vendor);
    CHECK(std::string(facts.brand) == one.brand);
    CHECK(facts.family == one.family);
    CHECK(facts.model == one.model);
    CHECK(facts.stepping == one.stepping);
    CHECK(facts.physical_bits == one.physical_bits);
    CHECK(facts.is_guest == !one.hypervisor.empty());
    CHECK(facts.hypervisor == one.hypervisor);
    const HostReport report = host_report<IvyBridgeXv2>(facts);
    CHECK(std::string(report.missing()) == one.missing);
    CHECK(std::string(report.missing_optional()) == one.missing_optional);
    CHECK(report.fits() == one.missing.empty());
    const HostReport portable = host_report<Portable>(facts);
    CHECK(portable.fits());
    CHECK(portable.missing() == "");
    CHECK(std::string(portable.missing_optional()) == one.portable_lacks);
  }
}

TEST_CASE("recorded hosts: no line of a report is longer than a terminal of 120 columns") {
  for (std::string const& name : all_names()) {
    CAPTURE(name);
    RecordedProcessor host = recorded(name);
    std::istringstream lines(describe_host(host_report<IvyBridgeXv2>(host.facts())));
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 120);
  }
}

TEST_CASE("recorded hosts: a guest sees what both this host and an E5-2680 v2 have, in a table that adds up") {
  for (std::string const& name : all_names()) {
    for (const unsigned vcpus : {1u, 20u}) {
      CAPTURE(name);
      CAPTURE(vcpus);
      CpuidTable host = recorded(name).cpuid(), guest = host;
      REQUIRE_FALSE(host.entries().empty());
      const unsigned index = vcpus - 1;
      IvyBridgeXv2::guest_cpuid(guest, {.topology = {.vcpus = vcpus, .threads_per_core = 2}, .index = index});

      for (auto const& bits : real) {
        CAPTURE(bits.function);
        CAPTURE(bits.index);
        CpuidEntry shown = leaf(guest, bits.function, bits.index);
        const CpuidEntry there = leaf(host, bits.function, bits.index);
        if (bits.function == 1) {  // a hypervisor's own bit, and one that says how many processors there are
          shown.ecx &= ~cpuid::ECX_HYPERVISOR;
          CHECK(((shown.edx & cpuid::EDX_HTT) != 0) == (vcpus > 1));
          shown.edx &= ~cpuid::EDX_HTT;
        }
        auto check = [](std::uint32_t in_guest, std::uint32_t in_host, std::uint32_t in_real) {
          if (in_real == any) return;
          CHECK((in_guest & ~in_host) == 0);
          CHECK((in_guest & ~in_real) == 0);
        };
        check(shown.eax, there.eax, bits.eax);
        check(shown.ebx, there.ebx, bits.ebx);
        check(shown.ecx, there.ecx, bits.ecx);
        check(shown.edx, there.edx, bits.edx);
      }

      CHECK(leaf(guest, 0).eax == 0xd);
      CHECK(leaf(guest, 1).eax == 0x306e4);
      CHECK((leaf(guest, 1).ecx & cpuid::ECX_HYPERVISOR) != 0);
      CHECK((leaf(guest, 1).ebx >> 24) == index);
      CHECK(leaf(guest, 0xb, 1).ebx == vcpus);
      CHECK(leaf(guest, 0xb, 1).edx == index);
      CHECK(leaf(guest, 0x8000'0000).eax == 0x8000'0008);
      std::set<std::pair<std::uint32_t, std::uint32_t>> seen;
      for (CpuidEntry const& entry : guest.entries()) {
        CAPTURE(entry.function);
        CHECK((entry.function <= 0xd || (entry.function >= 0x8000'0000 && entry.function <= 0x8000'0008) ||
               entry.function >> 28 == 4));
        CHECK(seen.insert({entry.function, entry.indexed ? entry.index : 0}).second);
      }
      const std::uint32_t states = leaf(guest, 0xd).eax;
      const bool avx = (leaf(guest, 1).ecx >> 28 & 1) != 0, xsave = (leaf(guest, 1).ecx >> 26 & 1) != 0;
      CHECK((states != 0) == xsave);
      CHECK((!avx || states == 7));
      CHECK(leaf(guest, 0xd).ebx == (states == 7 ? 832u : states == 3 ? 576u : 0u));
      const std::uint32_t bits = leaf(guest, 0x8000'0008).eax & 0xff;
      CHECK(bits <= 46);
      CHECK(bits <= (leaf(host, 0x8000'0008).eax & 0xff));
    }
  }
}

TEST_CASE("recorded hosts: most of a newer processor's features are hidden, and none of its own is lost") {
  CpuidTable haswell = recorded("qemu-haswell").cpuid(), guest = haswell;
  IvyBridgeXv2::guest_cpuid(guest, {});
  const std::uint32_t newer = leaf(haswell, 1).ecx & ~leaf(guest, 1).ecx;
  CHECK((newer & (1u << 12 /* FMA */ | 1u << 22 /* MOVBE */)) == (leaf(haswell, 1).ecx & (1u << 12 | 1u << 22)));
  CHECK((newer & 1u << 22) != 0);
  CHECK(leaf(haswell, 7).ebx == 0x3a9);
  CHECK(leaf(guest, 7).ebx == 0x281);  // without AVX2, BMI1 and BMI2
  CpuidTable client = recorded("qemu-ivy-bridge").cpuid(), same = client;
  IvyBridgeXv2::guest_cpuid(same, {});
  CHECK(leaf(same, 1).ecx == leaf(client, 1).ecx);
  CHECK(leaf(same, 7).ebx == leaf(client, 7).ebx);
  CHECK(leaf(same, 0x8000'0001).ecx == leaf(client, 0x8000'0001).ecx);
  CHECK(leaf(same, 0x8000'0001).edx == leaf(client, 0x8000'0001).edx);
  CHECK(leaf(same, 0xd).eax == leaf(client, 0xd).eax);
}
