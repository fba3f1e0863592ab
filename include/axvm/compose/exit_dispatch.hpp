#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <axvm/compose/board.hpp>
#include <axvm/compose/handlers.hpp>

namespace axvm::inline v1 {

/// What a vCPU counts about itself.
struct VcpuCounters {
  std::array<Counter, exit_reason_count> exits{};  ///< by ExitReason
  UnclaimedCounters unclaimed{};

  /// Everything back to zero, while the vCPU does not run.
  void reset() {
    for (Counter& counter : exits) counter.reset();
    unclaimed.ports.reset();
    unclaimed.mmio.reset();
  }
};

/// The switch over exit reasons, generated: one comparison per reason against a constant of the backend, which the
/// compilers turn into one jump table.
template <class BoardType, class HandlerList>
struct ExitDispatch {
  /// Handles the exit that the vCPU's run() reported with `code`. Calls are made on the vCPU's own thread.
  template <class Vcpu>
  static Action handle(std::uint32_t code, Vcpu& vcpu, BoardType& board, VcpuCounters& counters) {
    Action action = Action::Fail;
    [&]<std::size_t... Rs>(std::index_sequence<Rs...>) {
      const bool known = ((code == Vcpu::code(static_cast<ExitReason>(Rs)) &&
                           (action = one<static_cast<ExitReason>(Rs)>(vcpu, board, counters), true)) ||
                          ...);
      if (!known) counters.exits[static_cast<std::size_t>(ExitReason::Other)].add();
    }(std::make_index_sequence<exit_reason_count - 1>{});
    return action;
  }

 private:
  template <ExitReason Reason, class Vcpu>
  [[gnu::always_inline]] static Action one(Vcpu& vcpu, BoardType& board, VcpuCounters& counters) {
    counters.exits[static_cast<std::size_t>(Reason)].add();
    using Policy = HandlerFor<HandlerList, Reason>;
    if constexpr (!std::is_void_v<Policy>) {
      return Policy::handle(vcpu);
    } else if constexpr (Reason == ExitReason::Io) {
      board.io(vcpu.io(), counters.unclaimed);
      return Action::Continue;
    } else if constexpr (Reason == ExitReason::Mmio) {
      board.mmio(vcpu.mmio(), counters.unclaimed);
      return Action::Continue;
    } else if constexpr (Reason == ExitReason::Halt) {
      return Action::Stop;
    } else if constexpr (Reason == ExitReason::Shutdown) {
      // What a PC's chipset makes of a triple fault; where there is none, somebody wants to see the registers.
      return BoardType::Composition::CpuProfileType::platform == Platform::Pc ? Action::Reset : Action::Fail;
    } else if constexpr (Reason == ExitReason::SystemEvent) {
      return vcpu.system_event();
    } else if constexpr (Reason == ExitReason::Hypercall) {
      vcpu.refuse_hypercall();
      return Action::Continue;
    } else if constexpr (Reason == ExitReason::MsrRead || Reason == ExitReason::MsrWrite) {
      vcpu.refuse_msr();
      return Action::Continue;
    } else if constexpr (Reason == ExitReason::Interrupted) {
      return Action::Continue;
    } else {
      return Action::Fail;
    }
  }
};

}  // namespace axvm::inline v1
