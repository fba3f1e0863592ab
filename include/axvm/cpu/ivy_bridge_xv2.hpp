#pragma once

#include <array>

#include <axvm/core/once.hpp>
#include <axvm/cpu/halt_poll.hpp>
#include <axvm/cpu/ivy_bridge_cpuid.hpp>
#include <axvm/cpu/memory_backing.hpp>
#include <axvm/cpu/performance_counters.hpp>
#include <axvm/cpu/profile.hpp>

namespace axvm::inline v1 {

/// The Xeon E5-2680 v2 (Ivy Bridge-EP, 10 cores, 20 threads): refuses any other host, uses what else KVM finds there,
/// takes up to 20 vCPUs, shows its guest this processor and nothing newer, and is a PC. [intel/e5v2]
struct IvyBridgeXv2 {
  static constexpr std::string_view name = "Xv2 (Xeon E5-2680 v2)";
  static constexpr unsigned max_vcpus = 20;
  static constexpr Platform platform = Platform::Pc;
  static constexpr AddressMap address_map{};
  static constexpr std::array host_requirements{requirement::ivy_bridge_ep,
                                                requirement::vt_x,
                                                requirement::ept,
                                                requirement::invariant_tsc,
                                                requirement::x2apic,
                                                requirement::optional(requirement::tsc_scaling),
                                                requirement::optional(requirement::apicv),
                                                requirement::optional(requirement::posted_interrupts),
                                                requirement::optional(requirement::gib_pages)};

  /// Throughput: a core for each vCPU before any is shared, memory beside it.
  static constexpr PlacementPolicy placement{};
  static constexpr std::array memory_order{MemoryBacking::hugetlb_1g, MemoryBacking::hugetlb_2m, MemoryBacking::thp,
                                           MemoryBacking::small};

  /// A shared processor is not kept from others, or from its sibling, for longer than a switch away and back takes;
  /// on one of its own a vCPU has time, as KVM's default has it.
  static constexpr HaltPollPolicy halt_poll{.shared_ns = 50'000, .dedicated_ns = 200'000};

  /// apply_ivy_bridge leaves them out.
  static constexpr bool performance_counters = false;

  [[AXVM_ONCE]] static constexpr void guest_cpuid(CpuidTable& table, GuestCpu const& cpu) {
    const bool same_vendor = has_vendor(table, ivy_bridge::VENDOR);
    apply_ivy_bridge(table);
    common_guest_cpuid(table, cpu, same_vendor);
  }
};
static_assert(CpuProfile<IvyBridgeXv2> && HasPlacementPolicy<IvyBridgeXv2> && HasHaltPollPolicy<IvyBridgeXv2> &&
              HasPerformanceCountersPolicy<IvyBridgeXv2>);

}  // namespace axvm::inline v1
