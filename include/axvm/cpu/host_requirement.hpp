#pragma once

#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/cpu/host_facts.hpp>

namespace axvm::inline v1 {

/// One thing a profile demands of its host, or uses where the host has it.
struct HostRequirement {
  std::string_view name;  ///< as the report prints it
  bool (*met)(HostFacts const&) = nullptr;
  Text<80> (*found)(HostFacts const&) = nullptr;  ///< what there is, met or not
  bool optional = false;                          ///< used where it is there; a host without it fits all the same
};

namespace detail {
constexpr Text<80> found(bool present) { return present ? "present" : "absent"; }
[[AXVM_ONCE]] constexpr Text<80> found(HostAbility const& ability) {
  if (!ability.present) return "not reported by KVM";
  Text<80> out = found(*ability.present);
  if (!ability.source.empty()) out.append(", says ").append(ability.source);
  return out;
}
constexpr bool met(bool present) { return present; }
constexpr bool met(HostAbility const& ability) { return ability.present == true; }

/// A requirement that one of the facts decides.
template <auto Fact>
constexpr HostRequirement of_fact(std::string_view name) {
  return {name, [](HostFacts const& host) { return met(host.*Fact); },
          [](HostFacts const& host) { return found(host.*Fact); }};
}
}  // namespace detail

/// The requirements that profiles share, each written once.
namespace requirement {
inline constexpr HostRequirement ivy_bridge_ep{
    "Intel Ivy Bridge-EP (family 6, model 0x3e)",
    [](HostFacts const& host) { return host.vendor == "GenuineIntel" && host.family == 6 && host.model == 0x3e; },
    [](HostFacts const& host) { return text<80>(host.vendor, " family ", host.family, ", model ", Hex{host.model}); }};
inline constexpr HostRequirement vt_x{"VT-x", [](HostFacts const& host) { return host.vmx && !host.vmx_locked; },
                                      [](HostFacts const& host) {
                                        return host.vmx && host.vmx_locked ? Text<80>("turned off by the firmware")
                                                                           : detail::found(host.vmx);
                                      }};
inline constexpr HostRequirement virtualisation{"VT-x or SVM", [](HostFacts const& host) { return host.virtualises(); },
                                                [](HostFacts const& host) {
                                                  return Text<80>(host.svm          ? "SVM"
                                                                  : !host.vmx       ? "neither"
                                                                  : host.vmx_locked ? "VT-x, turned off by the firmware"
                                                                                    : "VT-x");
                                                }};
inline constexpr HostRequirement ept = detail::of_fact<&HostFacts::ept>("EPT");
inline constexpr HostRequirement nested_paging{
    "EPT or NPT", [](HostFacts const& host) { return detail::met(host.ept) || detail::met(host.npt); },
    [](HostFacts const& host) {
      HostAbility const& ability = host.svm ? host.npt : host.ept;
      return text<80>(host.svm ? "NPT " : "EPT ", detail::found(ability));
    }};
inline constexpr HostRequirement unrestricted_guest =
    detail::of_fact<&HostFacts::unrestricted_guest>("unrestricted guest");
inline constexpr HostRequirement invariant_tsc = detail::of_fact<&HostFacts::invariant_tsc>("invariant TSC");
inline constexpr HostRequirement x2apic = detail::of_fact<&HostFacts::x2apic>("x2APIC");
inline constexpr HostRequirement tsc_scaling = detail::of_fact<&HostFacts::tsc_scaling>("TSC scaling");
inline constexpr HostRequirement apicv = detail::of_fact<&HostFacts::apicv>("APICv");
inline constexpr HostRequirement posted_interrupts =
    detail::of_fact<&HostFacts::posted_interrupts>("posted interrupts");
inline constexpr HostRequirement gib_pages{
    "1 GiB pages", [](HostFacts const& host) { return host.gib_pages && detail::met(host.nested_gib_pages); },
    [](HostFacts const& host) {
      if (!host.gib_pages) return Text<80>("absent");
      return text<80>("present; for guests ", detail::found(host.nested_gib_pages));
    }};

/// The same, of a host that has it gladly used and is fit without it.
constexpr HostRequirement optional(HostRequirement requirement) {
  requirement.optional = true;
  return requirement;
}
}  // namespace requirement

}  // namespace axvm::inline v1
