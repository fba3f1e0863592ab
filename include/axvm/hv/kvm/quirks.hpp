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
/// finds that the sizes do not add up. The feature bits are those of [intel/vol2] tables 3-8, 3-10 and 3-11 and of
/// [amd/vol3] E.4.2.
constexpr void hide_xsave(CpuidTable& table) {
  if (CpuidEntry* features = table.find(cpuid::FEATURES))
    features->ecx &= ~(1u << 12 /* FMA */ | 1u << 26 /* XSAVE */ | 1u << 27 /* OSXSAVE */ | 1u << 28 /* AVX */ |
                       1u << 29 /* F16C */);
  if (CpuidEntry* more = table.find(7)) {
    more->ebx &= ~(1u << 5 /* AVX2 */ | 1u << 14 /* MPX */ | 0xdc23'0000u /* AVX512 */);
    more->ecx &= ~(1u << 1 /* AVX512_VBMI */ | 1u << 3 /* PKU */ | 1u << 4 /* OSPKE */ | 1u << 6 /* AVX512_VBMI2 */ |
                   1u << 9 /* VAES */ | 1u << 10 /* VPCLMULQDQ */ | 1u << 11 /* AVX512_VNNI */ |
                   1u << 12 /* AVX512_BITALG */ | 1u << 14 /* AVX512_VPOPCNTDQ */ | 1u << 7 /* CET_SS */);
    more->edx &= ~(1u << 2 /* AVX512_4VNNIW */ | 1u << 3 /* AVX512_4FMAPS */ | 1u << 5 /* UINTR */ |
                   1u << 8 /* AVX512_VP2INTERSECT */ | 1u << 20 /* CET_IBT */ | 1u << 22 /* AMX_BF16 */ |
                   1u << 23 /* AVX512_FP16 */ | 1u << 24 /* AMX_TILE */ | 1u << 25 /* AMX_INT8 */);
  }
  if (CpuidEntry* more = table.find(7, 1)) {
    more->eax &= ~(0x7u /* SHA512, SM3, SM4 */ | 1u << 4 /* AVX_VNNI */ | 1u << 5 /* AVX512_BF16 */ |
                   1u << 21 /* AMX_FP16 */ | 1u << 23 /* AVX_IFMA */);
    more->edx &= ~(1u << 4 /* AVX_VNNI_INT8 */ | 1u << 5 /* AVX_NE_CONVERT */ | 1u << 8 /* AMX_COMPLEX */ |
                   1u << 10 /* AVX_VNNI_INT16 */ | 1u << 19 /* AVX10 */ | 1u << 21 /* APX */);
  }
  if (CpuidEntry* extended = table.find(0x8000'0001))
    extended->ecx &= ~(1u << 11 /* XOP */ | 1u << 15 /* LWP */ | 1u << 16 /* FMA4 */);
  for (const std::uint32_t leaf : {cpuid::XSAVE, 0x1du /* tiles */, 0x1eu /* TMUL */, 0x24u /* AVX10 */})
    table.remove(leaf);
}

}  // namespace axvm::kvm::inline v1
