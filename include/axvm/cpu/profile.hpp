#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include <axvm/core/address_map.hpp>
#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/host_facts.hpp>
#include <axvm/cpu/topology.hpp>

namespace axvm::inline v1 {

/// What a machine has without anybody listing it.
enum class Platform : std::uint8_t {
  Bare,  ///< processors and memory, nothing else: no interrupt controller unless a device claims a line, no ACPI
  Pc,    ///< local APICs and an I/O APIC, ACPI tables, power and reset registers: what a PC operating system expects
};

/// A kind of processor: what the host must have, what the guest is shown, and the machine's limits.
template <class P>
concept CpuProfile = requires(CpuidTable& table, Topology const& topology, unsigned index) {
  { P::name } -> std::convertible_to<std::string_view>;
  { P::max_vcpus } -> std::convertible_to<unsigned>;
  { P::platform } -> std::convertible_to<Platform>;
  { P::address_map } -> std::convertible_to<AddressMap>;
  { std::span<const HostRequirement>(P::host_requirements) };
  P::guest_cpuid(table, topology, index);
};

/// The least that is a profile.
struct CpuProfileArchetype {
  static constexpr std::string_view name = "archetype";
  static constexpr unsigned max_vcpus = 1;
  static constexpr Platform platform = Platform::Bare;
  static constexpr AddressMap address_map{};
  static constexpr std::span<const HostRequirement> host_requirements{};
  static constexpr void guest_cpuid(CpuidTable&, Topology const&, unsigned) {}
};
static_assert(CpuProfile<CpuProfileArchetype>);

/// What every profile does to the host's CPUID before its own changes: the topology of this vCPU, the hypervisor bit,
/// and an extended state that adds up. A nested host may report compacted XSAVE sizes that contradict its components;
/// then the compacted formats are hidden and the standard format, which does add up, is used ([intel/vol1] 13.4.3).
constexpr void common_guest_cpuid(CpuidTable& table, Topology const& topology, unsigned index) {
  if (CpuidEntry* leaf = table.find(cpuid::FEATURES)) leaf->ecx |= cpuid::ECX_HYPERVISOR;
  apply_topology(table, topology, index);
  CpuidEntry* state = table.find(cpuid::XSAVE, 1);
  if (state == nullptr || (state->eax & (cpuid::XSAVE1_EAX_XSAVEC | cpuid::XSAVE1_EAX_XSAVES)) == 0) return;
  state->eax &= ~(cpuid::XSAVE1_EAX_XSAVEC | cpuid::XSAVE1_EAX_XSAVES);
  state->ebx = state->ecx = state->edx = 0;
}

}  // namespace axvm::inline v1
