#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include <axvm/core/once.hpp>
#include <axvm/cpu/cpuid.hpp>

namespace axvm::inline v1 {

/// How the guest's virtual CPUs are arranged: packages (sockets) of cores with one or more threads each.
struct Topology {
  unsigned vcpus = 1;                             ///< 1 to the profile's max_vcpus
  unsigned threads_per_core = 1;                  ///< 1 or 2; with 2, each package has whole cores, in order
  std::span<const std::uint8_t> package_of = {};  ///< of each vCPU; without it all are in package 0

  [[nodiscard]] constexpr unsigned package(unsigned index) const { return package_of.empty() ? 0 : package_of[index]; }
  /// How many vCPUs there are in a package below `end`.
  [[nodiscard]] constexpr unsigned count_in(unsigned package, unsigned end) const {
    if (package_of.empty()) return package == 0 ? end : 0;
    unsigned count = 0;
    for (unsigned i = 0; i < end; ++i) count += package_of[i] == package ? 1 : 0;
    return count;
  }
  /// The vCPUs of the fullest package.
  [[nodiscard]] constexpr unsigned largest_package() const {
    unsigned largest = package_of.empty() ? vcpus : 1;
    for (unsigned i = 0; !package_of.empty() && i < vcpus; ++i) {
      const unsigned count = count_in(package_of[i], vcpus);
      if (count > largest) largest = count;
    }
    return largest;
  }

  /// Threads of the fullest core: a single vCPU has no sibling.
  [[nodiscard]] constexpr unsigned threads() const {
    const unsigned most = largest_package();
    return threads_per_core < most ? threads_per_core : most;
  }

  /// Bits of an APIC id that number the thread in its core, and the logical processor in its package.
  [[nodiscard]] constexpr unsigned thread_bits() const { return std::bit_width(threads() - 1); }
  [[nodiscard]] constexpr unsigned package_bits() const { return std::bit_width(largest_package() - 1); }

  /// The APIC id of a vCPU: its package and its number within, so that threads of a core are neighbours. With one
  /// package ids equal indices.
  [[nodiscard, AXVM_ONCE]] constexpr unsigned apic_id(unsigned index) const {
    return package(index) << package_bits() | count_in(package(index), index);
  }
};

/// Makes every leaf that speaks of topology say the same about the vCPU `index`: 1, 4, 0xB and 0x1F of Intel,
/// 0x80000008, 0x8000001D and 0x8000001E of AMD. Leaves that the table does not have stay absent, but 0xB, which is
/// added when the maximum basic leaf covers it. [intel/vol3] 9.9.3; [amd/vol3] E.4.7, E.4.15, E.4.16
constexpr void apply_topology(CpuidTable& table, Topology const& topology, unsigned index) {
  const unsigned apic_id = topology.apic_id(index);
  const unsigned logical = 1u << topology.package_bits();
  const unsigned in_package = topology.count_in(topology.package(index), topology.vcpus);

  if (CpuidEntry* leaf = table.find(cpuid::FEATURES)) {
    leaf->ebx = (leaf->ebx & 0x0000'ffffu) | (logical < 0xff ? logical : 0xff) << 16 | (apic_id & 0xff) << 24;
    leaf->edx = logical > 1 ? leaf->edx | cpuid::EDX_HTT : leaf->edx & ~cpuid::EDX_HTT;
  }

  for (CpuidEntry& leaf : table.entries()) {
    const bool intel = leaf.function == cpuid::CACHES;
    if ((!intel && leaf.function != cpuid::AMD_CACHES) || (leaf.eax & 0x1f) == 0) continue;
    const unsigned level = leaf.eax >> 5 & 7;
    const unsigned sharing = level < 3 ? 1u << topology.thread_bits() : logical;
    const unsigned cores = intel ? 1u << (topology.package_bits() - topology.thread_bits()) : 1;
    leaf.eax = (leaf.eax & 0x3fff) | (sharing - 1) << 14 | (cores - 1) << 26;
  }

  for (const std::uint32_t function : {cpuid::TOPOLOGY, cpuid::TOPOLOGY_V2}) {
    const CpuidEntry* highest = table.find(0);
    const bool had = table.find(function) != nullptr;
    table.remove(function);
    if (highest == nullptr || highest->eax < function || (function == cpuid::TOPOLOGY_V2 && !had)) continue;
    const std::uint32_t levels[3][3] = {{topology.thread_bits(), topology.threads(), 1u << 8},
                                        {topology.package_bits(), in_package, 2u << 8},
                                        {0, 0, 0}};
    for (std::uint32_t i = 0; i < 3; ++i) {
      const CpuidEntry level{.function = function,
                             .index = i,
                             .indexed = true,
                             .eax = levels[i][0],
                             .ebx = levels[i][1],
                             .ecx = levels[i][2] | i,
                             .edx = apic_id};
      if (!table.add(level)) return;
    }
  }

  if (CpuidEntry* leaf = table.find(cpuid::AMD_SIZES))
    leaf->ecx = (leaf->ecx & ~0xf0ffu) | topology.package_bits() << 12 | (in_package - 1);
  if (CpuidEntry* leaf = table.find(cpuid::AMD_TOPOLOGY)) {
    leaf->eax = apic_id;
    leaf->ebx = (topology.threads() - 1) << 8 | (apic_id & (logical - 1)) >> topology.thread_bits();
    leaf->ecx = topology.package(index);  // one node in each package
  }
}

}  // namespace axvm::inline v1
