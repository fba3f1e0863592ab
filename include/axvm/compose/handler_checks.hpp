#pragma once

#include <concepts>
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
template <class Vcpu, ExitReason Reason, class Policy>
struct CheckedHandler<Vcpu, On<Reason, Policy>> {
  static consteval auto find() {
    if constexpr (Reason >= ExitReason::Other) return Found<UnknownExit<Policy, Reason>>{};
    else if constexpr (!requires(Vcpu& vcpu) {
                         { Policy::handle(vcpu) } -> std::same_as<Action>;
                       })
      return Found<NotAPolicy<Policy, Lacks::handle>>{};
    else return Nothing{};
  }
  using Fault = decltype(find());
};

/// Whether `First` handles what one of `Rest` handles.
template <class First, class... Rest>
consteval auto handled_twice() {
  return (Nothing{} | ... | [] {
    if constexpr (First::reason == Rest::reason)
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
