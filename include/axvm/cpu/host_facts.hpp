#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// Whether the host has something that CPUID alone does not tell. Nothing known is not the same as absent.
struct HostAbility {
  std::optional<bool> present{};  ///< nothing where nobody says
  std::string_view source{};      ///< who says so: "kvm_intel", "IA32_VMX_EPT_VPID_CAP"; empty: it follows from CPUID
};

/// What is known of the machine the monitor runs on; gathered once, checked against a profile's requirements.
struct HostFacts {
  Text<12> vendor{};    ///< "GenuineIntel", "AuthenticAMD" (CPUID leaf 0)
  Text<48> brand{};     ///< CPUID leaves 0x80000002 to 4, without spaces in front
  unsigned family = 0;  ///< with the extended family added ([intel/vol2] CPUID, figure 3-6)
  unsigned model = 0;   ///< with the extended model
  unsigned stepping = 0;
  unsigned physical_bits = 0;  ///< width of a physical address, CPUID.80000008H:EAX[7:0]; 0: not told
  bool vmx = false;            ///< CPUID.1:ECX.VMX
  bool vmx_locked = false;     ///< the firmware turned VMX off ([intel/vol3] IA32_FEATURE_CONTROL); false where unknown
  bool svm = false;            ///< CPUID.80000001H:ECX.SVM ([amd/vol3] E.4.2)
  bool invariant_tsc = false;  ///< CPUID.80000007H:EDX[8]
  bool x2apic = false;         ///< CPUID.1:ECX[21]
  bool gib_pages = false;      ///< CPUID.80000001H:EDX[26], pages of 1 GiB in page tables of the processor's own
  bool is_guest = false;       ///< CPUID.1:ECX[31], a hypervisor is below
  Text<12> hypervisor{};       ///< its signature, "KVMKVMKVM" (CPUID leaf 0x40000000); empty where it has none

  // Of KVM where its module says what it uses, else of the processor.
  HostAbility ept{};                 ///< extended page tables (VT-x)
  HostAbility npt{};                 ///< nested page tables (SVM)
  HostAbility unrestricted_guest{};  ///< real mode without emulation; SVM always has it
  HostAbility nested_gib_pages{};    ///< pages of 1 GiB in EPT or NPT
  HostAbility tsc_scaling{};         ///< a guest's TSC may have a frequency of its own
  HostAbility apicv{};               ///< the processor's local APIC of a guest: APICv of Intel, AVIC of AMD
  HostAbility posted_interrupts{};   ///< interrupts reach a running guest without an exit

  /// Whether the processor can run guests: VT-x or SVM.
  [[nodiscard]] constexpr bool virtualises() const { return (vmx && !vmx_locked) || svm; }
};

}  // namespace axvm::inline v1
