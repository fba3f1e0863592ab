#pragma once

#include <type_traits>

#include <axvm/core/exit.hpp>

namespace axvm::inline v1 {

/// A handler for one exit reason, in place of the default. `Policy` has a static function template or function
/// `Action handle(Vcpu&)`, called on the vCPU's own thread with the hypervisor's vCPU. It is asked for its result while
/// the machine's type is being put together, so it says `Action` and not `auto`.
template <ExitReason Reason, class Policy>
struct On {
  static constexpr ExitReason reason = Reason;
  using PolicyType = Policy;
};

template <class Policy>
using OnHalt = On<ExitReason::Halt, Policy>;
template <class Policy>
using OnShutdown = On<ExitReason::Shutdown, Policy>;
template <class Policy>
using OnHypercall = On<ExitReason::Hypercall, Policy>;
template <class Policy>
using OnMsrRead = On<ExitReason::MsrRead, Policy>;
template <class Policy>
using OnMsrWrite = On<ExitReason::MsrWrite, Policy>;
template <class Policy>
using OnDebug = On<ExitReason::Debug, Policy>;

/// The handlers of a machine. What is not named gets the default.
template <class... Hs>
struct Handlers {};

namespace detail {

// Two handlers for one exit are a fault that the machine reports (checks.hpp); here the first one counts.
template <class List, ExitReason Reason>
struct HandlerFor {
  using Type = void;
};
template <class Policy, ExitReason Reason, class... Rest>
struct HandlerFor<Handlers<On<Reason, Policy>, Rest...>, Reason> {
  using Type = Policy;
};
template <class First, class... Rest, ExitReason Reason>
struct HandlerFor<Handlers<First, Rest...>, Reason> : HandlerFor<Handlers<Rest...>, Reason> {};

}  // namespace detail

/// The policy that handles an exit reason, or void when the default does.
template <class List, ExitReason Reason>
using HandlerFor = typename detail::HandlerFor<List, Reason>::Type;

}  // namespace axvm::inline v1
