#pragma once

#include <cpuid.h>

#include <cstdint>
#include <cstring>

#include <axvm/cpu/cpuid.hpp>

namespace axvm::kvm::inline v1 {

/// Whether this host is itself emulated by QEMU's TCG (its hypervisor leaf says so).
inline bool host_is_tcg() {
  std::uint32_t eax = 0, signature[3]{};
  if (__get_cpuid(1, &eax, &signature[0], &signature[1], &signature[2]) == 0) return false;
  if ((signature[1] & cpuid::ECX_HYPERVISOR) == 0) return false;
  __cpuid(0x4000'0000, eax, signature[0], signature[1], signature[2]);
  return std::memcmp(signature, "TCGTCGTCGTCG", sizeof signature) == 0;
}

/// Takes XSAVE and everything that needs it out of what a guest is shown. TCG carries out a nested guest's XSETBV
/// without the intercept that KVM relies on, so KVM's CPUID leaf 0xD never learns which state is enabled and a guest
/// finds that the sizes do not add up. The feature bits are those of [intel/vol2] tables 3-8, 3-10 and 3-11.
constexpr void hide_xsave(CpuidTable& table) {
  if (CpuidEntry* features = table.find(cpuid::FEATURES))
    features->ecx &= ~(1u << 12 /* FMA */ | 1u << 26 /* XSAVE */ | 1u << 27 /* OSXSAVE */ | 1u << 28 /* AVX */ |
                       1u << 29 /* F16C */);
  if (CpuidEntry* more = table.find(7)) {
    more->ebx &= ~(1u << 5 /* AVX2 */ | 1u << 14 /* MPX */ | 0xdc23'0000u /* AVX512 */);
    more->ecx &= ~(1u << 1 /* AVX512_VBMI */ | 1u << 3 /* PKU */ | 1u << 4 /* OSPKE */ | 1u << 6 /* AVX512_VBMI2 */ |
                   1u << 9 /* VAES */ | 1u << 10 /* VPCLMULQDQ */ | 1u << 11 /* AVX512_VNNI */ |
                   1u << 12 /* AVX512_BITALG */ | 1u << 14 /* AVX512_VPOPCNTDQ */);
  }
  table.remove(cpuid::XSAVE);
}

}  // namespace axvm::kvm::inline v1
