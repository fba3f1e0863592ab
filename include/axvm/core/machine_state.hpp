#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace axvm::inline v1 {

/// The life of a machine.
enum class MachineState : std::uint8_t {
  Loading,    ///< created; nothing to run yet
  Loaded,     ///< a guest is in memory, the processors stand at its entry
  Running,    ///< processors execute
  Suspended,  ///< processors are out of the guest and may continue
  Stopping,   ///< processors are being called out for good
  Stopped,    ///< the run is over; registers and memory can be looked at
  Failed,     ///< the run ended with an error
};

inline constexpr std::size_t machine_state_count = static_cast<std::size_t>(MachineState::Failed) + 1;

/// The name of a state as messages and the control interface show it.
constexpr std::string_view name_of(MachineState state) {
  constexpr std::string_view names[machine_state_count] = {"loading",  "loaded",  "running", "suspended",
                                                           "stopping", "stopped", "failed"};
  return names[static_cast<std::size_t>(state)];
}

/// Whether a machine may go from one state to another.
constexpr bool may_follow(MachineState from, MachineState to) {
  using enum MachineState;
  constexpr bool table[machine_state_count][machine_state_count] = {
      // to: Loading Loaded Running Suspended Stopping Stopped Failed
      {false, true, false, false, false, true, true},   // Loading
      {false, true, true, false, false, true, true},    // Loaded: loading again replaces the guest
      {false, false, false, true, true, false, true},   // Running
      {false, false, true, false, true, false, true},   // Suspended
      {false, true, false, false, false, true, true},   // Stopping: a restart goes back to Loaded
      {false, true, false, false, false, false, true},  // Stopped: the guest can be loaded and run again
      {false, true, false, false, false, true, false},  // Failed
  };
  return table[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

/// How a run ended, when it did not fail.
enum class End : std::uint8_t {
  PoweredOff,  ///< the guest powered off
  Finished,    ///< a handler or a device ended it, or the guest halted for good
  Reset,       ///< the guest asked for a reset and the configuration says that this ends the run
  Stopped,     ///< the program called stop()
};

/// The name of an end, for messages.
constexpr std::string_view name_of(End end) {
  constexpr std::string_view names[] = {"powered off", "finished", "reset", "stopped"};
  return names[static_cast<std::size_t>(end)];
}

}  // namespace axvm::inline v1
