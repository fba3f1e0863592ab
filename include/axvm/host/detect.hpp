#pragma once

#include <cpuid.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/host_facts.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// Reads what the processor and KVM say of this host.
inline HostFacts detect_host() {
  HostFacts host;
  std::uint32_t r[4]{};
  auto ask = [&r](std::uint32_t leaf) { return __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]) != 0; };
  auto append = [](auto& to, std::uint32_t value) {
    char bytes[4];
    std::memcpy(bytes, &value, 4);
    to.append(std::string_view(bytes, ::strnlen(bytes, 4)));
  };
  if (ask(0))
    for (const std::uint32_t part : {r[1], r[3], r[2]}) append(host.vendor, part);
  if (ask(cpuid::FEATURES)) {
    const unsigned family = r[0] >> 8 & 0xf, model = r[0] >> 4 & 0xf;
    host.stepping = r[0] & 0xf;
    host.family = family == 0xf ? family + (r[0] >> 20 & 0xff) : family;
    host.model = family == 6 || family == 0xf ? model + (r[0] >> 12 & 0xf0) : model;
    host.vmx = (r[2] & cpuid::ECX_VMX) != 0;
    host.x2apic = (r[2] & cpuid::ECX_X2APIC) != 0;
  }
  if (ask(cpuid::POWER)) host.invariant_tsc = (r[3] & cpuid::POWER_EDX_INVARIANT_TSC) != 0;
  for (std::uint32_t leaf = 0x8000'0002; leaf <= 0x8000'0004; ++leaf)
    if (ask(leaf))
      for (const std::uint32_t part : r) append(host.brand, part);
  Descriptor ept(::open("/sys/module/kvm_intel/parameters/ept", O_RDONLY | O_CLOEXEC));
  char answer = 0;
  if (ept && ::read(ept.get(), &answer, 1) == 1) host.ept = answer == 'Y' || answer == '1';
  return host;
}

/// What of a profile's requirements the host does not meet, as one line: "VT-x (absent), EPT (not reported by KVM)";
/// empty when it meets all.
inline Text<1023> unmet_requirements(std::span<const HostRequirement> requirements, HostFacts const& host) {
  Text<1023> unmet;
  for (HostRequirement const& requirement : requirements) {
    if (requirement.met(host)) continue;
    unmet.append(unmet.empty() ? "" : ", ").append(requirement.name);
    unmet.append(" (").append(requirement.found(host).view()).append(")");
  }
  return unmet;
}

}  // namespace axvm::inline v1
