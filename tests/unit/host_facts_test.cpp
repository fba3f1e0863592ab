#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <axvm/cpu/cpu.hpp>
#include <axvm/host/host.hpp>
#include <axvm/observe/observe.hpp>

#include "recorded_by_name.hpp"

// What is made of CPUID, registers and the files of KVM's modules, and how the report on it reads.

using namespace axvm;

namespace {

constexpr char parameters[] = "/sys/module/kvm_intel/parameters/";

/// A Xeon E5-2680 v2 with Linux on it: Bochs's client, given the number and the abilities of the server.
RecordedProcessor xeon() {
  RecordedProcessor host = recorded("bochs-ivy-bridge");
  host.leaves[{1, 0}].eax = 0x306e4;
  host.leaves[{0x8000'0001, 0}].edx |= 1u << 26;
  host.leaves[{0x8000'0008, 0}].eax = 0x302e;
  host.files = {{std::string(parameters) + "ept", "Y\n"},
                {std::string(parameters) + "unrestricted_guest", "Y\n"},
                {std::string(parameters) + "enable_apicv", "Y\n"}};
  host.registers = {{0x3a, 5},
                    {0x481, 0x0000'00ff'0000'0016},
                    {0x482, 0xfff9'fffe'0401'e172},
                    {0x48b, 0x0000'0fff'0000'0000},
                    {0x48c, 0x0000'0f01'0633'4141}};
  return host;
}

/// How a host's abilities read: "yes", "no" or "?", and who says so.
std::string shown(HostAbility const& ability) {
  const std::string answer = !ability.present ? "?" : *ability.present ? "yes" : "no";
  return answer + (ability.source.empty() ? "" : ", " + std::string(ability.source));
}

}  // namespace

TEST_CASE("host facts: a Xeon E5-2680 v2 with KVM fits, and lacks TSC scaling only") {
  RecordedProcessor host = xeon();
  const HostReport report = host_report<IvyBridgeXv2>(host.facts());
  CHECK(report.fits());
  CHECK(std::string(report.missing()) == "");
  CHECK(std::string(report.missing_optional()) == "TSC scaling (absent, says IA32_VMX_PROCBASED_CTLS2)");
  CHECK_FALSE(report.host.is_guest);
  CHECK(report.host.hypervisor == "");
  CHECK(shown(report.host.nested_gib_pages) == "yes, IA32_VMX_EPT_VPID_CAP");
  CHECK(shown(report.host.posted_interrupts) == "yes, kvm_intel");
  CHECK(shown(report.host.unrestricted_guest) == "yes, kvm_intel");
  CHECK(shown(report.host.npt) == "no");
}

TEST_CASE("host facts: what kvm_intel says comes before what the processor could") {
  const std::pair<char const*, char const*> answers[] = {
      {"Y\n", "yes, kvm_intel"}, {"1\n", "yes, kvm_intel"}, {"N\n", "no, kvm_intel"}, {"0\n", "no, kvm_intel"}};
  for (auto const& [written, expected] : answers) {
    CAPTURE(written);
    RecordedProcessor host = xeon();
    for (auto& [path, text] : host.files) text = written;
    const HostFacts facts = host.facts();
    CHECK(shown(facts.ept) == expected);
    CHECK(shown(facts.unrestricted_guest) == expected);
    CHECK(shown(facts.apicv) == expected);
    CHECK(shown(facts.posted_interrupts) == expected);
  }
  RecordedProcessor host = xeon();
  host.files[std::string(parameters) + "ept"] = "N\n";
  const HostReport report = host_report<IvyBridgeXv2>(host.facts());
  CHECK(std::string(report.missing()) == "EPT (absent, says kvm_intel)");
  CHECK(shown(report.host.nested_gib_pages) == "no, kvm_intel");
}

TEST_CASE("host facts: without the module the registers answer, bit by bit") {
  RecordedProcessor host = xeon();
  host.files.clear();
  auto ask = [&host] { return host.facts(); };
  CHECK(shown(ask().ept) == "yes, IA32_VMX_PROCBASED_CTLS2");
  CHECK(shown(ask().unrestricted_guest) == "yes, IA32_VMX_PROCBASED_CTLS2");
  CHECK(shown(ask().apicv) == "yes, IA32_VMX_PROCBASED_CTLS2");
  CHECK(shown(ask().posted_interrupts) == "yes, IA32_VMX_PROCBASED_CTLS2");
  CHECK(shown(ask().tsc_scaling) == "no, IA32_VMX_PROCBASED_CTLS2");

  auto without = [&host](std::uint32_t index, unsigned bit) {
    RecordedProcessor less = host;
    less.registers[index] &= ~(1ull << bit);
    return less.facts();
  };
  CHECK(shown(without(0x48b, 33).ept) == "no, IA32_VMX_PROCBASED_CTLS2");
  CHECK(shown(without(0x48b, 39).unrestricted_guest) == "no, IA32_VMX_PROCBASED_CTLS2");
  CHECK(shown(without(0x48b, 40).apicv) == "no, IA32_VMX_PROCBASED_CTLS2");  // registers
  CHECK(shown(without(0x48b, 41).apicv) == "no, IA32_VMX_PROCBASED_CTLS2");  // delivery
  CHECK(shown(without(0x481, 39).apicv) == "no, IA32_VMX_PINBASED_CTLS");    // posted interrupts
  CHECK(shown(without(0x481, 39).posted_interrupts) == "no, IA32_VMX_PINBASED_CTLS");
  CHECK(shown(without(0x48c, 17).nested_gib_pages) == "no, IA32_VMX_EPT_VPID_CAP");
  CHECK(shown(without(0x482, 63).ept) == "no, IA32_VMX_PROCBASED_CTLS2");  // no secondary controls at all
  host.registers[0x48b] |= 1ull << 57;
  CHECK(shown(ask().tsc_scaling) == "yes, IA32_VMX_PROCBASED_CTLS2");
}

TEST_CASE("host facts: parameters, registers and flags agree where all of them speak") {
  RecordedProcessor all = recorded("bochs-ivy-bridge"), registers = all, flags = all;
  registers.files.clear();
  flags.registers.clear();
  std::erase_if(flags.files, [](auto const& file) { return file.first.starts_with("/sys"); });
  REQUIRE(flags.files.size() == 1);
  for (HostAbility HostFacts::* ability :
       {&HostFacts::ept, &HostFacts::unrestricted_guest, &HostFacts::nested_gib_pages, &HostFacts::tsc_scaling,
        &HostFacts::apicv, &HostFacts::posted_interrupts}) {
    REQUIRE((all.facts().*ability).present);
    CHECK((registers.facts().*ability).present == (all.facts().*ability).present);
    CHECK((flags.facts().*ability).present == (all.facts().*ability).present);
    CHECK((flags.facts().*ability).source == "/proc/cpuinfo");
  }
}

TEST_CASE("host facts: who may not read registers finds it in /proc/cpuinfo") {
  RecordedProcessor host = xeon();
  host.registers.clear();
  host.files = {{"/proc/cpuinfo",
                 "processor\t: 0\nflags\t\t: fpu vmx tsc_scaling\n"
                 "vmx flags\t: vnmi posted_intr ept_x_only ept ept_1gb unrestricted_guest\nbugs\t\t: apicv\n"}};
  const HostFacts facts = host.facts();
  CHECK(shown(facts.ept) == "yes, /proc/cpuinfo");
  CHECK(shown(facts.unrestricted_guest) == "yes, /proc/cpuinfo");
  CHECK(shown(facts.nested_gib_pages) == "yes, /proc/cpuinfo");
  CHECK(shown(facts.tsc_scaling) == "no, /proc/cpuinfo");
  CHECK(shown(facts.apicv) == "no, /proc/cpuinfo");
  CHECK(shown(facts.posted_interrupts) == "no, /proc/cpuinfo");
  host.files["/proc/cpuinfo"] = "processor\t: 0\nvmx flags\t: ept_ad apicv ept_1gb posted_intr";  // cut off
  CHECK(shown(host.facts().ept) == "no, /proc/cpuinfo");
  CHECK(shown(host.facts().apicv) == "yes, /proc/cpuinfo");
  CHECK(shown(host.facts().posted_interrupts) == "yes, /proc/cpuinfo");
}

TEST_CASE("host facts: what nobody says is not absent") {
  RecordedProcessor host = xeon();
  host.registers.clear();
  host.files = {{std::string(parameters) + "ept", ""},  // unreadable contents say nothing
                {std::string(parameters) + "enable_apicv", "maybe\n"},
                {"/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx ept\n"}};
  const HostFacts facts = host.facts();
  for (HostAbility const& ability : {facts.ept, facts.unrestricted_guest, facts.nested_gib_pages, facts.tsc_scaling,
                                     facts.apicv, facts.posted_interrupts})
    CHECK(shown(ability) == "?");
  const HostReport report = host_report<IvyBridgeXv2>(facts);
  CHECK(std::string(report.missing()) == "EPT (not reported by KVM)");
  CHECK(std::string(report.missing_optional()) ==
        "TSC scaling (not reported by KVM), APICv (not reported by KVM), posted interrupts (not reported by KVM), "
        "1 GiB pages (present; for guests not reported by KVM)");
}

TEST_CASE("host facts: a firmware that locked VMX off is told apart from a processor without it") {
  RecordedProcessor host = xeon();
  auto vt_x = [&host] { return host_report<IvyBridgeXv2>(host.facts())[1]; };
  CHECK(vt_x().met);
  CHECK(vt_x().found == "present");
  host.registers[0x3a] = 1;
  CHECK_FALSE(vt_x().met);
  CHECK(vt_x().found == "turned off by the firmware");
  CHECK_FALSE(host.facts().virtualises());
  host.registers[0x3a] = 0;  // not locked: the kernel turns it on
  CHECK(vt_x().met);
  host.registers.erase(0x3a);
  CHECK(vt_x().met);
  host.leaves[{1, 0}].ecx &= ~cpuid::ECX_VMX;
  CHECK(vt_x().found == "absent");
  CHECK(shown(host.facts().ept) == "no");  // whatever a stale parameter says
}

TEST_CASE("host facts: SVM's abilities are kvm_amd's, or the processor's") {
  RecordedProcessor host = recorded("qemu-max");
  CHECK(shown(host.facts().npt) == "yes, kvm_amd");
  CHECK(shown(host.facts().tsc_scaling) == "no, kvm_amd");
  CHECK(shown(host.facts().ept) == "no");
  CHECK(host.facts().virtualises());
  host.files["/sys/module/kvm_amd/parameters/npt"] = "0\n";
  CHECK(shown(host.facts().npt) == "no, kvm_amd");
  CHECK(shown(host.facts().nested_gib_pages) == "no, kvm_amd");
  host.files.clear();
  host.leaves[{0x8000'000a, 0}].edx = 1u << 4 | 1u << 13;
  CHECK(shown(host.facts().npt) == "no");
  CHECK(shown(host.facts().tsc_scaling) == "yes");
  CHECK(shown(host.facts().apicv) == "yes");
  host.leaves[{0x8000'000a, 0}].edx = 1;
  CHECK(shown(host.facts().npt) == "yes");
  CHECK(shown(host.facts().tsc_scaling) == "no");
  CHECK(shown(host.facts().apicv) == "no");
}

TEST_CASE("host facts: a leaf above the highest one is not believed") {
  RecordedProcessor host = xeon();
  host.leaves[{0x8000'0000, 0}].eax = 0x8000'0001;
  const HostFacts facts = host.facts();
  CHECK(facts.gib_pages);
  CHECK_FALSE(facts.invariant_tsc);
  CHECK(facts.physical_bits == 0);
  CHECK(facts.brand == "");
}

TEST_CASE("host facts: what is recorded here is detected again") {
  RecordedProcessor again(record_host(this_host));
  CHECK(again.faults == "");
  CHECK(again.leaves.size() > 10);
  const HostFacts now = detect_host(), then = again.facts();
  CHECK(then.vendor == now.vendor);
  CHECK(then.brand == now.brand);
  CHECK(then.family == now.family);
  CHECK(then.model == now.model);
  CHECK(then.physical_bits == now.physical_bits);
  CHECK(then.hypervisor == now.hypervisor);
  const HostReport a = host_report<IvyBridgeXv2>(now), b = host_report<IvyBridgeXv2>(then);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::string(a[i].found) == std::string(b[i].found));
}

TEST_CASE("host report: the table has every requirement and ends with the verdict") {
  RecordedProcessor host = recorded("qemu-ivy-bridge-ep");
  CHECK(describe_host(host_report<IvyBridgeXv2>(host.facts())) ==
        "Intel Xeon E3-12xx v2 (Ivy Bridge)\n"
        "GenuineIntel family 6, model 0x3e, stepping 9, 40 address bits, itself a virtual machine (TCGTCGTCGTCG)\n"
        "\n"
        "Requirement                                 Needed    Met  Found\n"
        "------------------------------------------  --------  ---  ---------------------------------\n"
        "Intel Ivy Bridge-EP (family 6, model 0x3e)  yes       yes  GenuineIntel family 6, model 0x3e\n"
        "VT-x                                        yes       no   absent\n"
        "EPT                                         yes       no   absent\n"
        "invariant TSC                               yes       no   absent\n"
        "x2APIC                                      yes       no   absent\n"
        "TSC scaling                                 optional  no   absent\n"
        "APICv                                       optional  no   absent\n"
        "posted interrupts                           optional  no   absent\n"
        "1 GiB pages                                 optional  no   absent\n"
        "\n"
        "This host does not fit the profile Xv2 (Xeon E5-2680 v2): 4 requirements not met, 4 optional not there.\n");
  RecordedProcessor fit = xeon();
  const std::string table = describe_host(host_report<IvyBridgeXv2>(fit.facts()));
  CHECK(table.find("stepping 4, 46 address bits\n") != std::string::npos);
  CHECK(
      table.ends_with("\nThis host fits the profile Xv2 (Xeon E5-2680 v2): all that is required is there, "
                      "1 optional not there.\n"));
  CHECK(describe_host(host_report<Bare>(HostFacts{}))
            .ends_with("This host fits the profile bare: all that is required is there.\n"));
}
