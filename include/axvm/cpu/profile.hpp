#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include <axvm/core/address_map.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/placement_plan.hpp>
#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/host_requirement.hpp>
#include <axvm/cpu/paravirt.hpp>
#include <axvm/cpu/topology.hpp>

namespace axvm::inline v1 {

/// What a machine has without anybody listing it.
enum class Platform : std::uint8_t {
  Bare,  ///< processors and memory, nothing else: no interrupt controller unless a device claims a line, no ACPI
  Pc,    ///< local APICs and an I/O APIC, ACPI tables, power and reset registers: what a PC operating system expects
};

/// One virtual CPU of a machine, for the profile that says what its guest is shown.
struct GuestCpu {
  Topology topology{};
  unsigned index = 0;  ///< of this one, 0 for the boot processor
  CpuUse use = CpuUse::shared;
  bool mwait = false;  ///< MWAIT waits on the processor itself and may be offered
};

/// A kind of processor: what the host must have, what the guest is shown, and the machine's limits.
template <class P>
concept CpuProfile = requires(CpuidTable& table, GuestCpu const& cpu) {
  { P::name } -> std::convertible_to<std::string_view>;
  { P::max_vcpus } -> std::convertible_to<unsigned>;
  { P::platform } -> std::convertible_to<Platform>;
  { P::address_map } -> std::convertible_to<AddressMap>;
  { std::span<const HostRequirement>(P::host_requirements) };
  P::guest_cpuid(table, cpu);
};

/// Says what it wants of the host where there is a choice: `static constexpr PlacementPolicy placement`.
template <class P>
concept HasPlacementPolicy = requires {
  { P::placement } -> std::convertible_to<PlacementPolicy>;
};

/// The least that is a profile.
struct CpuProfileArchetype {
  static constexpr std::string_view name = "archetype";
  static constexpr unsigned max_vcpus = 1;
  static constexpr Platform platform = Platform::Bare;
  static constexpr AddressMap address_map{};
  static constexpr std::span<const HostRequirement> host_requirements{};
  static constexpr void guest_cpuid(CpuidTable&, GuestCpu const&) {}
};
static_assert(CpuProfile<CpuProfileArchetype>);

/// What every profile does to a table of CPUID behind its own changes: the topology of this vCPU, the hypervisor bit,
/// the hypervisor's help for this use (`may_call`: see apply_paravirt), and an extended state that adds up. A nested
/// host may report compacted XSAVE sizes that contradict its components; then the compacted formats are hidden and the
/// standard format, which does add up, is used ([intel/vol1] 13.4.3).
[[AXVM_ONCE]] constexpr void common_guest_cpuid(CpuidTable& table, GuestCpu const& cpu, bool may_call = true) {
  if (CpuidEntry* leaf = table.find(cpuid::FEATURES)) {
    leaf->ecx |= cpuid::ECX_HYPERVISOR;
    if (cpu.mwait) leaf->ecx |= cpuid::ECX_MONITOR;
  }
  if (CpuidEntry* leaf = table.find(cpuid::MWAIT); leaf != nullptr && cpu.mwait)
    *leaf = {.function = cpuid::MWAIT,
             .eax = 64,
             .ebx = 64,
             .ecx = cpuid::MWAIT_ECX_EXTENSIONS | cpuid::MWAIT_ECX_INTERRUPTS,
             .edx = cpuid::MWAIT_EDX_C1};
  apply_topology(table, cpu.topology, cpu.index);
  apply_paravirt(table, cpu.use, may_call);
  CpuidEntry* state = table.find(cpuid::XSAVE, 1);
  if (state == nullptr || (state->eax & (cpuid::XSAVE1_EAX_XSAVEC | cpuid::XSAVE1_EAX_XSAVES)) == 0) return;
  state->eax &= ~(cpuid::XSAVE1_EAX_XSAVEC | cpuid::XSAVE1_EAX_XSAVES);
  state->ebx = state->ecx = state->edx = 0;
}

}  // namespace axvm::inline v1
