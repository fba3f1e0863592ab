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

/// The switch over exit reasons, generated: ports and windows, which come by the thousand, are asked for first; the
/// rest is one comparison per reason against a constant of the backend, which the compilers turn into one jump table.
template <class BoardType, class HandlerList>
struct ExitDispatch;

template <class BoardType, class... Hs>
struct ExitDispatch<BoardType, Handlers<Hs...>> {
  using List = Handlers<Hs...>;
  using Objects = HandlerObjects<List>;

  /// Handles the exit that the vCPU's run() reported with `code`. Calls are made on the vCPU's own thread. Part of the
  /// run loop, of which there is one: nothing is passed through memory, and nothing saved for a call.
  template <class Vcpu>
  [[gnu::always_inline]] static Action handle(std::uint32_t code, Vcpu& vcpu, BoardType& board, VcpuCounters& counters,
                                              Objects& handlers) {
    if (Vcpu::is(code, ExitReason::Io)) return one<ExitReason::Io>(vcpu, board, counters, handlers);
    if (Vcpu::is(code, ExitReason::Mmio)) return one<ExitReason::Mmio>(vcpu, board, counters, handlers);
    return rest(code, vcpu, board, counters, handlers);
  }

 private:
  /// Of the reasons that rest() is for; not even a comparison that is never made stands there for ports and windows, or
  /// all of the search for the device would be generated once more, to be thrown away.
  static constexpr std::size_t first_rest = 2;
  static_assert(static_cast<std::size_t>(ExitReason::Io) < first_rest &&
                static_cast<std::size_t>(ExitReason::Mmio) < first_rest);

  template <class Vcpu>
  [[gnu::noinline]] static Action rest(std::uint32_t code, Vcpu& vcpu, BoardType& board, VcpuCounters& counters,
                                       Objects& handlers) {
    Action action = Action::Fail;
    [&]<std::size_t... Rs>(std::index_sequence<Rs...>) {
      const bool known =
          ((Vcpu::is(code, static_cast<ExitReason>(first_rest + Rs)) &&
            (action = one<static_cast<ExitReason>(first_rest + Rs)>(vcpu, board, counters, handlers), true)) ||
           ...);
      if (!known) action = one<ExitReason::Other>(vcpu, board, counters, handlers);
    }(std::make_index_sequence<exit_reason_count - 1 - first_rest>{});
    return action;
  }

  template <ExitReason Reason, class Vcpu>
  [[gnu::always_inline]] static Action one(Vcpu& vcpu, BoardType& board, VcpuCounters& counters, Objects& handlers) {
    counters.exits[static_cast<std::size_t>(Reason)].add();
    (before<Reason, Hs>(vcpu, handlers), ...);
    const Action action = carry_out<Reason>(vcpu, board, counters, handlers);
    (after<Reason, Hs>(vcpu, action, handlers), ...);
    return action;
  }

  template <ExitReason Reason, class Vcpu>
  [[gnu::always_inline]] static Action carry_out(Vcpu& vcpu, BoardType& board, VcpuCounters& counters,
                                                 Objects& handlers) {
    using Policy = HandlerFor<List, Reason>;
    if constexpr (Reason == ExitReason::Hypercall) {
      if constexpr (extra_exits<List, Vcpu>.any_hypercall()) return hypercall(vcpu, handlers);
      vcpu.finish(HypercallExit{});
      return Action::Continue;
    } else if constexpr (Reason == ExitReason::MsrRead || Reason == ExitReason::MsrWrite) {
      return msr<Reason>(vcpu, handlers);
    } else if constexpr (!std::is_void_v<Policy>) {
      return by_policy<Policy>(vcpu, handlers);
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
    } else if constexpr (Reason == ExitReason::EndOfInterrupt && requires { vcpu.ended_vector(); }) {
      board.end_of_interrupt(vcpu.ended_vector());
      return Action::Continue;
    } else if constexpr (Reason == ExitReason::Interrupted) {
      return Action::Continue;
    } else {
      return Action::Fail;
    }
  }

