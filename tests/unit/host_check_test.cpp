#include <algorithm>
#include <cerrno>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <axvm/cpu/cpu.hpp>
#include <axvm/host/detect.hpp>
#include <axvm/hv/kvm/kvm.hpp>

#include "scratch.hpp"

using namespace axvm;

namespace {

HostFacts xeon_e5_2680_v2() {
  return {.vendor = "GenuineIntel",
          .brand = "Intel(R) Xeon(R) CPU E5-2680 v2 @ 2.80GHz",
          .family = 6,
          .model = 0x3e,
          .stepping = 4,
          .vmx = true,
          .invariant_tsc = true,
          .x2apic = true,
          .ept = {true}};
}

Text<1023> unmet(HostFacts const& host) { return host_report<IvyBridgeXv2>(host).missing(); }

/// A KVM of a test: a version and what it lacks.
struct PlayedKvm {
  int version = kvm::api_version;
  std::set<int> lacks{};
  int answer_of_absent = 0;

  Result<> check() const {
    return kvm::check_requirements(
        [this] { return version; },
        [this](int capability) { return lacks.contains(capability) ? answer_of_absent : 1; });
  }
};

}  // namespace

TEST_CASE("host check: a real E5-2680 v2 meets the Xv2 profile") { CHECK(unmet(xeon_e5_2680_v2()) == ""); }

TEST_CASE("host check: a newer Xeon in a cloud misses the processor, EPT unless told, and nothing else") {
  HostFacts host = xeon_e5_2680_v2();
  host.brand = "Intel(R) Xeon(R) Processor @ 2.60GHz";
  host.model = 0x8f;
  host.ept = {};
  CHECK(unmet(host) ==
        "Intel Ivy Bridge-EP (family 6, model 0x3e) (GenuineIntel family 6, model 0x8f), EPT (not reported by KVM)");
}

TEST_CASE("host check: on an AMD processor everything that is missing stands in one message") {
  HostFacts host;
  host.vendor = "AuthenticAMD";
  host.family = 0x19;
  host.model = 0x11;
  host.invariant_tsc = true;
  host.x2apic = true;
  CHECK(unmet(host) ==
        "Intel Ivy Bridge-EP (family 6, model 0x3e) (AuthenticAMD family 25, model 0x11), VT-x (absent), "
        "EPT (not reported by KVM)");
}

TEST_CASE("host check: a nested host without EPT misses EPT and only that") {
  HostFacts host = xeon_e5_2680_v2();
  host.ept = {false};
  CHECK(unmet(host) == "EPT (absent)");
}

TEST_CASE("host check: each requirement alone is noticed, all together stand in the order of the profile") {
  HostFacts host = xeon_e5_2680_v2();
  host.vmx = false;
  CHECK(unmet(host) == "VT-x (absent)");
  host = xeon_e5_2680_v2();
  host.invariant_tsc = false;
  CHECK(unmet(host) == "invariant TSC (absent)");
  host = xeon_e5_2680_v2();
  host.x2apic = false;
  CHECK(unmet(host) == "x2APIC (absent)");
  host = xeon_e5_2680_v2();
  host.family = 0x16;  // a model number means nothing without its family
  CHECK(unmet(host).view().starts_with("Intel Ivy Bridge-EP"));

  const Text<1023> all = unmet(HostFacts{});
  CHECK_FALSE(all.truncated());
  std::size_t at = 0;
  for (std::string_view name : {"Ivy Bridge-EP", "VT-x", "EPT", "invariant TSC", "x2APIC"}) {
    CAPTURE(std::string(name));
    at = all.view().find(name, at);
    REQUIRE(at != std::string_view::npos);
    at += name.size();
  }
}

TEST_CASE("host check: what is optional is no reason to refuse a host, and what is required is no option") {
  const HostReport report = host_report<IvyBridgeXv2>(xeon_e5_2680_v2());
  CHECK(report.fits());
  CHECK(report.missing_optional() ==
        "TSC scaling (not reported by KVM), APICv (not reported by KVM), posted interrupts (not reported by KVM), "
        "1 GiB pages (absent)");
  HostFacts host = xeon_e5_2680_v2();
  host.tsc_scaling = host.apicv = host.posted_interrupts = host.nested_gib_pages = {true, "kvm_intel"};
  host.gib_pages = true;
  CHECK(host_report<IvyBridgeXv2>(host).missing_optional().empty());
  host.x2apic = false;
  CHECK_FALSE(host_report<IvyBridgeXv2>(host).fits());
  CHECK(host_report<IvyBridgeXv2>(host).missing_optional().empty());
}

