#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/once.hpp>

namespace axvm::inline v1 {

/// One answer of the CPUID instruction ([intel/vol2] CPUID).
struct CpuidEntry {
  std::uint32_t function = 0;  ///< EAX on entry, the leaf
  std::uint32_t index = 0;     ///< ECX on entry, the sub-leaf; means nothing unless `indexed`
  bool indexed = false;
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// What CPUID answers a guest: at most 256 entries, as many as KVM takes.
class CpuidTable {
 public:
  static constexpr std::size_t capacity = 256;

  /// Adds an entry; false when the table is full.
  [[nodiscard]] constexpr bool add(CpuidEntry const& entry) {
    if (count_ == capacity) return false;
    entries_[count_++] = entry;
    return true;
  }

  /// The entry for a leaf and, where the leaf has any, a sub-leaf; null when there is none.
  [[nodiscard]] constexpr CpuidEntry* find(std::uint32_t function, std::uint32_t index = 0) {
    for (CpuidEntry& entry : entries())
      if (entry.function == function && (!entry.indexed || entry.index == index)) return &entry;
    return nullptr;
  }

  /// Replaces the entry for the leaf and sub-leaf, or adds it; false when it is new and the table is full.
  [[nodiscard]] constexpr bool set(CpuidEntry const& entry) {
    if (CpuidEntry* old = find(entry.function, entry.index)) {
      *old = entry;
      return true;
    }
    return add(entry);
  }

  /// Removes a leaf with all its sub-leaves.
  constexpr void remove(std::uint32_t function) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i)
      if (entries_[i].function != function) entries_[kept++] = entries_[i];
    count_ = kept;
  }

  [[nodiscard]] constexpr std::span<CpuidEntry> entries() { return {entries_.data(), count_}; }
  [[nodiscard]] constexpr std::span<const CpuidEntry> entries() const { return {entries_.data(), count_}; }

 private:
  std::array<CpuidEntry, capacity> entries_{};
  std::size_t count_ = 0;
};

/// Bits of CPUID that this project sets or asks for, named as the manuals name them.
namespace cpuid {
inline constexpr std::uint32_t FEATURES = 0x1;              ///< [intel/vol2] table 3-10, 3-11
inline constexpr std::uint32_t CACHES = 0x4;                ///< deterministic cache parameters
inline constexpr std::uint32_t MWAIT = 0x5;                 ///< MONITOR and MWAIT
inline constexpr std::uint32_t TOPOLOGY = 0xb;              ///< extended topology enumeration
inline constexpr std::uint32_t XSAVE = 0xd;                 ///< processor extended state
inline constexpr std::uint32_t TOPOLOGY_V2 = 0x1f;          ///< V2 extended topology enumeration
inline constexpr std::uint32_t POWER = 0x8000'0007;         ///< [amd/vol3] E.4.6; invariant TSC
inline constexpr std::uint32_t AMD_SIZES = 0x8000'0008;     ///< [amd/vol3] E.4.7; address widths, number of cores
inline constexpr std::uint32_t AMD_CACHES = 0x8000'001d;    ///< [amd/vol3] E.4.15; cache properties
inline constexpr std::uint32_t AMD_TOPOLOGY = 0x8000'001e;  ///< [amd/vol3] E.4.16; extended APIC id

inline constexpr std::uint32_t ECX_MONITOR = 1u << 3;
inline constexpr std::uint32_t ECX_VMX = 1u << 5;
inline constexpr std::uint32_t ECX_X2APIC = 1u << 21;
inline constexpr std::uint32_t ECX_TSC_DEADLINE = 1u << 24;
inline constexpr std::uint32_t ECX_HYPERVISOR = 1u << 31;
inline constexpr std::uint32_t EDX_HTT = 1u << 28;
inline constexpr std::uint32_t MWAIT_ECX_EXTENSIONS = 1u << 0;
inline constexpr std::uint32_t MWAIT_ECX_INTERRUPTS = 1u << 1;  ///< wakes by interrupts even where they are masked
inline constexpr std::uint32_t MWAIT_EDX_C1 = 2u << 4;          ///< C1 and C1E, nothing deeper
inline constexpr std::uint32_t POWER_EDX_INVARIANT_TSC = 1u << 8;
inline constexpr std::uint32_t XSAVE1_EAX_XSAVEC = 1u << 1;
inline constexpr std::uint32_t XSAVE1_EAX_XSAVES = 1u << 3;
}  // namespace cpuid

/// The width of physical addresses that a table tells; 36 where it does not ([intel/vol3] 4.1.4).
[[AXVM_ONCE]] constexpr unsigned physical_bits(CpuidTable& table) {
  CpuidEntry const* leaf = table.find(cpuid::AMD_SIZES);
  return leaf == nullptr || (leaf->eax & 0xff) == 0 ? 36 : leaf->eax & 0xff;
}

}  // namespace axvm::inline v1
