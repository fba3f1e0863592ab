#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/cpu/host_facts.hpp>
#include <axvm/cpu/host_requirement.hpp>
#include <axvm/cpu/profile.hpp>

namespace axvm::inline v1 {

/// What was found for one requirement.
struct HostFinding {
  std::string_view name;
  bool optional = false;
  bool met = false;
  Text<80> found;  ///< what there is, met or not
};

/// How a host and a profile fit, as a value: every requirement with what was found, in the profile's order.
/// `describe_host` makes a table of it.
struct HostReport {
  std::string_view profile;
  HostFacts host;
  std::span<const HostRequirement> requirements;  ///< the profile's, of static lifetime

  [[nodiscard]] constexpr std::size_t size() const { return requirements.size(); }
  /// Finding number `index`, less than `size()`.
  [[nodiscard]] constexpr HostFinding operator[](std::size_t index) const {
    HostRequirement const& asked = requirements[index];
    return {.name = asked.name, .optional = asked.optional, .met = asked.met(host), .found = asked.found(host)};
  }

  /// Whether all that is required is there.
  [[nodiscard, AXVM_ONCE]] constexpr bool fits() const {
    for (HostRequirement const& asked : requirements)
      if (!asked.optional && !asked.met(host)) return false;
    return true;
  }

  /// What is required and not there, as one line: "VT-x (absent), EPT (not reported by KVM)"; empty when it fits.
  [[nodiscard]] constexpr Text<1023> missing() const { return unmet(false); }
  /// The same of what is optional.
  [[nodiscard]] constexpr Text<1023> missing_optional() const { return unmet(true); }

  /// The unmet ones, `name (found)` each.
  [[nodiscard, AXVM_ONCE]] constexpr Text<1023> unmet(bool optional) const {
    Text<1023> line;
    for (HostRequirement const& asked : requirements) {
      if (asked.optional != optional || asked.met(host)) continue;
      line.append(line.empty() ? "" : ", ").append(asked.name);
      line.append(" (").append(asked.found(host)).append(")");
    }
    return line;
  }
};

/// The report on a host for a profile: `host_report<IvyBridgeXv2>(detect_host())`.
template <CpuProfile Profile>
constexpr HostReport host_report(HostFacts const& host) {
  return {Profile::name, host, Profile::host_requirements};
}

}  // namespace axvm::inline v1
