#pragma once

#include <cstdint>

#include <axvm/cpu/cpuid.hpp>

namespace axvm::inline v1 {

/// How a machine's virtual CPUs share the host's processors. It decides which help of the hypervisor a guest is
/// offered.
enum class CpuUse : std::uint8_t {
  shared,     ///< others run there, too: a guest is told of stolen time and leaves waiting to the hypervisor
  dedicated,  ///< each has a core of its own: a guest may wait on the processor itself, which costs no exit
};

/// What KVM offers its guests beyond a processor, as CPUID tells them ([linux/kvm-cpuid]).
namespace kvm_cpuid {
inline constexpr std::uint32_t SIGNATURE = 0x4000'0000;
inline constexpr std::uint32_t SIGNATURE_EBX = 0x4b4d'564b;  ///< "KVMK", of "KVMKVMKVM"
inline constexpr std::uint32_t FEATURES = 0x4000'0001;

inline constexpr std::uint32_t CLOCKSOURCE = 1u << 0;
inline constexpr std::uint32_t NOP_IO_DELAY = 1u << 1;
inline constexpr std::uint32_t CLOCKSOURCE2 = 1u << 3;
inline constexpr std::uint32_t ASYNC_PF = 1u << 4;
inline constexpr std::uint32_t STEAL_TIME = 1u << 5;
inline constexpr std::uint32_t PV_EOI = 1u << 6;
inline constexpr std::uint32_t PV_UNHALT = 1u << 7;  ///< by hypercall: wakes a processor that waits for a lock
inline constexpr std::uint32_t PV_TLB_FLUSH = 1u << 9;
inline constexpr std::uint32_t ASYNC_PF_VMEXIT = 1u << 10;
inline constexpr std::uint32_t PV_SEND_IPI = 1u << 11;  ///< by hypercall
inline constexpr std::uint32_t POLL_CONTROL = 1u << 12;
inline constexpr std::uint32_t PV_SCHED_YIELD = 1u << 13;  ///< by hypercall
inline constexpr std::uint32_t ASYNC_PF_INT = 1u << 14;
inline constexpr std::uint32_t CLOCKSOURCE_STABLE = 1u << 24;

inline constexpr std::uint32_t EDX_HINTS_REALTIME = 1u << 0;  ///< virtual CPUs are never off their processors

/// Time without exits, and an interrupt's end without one: always good.
inline constexpr std::uint32_t always = CLOCKSOURCE | CLOCKSOURCE2 | CLOCKSOURCE_STABLE | NOP_IO_DELAY | PV_EOI;
/// What pays where a virtual CPU may be off its processor.
inline constexpr std::uint32_t when_shared = ASYNC_PF | ASYNC_PF_VMEXIT | ASYNC_PF_INT | STEAL_TIME | PV_TLB_FLUSH |
                                             POLL_CONTROL | PV_UNHALT | PV_SEND_IPI | PV_SCHED_YIELD;
/// What a guest does by a hypercall.
inline constexpr std::uint32_t by_hypercall = PV_UNHALT | PV_SEND_IPI | PV_SCHED_YIELD;
}  // namespace kvm_cpuid

/// Of what KVM offers, leaves the bundle for this use. `may_call` is whether the guest's hypercall instruction is the
/// one of the host's processor: the other one is replaced by KVM in the guest's code at its first use, which a kernel
/// with write-protected code does not survive. Leaves of other hypervisors are not touched.
constexpr void apply_paravirt(CpuidTable& table, CpuUse use, bool may_call) {
  CpuidEntry const* signature = table.find(kvm_cpuid::SIGNATURE);
  if (signature == nullptr || signature->ebx != kvm_cpuid::SIGNATURE_EBX) return;
  CpuidEntry* leaf = table.find(kvm_cpuid::FEATURES);
  if (leaf == nullptr) return;
  std::uint32_t wanted = kvm_cpuid::always;
  if (use == CpuUse::shared) wanted |= kvm_cpuid::when_shared;
  if (!may_call) wanted &= ~kvm_cpuid::by_hypercall;
  leaf->eax &= wanted;
  leaf->edx = use == CpuUse::dedicated ? kvm_cpuid::EDX_HINTS_REALTIME : 0;
}

}  // namespace axvm::inline v1
