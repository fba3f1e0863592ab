#pragma once

#include <cstddef>

#include <axvm/compose/devices.hpp>
#include <axvm/compose/diagnostics.hpp>
#include <axvm/core/exit.hpp>

namespace axvm::inline v1 {

/// A handler for one exit reason, in place of the default. `Policy` has a static function template or function
/// `Action handle(Vcpu&)`, called on the vCPU's own thread with the hypervisor's vCPU.
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

template <class List, ExitReason Reason>
struct HandlerFor {
  using Type = void;
};
template <class First, class... Rest, ExitReason Reason>
struct HandlerFor<Handlers<First, Rest...>, Reason> {
  using Next = typename HandlerFor<Handlers<Rest...>, Reason>::Type;
  static consteval auto choose() {
    if constexpr (First::reason != Reason) return static_cast<Next*>(nullptr);
    else if constexpr (std::is_void_v<Next>) return static_cast<typename First::PolicyType*>(nullptr);
    else return static_cast<typename TwoHandlersForOneExit<typename First::PolicyType, Next>::Type*>(nullptr);
  }
  using Type = std::remove_pointer_t<decltype(choose())>;
};

}  // namespace detail

/// The policy that handles an exit reason, or void when the default does.
template <class List, ExitReason Reason>
using HandlerFor = typename detail::HandlerFor<List, Reason>::Type;

}  // namespace axvm::inline v1