TEST_CASE("host check: findings stand in the order of the profile, met or not") {
  constexpr HostFacts nothing{};
  constexpr HostReport report = host_report<IvyBridgeXv2>(nothing);
  static_assert(report.size() == 9 && !report.fits());
  static_assert(report[1].name == "VT-x" && !report[1].optional && !report[1].met);
  static_assert(report[5].name == "TSC scaling" && report[5].optional && !report[5].met);
  CHECK(report[5].found == "not reported by KVM");
  const HostReport real = host_report<IvyBridgeXv2>(xeon_e5_2680_v2());
  CHECK(real[0].met);
  CHECK(real[0].found == "GenuineIntel family 6, model 0x3e");
  CHECK(real[2].found == "present");
  CHECK(real.profile == IvyBridgeXv2::name);
}

TEST_CASE("host check: profiles that demand nothing are met by anything") {
  CHECK(host_report<Portable>(HostFacts{}).fits());
  CHECK(host_report<Portable>(HostFacts{}).missing().empty());
  CHECK(host_report<Bare>(HostFacts{}).fits());
  CHECK(host_report<Bare>(HostFacts{}).size() == 0);
}

TEST_CASE("host check: what is detected here is what the kernel says of the first processor") {
  const HostFacts host = detect_host();
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  auto value = [&] { return line.substr(std::min(line.size(), line.find(": ") + 2)); };
  while (std::getline(in, line) && !line.empty()) {
    if (line.starts_with("vendor_id")) CHECK(host.vendor == value());
    if (line.starts_with("cpu family")) CHECK(host.family == std::stoul(value()));
    if (line.starts_with("model\t")) CHECK(host.model == std::stoul(value()));
    if (line.starts_with("stepping") && value() != "unknown") CHECK(host.stepping == std::stoul(value()));
    if (line.starts_with("model name")) CHECK(host.brand.view().find(value()) != std::string_view::npos);
  }
}

TEST_CASE("KVM check: one that has everything passes") { CHECK(PlayedKvm{}.check().has_value()); }

TEST_CASE("KVM check: another version of the interface is refused before anything else is asked") {
  for (const int version : {11, 13, -1}) {
    const auto result = kvm::check_requirements([&] { return version; },
                                                [](int) -> int {
                                                  FAIL("asked for a capability");
                                                  return 0;
                                                });
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::Unsupported);
    CHECK(result.error().operation == text<100>("use KVM: its API version is ", version, ", needed is 12"));
    CHECK_FALSE(result.error().hint.empty());
  }
}

TEST_CASE("KVM check: all that is missing is named, and only that") {
  for (const int absent : {0, -1}) {  // an ioctl can also fail
    const PlayedKvm old{.lacks = {KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_IOEVENTFD, KVM_CAP_SPLIT_IRQCHIP},
                        .answer_of_absent = absent};
    const auto result = old.check();
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::Unsupported);
    CHECK(result.error().operation ==
          "use KVM: it lacks KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_IOEVENTFD, KVM_CAP_IMMEDIATE_EXIT");
  }
  PlayedKvm none;
  for (kvm::Capability const& capability : kvm::required_capabilities) none.lacks.insert(capability.number);
  const auto result = none.check();
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().operation.truncated());
  for (kvm::Capability const& capability : kvm::required_capabilities)
    CHECK(result.error().operation.view().find(capability.name) != std::string_view::npos);
}

TEST_CASE("KVM: a device that does not exist is an error that says how to get one") {
  const scratch::Directory directory;
  const auto result = kvm::Kvm::open(directory.name("kvm").c_str());
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::Unsupported);
  CHECK(result.error().os_error == ENOENT);
  CHECK(result.error().operation == text<1023>("open ", directory.path("kvm")));
  CHECK(result.error().hint.view().find("nested virtualisation") != std::string_view::npos);
}

TEST_CASE("KVM: a device that this user may not open is an error that says which group to join") {
  const scratch::Directory directory;
  directory.put("kvm", "", 0);
  const scratch::Unprivileged user;
  if (!user) {
    MESSAGE("cannot become another user here");
    return;
  }
  const auto result = kvm::Kvm::open(directory.name("kvm").c_str());
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::PermissionDenied);
  CHECK(result.error().os_error == EACCES);
  CHECK(result.error().hint.view().find("group 'kvm'") != std::string_view::npos);
}

TEST_CASE("KVM: a device that is not KVM is refused") {
  const auto result = kvm::Kvm::open("/dev/null");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::Unsupported);
  CHECK(result.error().operation.view().starts_with("use KVM: its API version is -1"));
}
