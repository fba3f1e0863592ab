#pragma once

#include <cstdint>
#include <type_traits>

#include <axvm/compose/devices.hpp>
#include <axvm/compose/fault.hpp>
#include <axvm/compose/handlers.hpp>
#include <axvm/core/exit.hpp>
#include <axvm/cpu/profile.hpp>

namespace axvm::inline v1::detail {

template <class Vcpu, class T>
struct CheckedHandler {
  using Fault = Found<NotAHandler<T>>;
};
/// A policy is asked for what its handler calls; one that has none of it is told so.
template <class Policy, bool IsOne, Lacks Member, class... Arguments>
consteval auto policy_fault() {
  if constexpr (!std::is_default_constructible_v<Policy>) return Found<NotAPolicy<Policy, Lacks::constructor>>{};
  else if constexpr (!IsOne) return Found<NotAPolicy<Policy, Member, Arguments...>>{};
  else return Nothing{};
}
template <class Vcpu, ExitReason Reason, class Policy>
struct CheckedHandler<Vcpu, On<Reason, Policy>> {
  static consteval auto find() {
    if constexpr (Reason >= ExitReason::Other) return Found<UnknownExit<Policy, Reason>>{};
    else return policy_fault<Policy, Handles<Policy, Vcpu>, Lacks::handle>();
  }
  using Fault = decltype(find());
};
template <class Vcpu, std::uint64_t Number, class Policy>
struct CheckedHandler<Vcpu, OnHypercall<Number, Policy>> {
  using Fault = decltype(policy_fault<Policy, Handles<Policy, Vcpu, HypercallExit>, Lacks::handle, HypercallExit&>());
};
template <class Vcpu, std::uint32_t Index, class Policy>
struct CheckedHandler<Vcpu, OnMsr<Index, Policy>> {
  static constexpr bool is_one = ReadsMsr<Policy, Vcpu> || WritesMsr<Policy, Vcpu>;
  using Fault = decltype(policy_fault<Policy, is_one, Lacks::read, MsrExit&>());
};
template <class Vcpu, class Policy>
struct CheckedHandler<Vcpu, Observe<Policy>> {
  static constexpr bool is_one = SeesBefore<Policy, Vcpu> || SeesAfter<Policy, Vcpu>;
  using Fault = decltype(policy_fault<Policy, is_one, Lacks::before>());
};

/// Whether `A` and `B` are there for the same exit.
template <class A, class B>
consteval bool same_exit() {
  if constexpr (IsReasonHandler<A> && IsReasonHandler<B>) return A::reason == B::reason;
  else if constexpr (IsHypercallHandler<A> && IsHypercallHandler<B>) return A::number == B::number;
  else if constexpr (IsMsrHandler<A> && IsMsrHandler<B>) return A::index == B::index;
  else return std::is_same_v<A, B>;
}

/// Whether `First` handles what one of `Rest` handles.
template <class First, class... Rest>
consteval auto handled_twice() {
  return (Nothing{} | ... | [] {
    if constexpr (same_exit<First, Rest>())
      return Found<TwoHandlersForOneExit<typename First::PolicyType, typename Rest::PolicyType>>{};
    else return Nothing{};
  }());
}

template <class... Hs>
struct HandledTwice {
  using Fault = Nothing;
};
template <class First, class... Rest>
struct HandledTwice<First, Rest...> {
  using Fault = decltype(handled_twice<First, Rest...>() | typename HandledTwice<Rest...>::Fault{});
};

/// Who makes a machine have interrupt controllers: the profile, the first device that claims an interrupt, or void.
template <class Profile, class... Ds>
consteval auto interrupts_of(Devices<Ds...>) {
  if constexpr (Profile::platform == Platform::Pc) {
    return Found<Profile>{};
  } else {
    return (Nothing{} | ... | [] {
      if constexpr (Ds::claims.count(ClaimKind::Irq) + Ds::claims.count(ClaimKind::Msi) != 0) return Found<Ds>{};
      else return Nothing{};
    }());
  }
}

template <class Vcpu, class Composed, class List>
struct CheckedHandlers {
  using Type = Handlers<>;
  using Fault = Found<NotAHandlerList<List>>;
};
template <class Vcpu, class Composed, class... Hs>
struct CheckedHandlers<Vcpu, Composed, Handlers<Hs...>> {
  static consteval auto find() {
    using One = decltype((Nothing{} | ... | typename CheckedHandler<Vcpu, Hs>::Fault{}));
    using Halt = typename HandlerFor<Handlers<Hs...>, ExitReason::Halt>::Type;
    using Interrupts = typename decltype(interrupts_of<typename Composed::Profile>(typename Composed::List{}))::Type;
    if constexpr (!std::is_same_v<One, Nothing>) return One{};
    else if constexpr (!std::is_void_v<Halt> && !std::is_same_v<Interrupts, NoFault>)
      return Found<HaltNeverExits<Halt, Interrupts>>{};
    else return typename HandledTwice<Hs...>::Fault{};
  }
  using Fault = decltype(find());
  using Type = std::conditional_t<std::is_same_v<Fault, Nothing>, Handlers<Hs...>, Handlers<>>;
};

}  // namespace axvm::inline v1::detail
