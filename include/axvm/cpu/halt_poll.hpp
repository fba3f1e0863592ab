#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include <axvm/cpu/paravirt.hpp>

namespace axvm::inline v1 {

/// How long a host processor keeps looking for the next interrupt of a virtual CPU that halted, before it does
/// something else or sleeps: at most so many nanoseconds, 0 for not at all. A wait that ends in that time costs no
/// switch and no wake-up; one that does not was spent for nothing. ([linux/kvm] 7.20)
struct HaltPollPolicy {
  std::uint32_t shared_ns = 0;     ///< where others run on the same processor
  std::uint32_t dedicated_ns = 0;  ///< where a virtual CPU has it for itself, and yet comes out when it halts

  /// The time for this use.
  [[nodiscard]] constexpr std::uint32_t for_use(CpuUse use) const {
    return use == CpuUse::dedicated ? dedicated_ns : shared_ns;
  }

  friend constexpr bool operator==(HaltPollPolicy const&, HaltPollPolicy const&) = default;
};

/// A profile that says how long halted virtual CPUs are waited for: `static constexpr HaltPollPolicy halt_poll{...}`.
template <class P>
concept HasHaltPollPolicy = requires {
  { P::halt_poll } -> std::convertible_to<HaltPollPolicy>;
};

/// What the profile `P` says for this use, in nanoseconds; nothing where it leaves that to the host's own setting.
template <class P>
constexpr std::optional<std::uint32_t> halt_poll_of([[maybe_unused]] CpuUse use) {
  if constexpr (HasHaltPollPolicy<P>) return HaltPollPolicy(P::halt_poll).for_use(use);
  else return std::nullopt;
}

}  // namespace axvm::inline v1
