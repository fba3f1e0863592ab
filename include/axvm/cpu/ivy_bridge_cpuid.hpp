#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include <axvm/cpu/cpuid.hpp>

namespace axvm::inline v1 {

/// What CPUID says on a Xeon E5-2680 v2 to a guest: what the processor has, less what is not virtualised (power and
/// thermal management, debug store, performance counters, VMX and SMX). [intel/vol2] CPUID, [intel/e5v2]
namespace ivy_bridge {

inline constexpr std::uint32_t SIGNATURE = 0x0003'06e4;  ///< family 6, model 0x3e, stepping 4
inline constexpr std::string_view VENDOR = "GenuineIntel";
inline constexpr std::string_view BRAND = "Intel(R) Xeon(R) CPU E5-2680 v2 @ 2.80GHz";
inline constexpr std::uint32_t MAX_LEAF = 0xd;
inline constexpr std::uint32_t MAX_EXTENDED_LEAF = 0x8000'0008;
inline constexpr std::uint32_t PHYSICAL_BITS = 46, LINEAR_BITS = 48;

/// The feature bits a guest may see where the hypervisor supports them.
inline constexpr std::uint32_t FEATURES_ECX = 1u << 0 /* SSE3 */ | 1u << 1 /* PCLMULQDQ */ | 1u << 9 /* SSSE3 */ |
                                              1u << 13 /* CMPXCHG16B */ | 1u << 17 /* PCID */ | 1u << 19 /* SSE4_1 */ |
                                              1u << 20 /* SSE4_2 */ | 1u << 21 /* X2APIC */ | 1u << 23 /* POPCNT */ |
                                              1u << 24 /* TSC_DEADLINE */ | 1u << 25 /* AESNI */ |
                                              1u << 26 /* XSAVE */ | 1u << 27 /* OSXSAVE */ | 1u << 28 /* AVX */ |
                                              1u << 29 /* F16C */ | 1u << 30 /* RDRAND */ | 1u << 31 /* a hypervisor */;
inline constexpr std::uint32_t FEATURES_EDX = 0x1f8b'fbff;  ///< FPU to HTT but PSN, DS and ACPI
inline constexpr std::uint32_t LEAF7_EBX = 1u << 0 /* FSGSBASE */ | 1u << 7 /* SMEP */ | 1u << 9 /* ERMS */;
/// What its microcode got against speculation: the last is SSBD.
inline constexpr std::uint32_t LEAF7_EDX =
    1u << 10 /* MD_CLEAR */ | 1u << 26 /* IBRS and IBPB */ | 1u << 27 /* STIBP */ | 1u << 28 /* L1D_FLUSH */ | 1u << 31;
inline constexpr std::uint32_t EXTENDED_ECX = 1u << 0 /* LAHF */;
inline constexpr std::uint32_t EXTENDED_EDX = 1u << 11 /* SYSCALL */ | 1u << 20 /* NX */ | 1u << 26 /* 1 GiB pages */ |
                                              1u << 27 /* RDTSCP */ | 1u << 29 /* 64-bit mode */;
inline constexpr std::uint32_t XSAVE_STATES = 7;      ///< x87, SSE, AVX
inline constexpr std::uint32_t XSAVE_BYTES = 832;     ///< of all three in the standard format
inline constexpr std::uint32_t AVX_BYTES = 256;       ///< of these the AVX state, the last
inline constexpr std::uint32_t XSAVE1_EAX = 1u << 0;  ///< XSAVEOPT
inline constexpr std::uint32_t POWER_EAX = 1u << 2;   ///< ARAT: the APIC timer never stops

/// Leaf 4: L1 data, L1 instruction, L2, L3, and the end. EAX has type, level and "self-initialising" only: how many
/// processors share a cache is a matter of topology.
inline constexpr std::array<CpuidEntry, 5> CACHES{{
    {.function = 4, .index = 0, .indexed = true, .eax = 0x121, .ebx = 0x01c0'003f, .ecx = 63, .edx = 0},
    {.function = 4, .index = 1, .indexed = true, .eax = 0x122, .ebx = 0x01c0'003f, .ecx = 63, .edx = 0},
    {.function = 4, .index = 2, .indexed = true, .eax = 0x143, .ebx = 0x01c0'003f, .ecx = 511, .edx = 0},
    {.function = 4, .index = 3, .indexed = true, .eax = 0x163, .ebx = 0x04c0'003f, .ecx = 20479, .edx = 6},
    {.function = 4, .index = 4, .indexed = true},
}};
/// Leaf 2: TLBs and prefetch of the core; 0xff there says that leaf 4 has the caches.
inline constexpr CpuidEntry TLBS{.function = 2, .eax = 0x7603'5a01, .ebx = 0x00f0'b2ff, .ecx = 0, .edx = 0x00ca'0000};
inline constexpr std::uint32_t L2_SUMMARY = 0x0100'6040;  ///< leaf 0x80000006: 256 KiB, 8-way, lines of 64 bytes

/// Four bytes of a text from `at` on, zero behind its end, as a register holds them.
constexpr std::uint32_t four_bytes(std::string_view text, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4 && at + i < text.size(); ++i)
    value |= std::uint32_t{static_cast<unsigned char>(text[at + i])} << 8 * i;
  return value;
}

}  // namespace ivy_bridge

/// Whether the processor behind a table of CPUID is of this vendor.
constexpr bool has_vendor(CpuidTable& table, std::string_view vendor) {
  using ivy_bridge::four_bytes;
  CpuidEntry const* leaf = table.find(0);
  return leaf != nullptr && leaf->ebx == four_bytes(vendor, 0) && leaf->edx == four_bytes(vendor, 4) &&
         leaf->ecx == four_bytes(vendor, 8);
}

/// Makes of what the hypervisor supports what a Xeon E5-2680 v2 has of it: nothing newer, nothing that is not there.
/// Leaves of the hypervisor itself (0x4xxxxxxx) stay. Topology comes afterwards.
constexpr void apply_ivy_bridge(CpuidTable& table) {
  using namespace ivy_bridge;
  CpuidTable host = table;
  auto of = [&host](std::uint32_t function, std::uint32_t index = 0) {
    CpuidEntry const* entry = host.find(function, index);
    return entry != nullptr ? *entry : CpuidEntry{};
  };
  table = {};
  auto add = [&table](CpuidEntry const& entry) { (void)table.add(entry); };  // far fewer than it holds

  add({.function = 0,
       .eax = MAX_LEAF,
       .ebx = four_bytes(VENDOR, 0),
       .ecx = four_bytes(VENDOR, 8),
       .edx = four_bytes(VENDOR, 4)});
  const CpuidEntry features = of(1);
  add({.function = 1,
       .eax = SIGNATURE,
       .ebx = 8u << 8 /* CLFLUSH: 64 bytes */,
       .ecx = features.ecx & FEATURES_ECX,
       .edx = features.edx & FEATURES_EDX});
  add(TLBS);
  for (CpuidEntry const& cache : CACHES) add(cache);
  for (const std::uint32_t empty : {5u, 9u, 0xau}) add({.function = empty});
  add({.function = 6, .eax = of(6).eax & POWER_EAX});
  add({.function = 7, .index = 0, .indexed = true, .ebx = of(7).ebx & LEAF7_EBX, .edx = of(7).edx & LEAF7_EDX});
  const std::uint32_t states = (features.ecx & 1u << 26) != 0 ? of(0xd).eax & XSAVE_STATES : 0;
  const std::uint32_t bytes = states == 0 ? 0 : (states & 4) != 0 ? XSAVE_BYTES : XSAVE_BYTES - AVX_BYTES;
  add({.function = 0xd, .index = 0, .indexed = true, .eax = states, .ebx = bytes, .ecx = bytes});
  add({.function = 0xd, .index = 1, .indexed = true, .eax = states == 0 ? 0 : of(0xd, 1).eax & XSAVE1_EAX});
  if ((states & 4) != 0) add({.function = 0xd, .index = 2, .indexed = true, .eax = AVX_BYTES, .ebx = 576});

  for (CpuidEntry const& entry : host.entries())
    if (entry.function >> 28 == 4) add(entry);

  add({.function = 0x8000'0000, .eax = MAX_EXTENDED_LEAF});
  const CpuidEntry extended = of(0x8000'0001);
  add({.function = 0x8000'0001, .ecx = extended.ecx & EXTENDED_ECX, .edx = extended.edx & EXTENDED_EDX});
  for (std::uint32_t i = 0; i < 3; ++i) {
    const std::size_t at = std::size_t{16} * i;
    add({.function = 0x8000'0002 + i,
         .eax = four_bytes(BRAND, at),
         .ebx = four_bytes(BRAND, at + 4),
         .ecx = four_bytes(BRAND, at + 8),
         .edx = four_bytes(BRAND, at + 12)});
  }
  add({.function = 0x8000'0005});
  add({.function = 0x8000'0006, .ecx = L2_SUMMARY});
  add({.function = cpuid::POWER, .edx = of(cpuid::POWER).edx & cpuid::POWER_EDX_INVARIANT_TSC});
  const std::uint32_t host_bits = of(cpuid::AMD_SIZES).eax & 0xff;
  const std::uint32_t bits = host_bits == 0 ? 36 : std::min(host_bits, PHYSICAL_BITS);
  add({.function = cpuid::AMD_SIZES, .eax = LINEAR_BITS << 8 | bits});
}

}  // namespace axvm::inline v1
