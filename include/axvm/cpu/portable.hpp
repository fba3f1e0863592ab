#pragma once

#include <array>

#include <axvm/cpu/profile.hpp>

namespace axvm::inline v1 {

/// A PC on whatever processor KVM runs on: demands nothing of the host, shows the guest what the host supports.
struct Portable {
  static constexpr std::string_view name = "portable";
  static constexpr unsigned max_vcpus = 255;
  static constexpr Platform platform = Platform::Pc;
  static constexpr AddressMap address_map{};
  static constexpr std::array host_requirements{
      requirement::optional(requirement::virtualisation), requirement::optional(requirement::nested_paging),
      requirement::optional(requirement::invariant_tsc), requirement::optional(requirement::x2apic),
      requirement::optional(requirement::gib_pages)};

  static constexpr void guest_cpuid(CpuidTable& table, GuestCpu const& cpu) { common_guest_cpuid(table, cpu); }
};
static_assert(CpuProfile<Portable>);

/// Processors and memory and nothing else: no interrupt controller, no firmware tables. HLT ends the run. For small
/// programs, experiments and tests.
struct Bare {
  static constexpr std::string_view name = "bare";
  static constexpr unsigned max_vcpus = 255;
  static constexpr Platform platform = Platform::Bare;
  static constexpr AddressMap address_map{};
  static constexpr std::span<const HostRequirement> host_requirements{};

  static constexpr void guest_cpuid(CpuidTable& table, GuestCpu const& cpu) { common_guest_cpuid(table, cpu); }
};
static_assert(CpuProfile<Bare>);

}  // namespace axvm::inline v1
