#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace axvm::inline v1 {

/// Where a processor stops for its monitor. The guest's own debug registers are not touched, and it does not notice.
struct Breakpoint {
  /// What stops it, as DR7's R/W field says it, [intel/vol3] 18.2.4.
  enum class On : std::uint8_t {
    execute = 0,  ///< the instruction at the address; `length` is 1
    write = 1,
    access = 3,  ///< reads and writes of data
  };

  std::uint64_t address = 0;  ///< linear, aligned to the length
  On on = On::execute;
  std::uint8_t length = 1;  ///< bytes: 1, 2, 4 or 8
  bool enabled = false;
};

/// What a processor is asked to stop at.
struct GuestDebug {
  bool single_step = false;  ///< after each instruction
  bool on_int3 = false;      ///< at INT3 instructions, before they reach the guest
  std::array<Breakpoint, 4> breakpoints{};

  [[nodiscard]] constexpr bool any_breakpoint() const {
    for (Breakpoint const& breakpoint : breakpoints)
      if (breakpoint.enabled) return true;
    return false;
  }

  /// The breakpoints as the register DR7, [intel/vol3] 18.2.4.
  [[nodiscard]] constexpr std::uint64_t dr7() const {
    std::uint64_t value = 1u << 10;  // always set
    for (std::size_t i = 0; i < breakpoints.size(); ++i) {
      Breakpoint const& breakpoint = breakpoints[i];
      if (!breakpoint.enabled) continue;
      const std::uint64_t length = breakpoint.length == 8   ? 2
                                   : breakpoint.length == 4 ? 3
                                   : breakpoint.length == 2 ? 1
                                                            : 0;
      value |= std::uint64_t{2} << 2 * i;  // Gi
      value |= (static_cast<std::uint64_t>(breakpoint.on) | length << 2) << (16 + 4 * i);
    }
    return value;
  }
};

/// Why a processor stopped for its monitor.
struct DebugEvent {
  std::uint64_t address = 0;    ///< linear, of the instruction it stands at
  std::uint32_t exception = 0;  ///< 1 for #DB, 3 for #BP
  std::uint64_t dr6 = 0;        ///< bits 0 to 3: which breakpoints; bit 14: a single step, [intel/vol3] 18.2.3
};

}  // namespace axvm::inline v1
