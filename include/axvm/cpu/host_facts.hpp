#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// What is known of the machine the monitor runs on; gathered once, checked against a profile's requirements.
struct HostFacts {
  Text<12> vendor;      ///< "GenuineIntel", "AuthenticAMD" (CPUID leaf 0)
  Text<48> brand;       ///< CPUID leaves 0x80000002 to 4
  unsigned family = 0;  ///< with the extended family added ([intel/vol2] CPUID, figure 3-6)
  unsigned model = 0;   ///< with the extended model
  unsigned stepping = 0;
  bool vmx = false;            ///< CPUID.1:ECX.VMX
  bool invariant_tsc = false;  ///< CPUID.80000007H:EDX[8]
  bool x2apic = false;         ///< CPUID.1:ECX[21]
  std::optional<bool> ept;     ///< whether KVM uses extended page tables; nothing where KVM does not say
};

/// One thing a profile demands of its host.
struct HostRequirement {
  std::string_view name;  ///< as the report prints it
  bool (*met)(HostFacts const&) = nullptr;
  Text<80> (*found)(HostFacts const&) = nullptr;  ///< what there is instead
};

namespace detail {
constexpr Text<80> yes_no(bool yes) { return yes ? "present" : "absent"; }
}  // namespace detail

/// The requirements that profiles share, each written once.
namespace requirement {
inline constexpr HostRequirement vt_x{"VT-x", [](HostFacts const& host) { return host.vmx; },
                                      [](HostFacts const& host) { return detail::yes_no(host.vmx); }};
inline constexpr HostRequirement ept{
    "EPT", [](HostFacts const& host) { return host.ept == true; },
    [](HostFacts const& host) { return host.ept ? detail::yes_no(*host.ept) : Text<80>("not reported by KVM"); }};
inline constexpr HostRequirement invariant_tsc{
    "invariant TSC", [](HostFacts const& host) { return host.invariant_tsc; },
    [](HostFacts const& host) { return detail::yes_no(host.invariant_tsc); }};
inline constexpr HostRequirement x2apic{"x2APIC", [](HostFacts const& host) { return host.x2apic; },
                                        [](HostFacts const& host) { return detail::yes_no(host.x2apic); }};
inline constexpr HostRequirement ivy_bridge_ep{
    "Intel Ivy Bridge-EP (family 6, model 0x3e)",
    [](HostFacts const& host) { return host.vendor == "GenuineIntel" && host.family == 6 && host.model == 0x3e; },
    [](HostFacts const& host) { return text<80>(host.vendor, " family ", host.family, ", model ", Hex{host.model}); }};
}  // namespace requirement

}  // namespace axvm::inline v1