  template <class Policy, class Vcpu>
  [[gnu::always_inline]] static Action by_policy(Vcpu& vcpu, Objects& handlers) {
    if constexpr (requires { handlers.template get<Policy>().handle(vcpu); })
      return handlers.template get<Policy>().handle(vcpu);
    else return handlers.template get<Policy>().handle();
  }

  template <class Vcpu>
  static Action hypercall(Vcpu& vcpu, Objects& handlers) {
    HypercallExit exit = vcpu.hypercall();
    if (exit.privilege_level != 0) {
      exit.result = HypercallExit::not_permitted;
      vcpu.finish(exit);
      return Action::Continue;
    }
    Action action = Action::Continue;
    if ((answers<Hs>(exit, vcpu, action, handlers) || ...)) {
      vcpu.finish(exit);
      return action;
    }
    vcpu.finish(exit);
    if constexpr (using Policy = HandlerFor<List, ExitReason::Hypercall>; !std::is_void_v<Policy>)
      return by_policy<Policy>(vcpu, handlers);
    else return Action::Continue;
  }
  template <class H, class Vcpu>
  [[gnu::always_inline]] static bool answers(HypercallExit& exit, Vcpu& vcpu, Action& action, Objects& handlers) {
    if constexpr (detail::IsHypercallHandler<H>) {
      if (exit.number != H::number) return false;
      auto& policy = handlers.template get<typename H::PolicyType>();
      if constexpr (requires { policy.handle(exit, vcpu); }) action = policy.handle(exit, vcpu);
      else action = policy.handle(exit);
      return true;
    } else {
      return false;
    }
  }

  template <ExitReason Reason, class Vcpu>
  static Action msr(Vcpu& vcpu, Objects& handlers) {
    MsrExit exit = vcpu.msr();
    Action action = Action::Continue;
    if ((stands_in<Reason, Hs>(exit, vcpu, action, handlers) || ...)) {
      vcpu.finish(exit);
      return action;
    }
    exit.refuse();
    vcpu.finish(exit);
    if constexpr (using Policy = HandlerFor<List, Reason>; !std::is_void_v<Policy>)
      return by_policy<Policy>(vcpu, handlers);
    else return Action::Continue;
  }
  template <ExitReason Reason, class H, class Vcpu>
  [[gnu::always_inline]] static bool stands_in(MsrExit& exit, Vcpu& vcpu, Action& action, Objects& handlers) {
    if constexpr (detail::IsMsrHandler<H>) {
      if (exit.index != H::index) return false;
      auto& policy = handlers.template get<typename H::PolicyType>();
      if constexpr (Reason == ExitReason::MsrRead && detail::ReadsMsr<typename H::PolicyType, Vcpu>) {
        if constexpr (requires { policy.read(exit, vcpu); }) action = policy.read(exit, vcpu);
        else action = policy.read(exit);
        return true;
      } else if constexpr (Reason == ExitReason::MsrWrite && detail::WritesMsr<typename H::PolicyType, Vcpu>) {
        if constexpr (requires { policy.write(exit, vcpu); }) action = policy.write(exit, vcpu);
        else action = policy.write(exit);
        return true;
      }
    }
    return false;
  }

  template <ExitReason Reason, class H, class Vcpu>
  [[gnu::always_inline]] static void before(Vcpu& vcpu, Objects& handlers) {
    if constexpr (detail::IsObserver<H>)
      if constexpr (detail::SeesBefore<typename H::PolicyType, Vcpu>)
        handlers.template get<typename H::PolicyType>().before(Reason, vcpu);
  }
  template <ExitReason Reason, class H, class Vcpu>
  [[gnu::always_inline]] static void after(Vcpu& vcpu, Action action, Objects& handlers) {
    if constexpr (detail::IsObserver<H>)
      if constexpr (detail::SeesAfter<typename H::PolicyType, Vcpu>)
        handlers.template get<typename H::PolicyType>().after(Reason, vcpu, action);
  }
};

}  // namespace axvm::inline v1
