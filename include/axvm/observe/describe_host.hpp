#pragma once

#include <cstddef>
#include <string>

#include <axvm/core/once.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/observe/text_table.hpp>

namespace axvm::inline v1 {

/// How a host fits a profile as a table of all requirements and a last line with the verdict: at most 120 columns, ends
/// with a newline. `std::fputs(describe_host(Xv2::host_report()).c_str(), stdout);`
[[nodiscard, AXVM_ONCE]] inline std::string describe_host(HostReport const& report) {
  HostFacts const& host = report.host;
  std::string out(host.brand.empty() ? "a processor without a name" : host.brand.view());
  out.append(
      text<119>("\n", host.vendor, " family ", host.family, ", model ", Hex{host.model}, ", stepping ", host.stepping)
          .view());
  if (host.physical_bits != 0) out.append(text<40>(", ", host.physical_bits, " address bits").view());
  if (host.is_guest) out.append(", itself a virtual machine");
  if (!host.hypervisor.empty()) out.append(" (").append(host.hypervisor.view()).append(")");
  out.append("\n\n");

  detail::TextTable<4> table({44, 8, 3, 59});
  table.add({{{"Requirement"}, {"Needed"}, {"Met"}, {"Found"}}});
  std::size_t optional = 0, lacks = 0;
  for (std::size_t i = 0; i < report.size(); ++i) {
    const HostFinding one = report[i];
    (one.optional ? optional : lacks) += one.met ? 0 : 1;
    table.add({{{std::string(one.name)},
                {one.optional ? "optional" : "yes"},
                {one.met ? "yes" : "no"},
                {std::string(one.found.view())}}});
  }
  out.append(table.str()).append("\n");

  out.append("This host ").append(report.fits() ? "fits" : "does not fit").append(" the profile ");
  out.append(report.profile).append(": ");
  if (lacks != 0) out.append(notation::count(lacks, "requirement")).append(" not met");
  else out.append("all that is required is there");
  if (optional != 0) out.append(", ").append(std::to_string(optional)).append(" optional not there");
  return out.append(".\n");
}

}  // namespace axvm::inline v1
