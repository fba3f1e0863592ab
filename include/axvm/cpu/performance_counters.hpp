#pragma once

#include <concepts>

namespace axvm::inline v1 {

/// A profile whose CPUID says whether its processor has performance counters: `static constexpr bool
/// performance_counters`. Where it has none the hypervisor need not keep any either, which it does at each instruction
/// that it carries out.
/// ([linux/kvm] 8.35)
template <class P>
concept HasPerformanceCountersPolicy = requires {
  { P::performance_counters } -> std::convertible_to<bool>;
};

/// Whether guests of the profile `P` may use the host's performance counters; those of one that does not say, may.
template <class P>
consteval bool has_performance_counters() {
  if constexpr (HasPerformanceCountersPolicy<P>) return P::performance_counters;
  else return true;
}

}  // namespace axvm::inline v1
