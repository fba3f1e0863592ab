#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <axvm/core/exit.hpp>

namespace axvm::inline v1 {

// A handler names what it is for and a policy: a class with a default constructor. A machine has one object of each
// policy class, from create() to its end, whatever it handles and however often the guest resets; all processors call
// the same one, each on its own thread. The functions may be static, and take any vCPU (`auto&`).

/// Replaces the default of one exit reason by `Action Policy::handle(Vcpu&)`. It is asked for its result while the
/// machine's type is being put together, so it says `Action` and not `auto`.
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
using OnDebug = On<ExitReason::Debug, Policy>;

/// Answers the hypercall `Number` of the guest's kernel: `Action Policy::handle(HypercallExit&)`, with `Vcpu&` as a
/// second parameter if wanted. All others go to On<ExitReason::Hypercall, ...>, or are refused.
template <std::uint64_t Number, class Policy>
struct OnHypercall {
  static constexpr std::uint64_t number = Number;
  using PolicyType = Policy;
};

/// Stands in for the model-specific register `Index`, whether the hypervisor knows it or not: `Action
/// Policy::read(MsrExit&)`, `Action Policy::write(MsrExit&)` or both, each with `Vcpu&` as a second parameter if
/// wanted. What is left out stays with the hypervisor.
template <std::uint32_t Index, class Policy>
struct OnMsr {
  static constexpr std::uint32_t index = Index;
  using PolicyType = Policy;
};

/// Sees every exit and changes nothing: `void Policy::before(ExitReason, Vcpu&)` is called before an exit is handled,
/// `void Policy::after(ExitReason, Vcpu&, Action)` behind that; one of them may be left out.
template <class Policy>
struct Observe {
  static constexpr bool observes = true;
  using PolicyType = Policy;
};

/// The handlers of a machine. What is not named gets the default.
template <class... Hs>
struct Handlers {};

namespace detail {

template <class H>
concept IsReasonHandler = requires { H::reason; };
template <class H>
concept IsHypercallHandler = requires { H::number; };
template <class H>
concept IsMsrHandler = requires { H::index; };
template <class H>
concept IsObserver = requires { H::observes; };

template <class Policy, class Vcpu, class... Exit>
concept Handles = requires(Policy& policy, Vcpu& vcpu, Exit&... exit) {
  { policy.handle(exit..., vcpu) } -> std::same_as<Action>;
} || requires(Policy& policy, Exit&... exit) {
  { policy.handle(exit...) } -> std::same_as<Action>;
};
template <class Policy, class Vcpu>
concept ReadsMsr = requires(Policy& policy, Vcpu& vcpu, MsrExit& exit) {
  { policy.read(exit, vcpu) } -> std::same_as<Action>;
} || requires(Policy& policy, MsrExit& exit) {
  { policy.read(exit) } -> std::same_as<Action>;
};
template <class Policy, class Vcpu>
concept WritesMsr = requires(Policy& policy, Vcpu& vcpu, MsrExit& exit) {
  { policy.write(exit, vcpu) } -> std::same_as<Action>;
} || requires(Policy& policy, MsrExit& exit) {
  { policy.write(exit) } -> std::same_as<Action>;
};
template <class Policy, class Vcpu>
concept SeesBefore = requires(Policy& policy, Vcpu& vcpu) { policy.before(ExitReason::Io, vcpu); };
template <class Policy, class Vcpu>
concept SeesAfter = requires(Policy& policy, Vcpu& vcpu) { policy.after(ExitReason::Io, vcpu, Action::Continue); };

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

template <class Policy>
struct HandlerObject {
  [[no_unique_address]] Policy policy{};
};

/// Every policy class of `Hs` once.
template <class Done, class... Hs>
struct PoliciesOf {
  using Type = Done;
};
template <class... Done, class First, class... Rest>
struct PoliciesOf<Handlers<Done...>, First, Rest...> {
  using Policy = typename First::PolicyType;
  using Next = std::conditional_t<(std::is_same_v<Policy, Done> || ...), Handlers<Done...>, Handlers<Done..., Policy>>;
  using Type = typename PoliciesOf<Next, Rest...>::Type;
};

template <class Policies>
struct ObjectsOf;
template <class... Policies>
struct ObjectsOf<Handlers<Policies...>> : HandlerObject<Policies>... {};

template <class List>
struct HandlerLists;
template <class... Hs>
struct HandlerLists<Handlers<Hs...>> {
  using Objects = ObjectsOf<typename PoliciesOf<Handlers<>, Hs...>::Type>;

  /// The values that `pick<H>(next)` appends for those handlers that it is for, in their order.
  template <class Value, std::size_t Count>
  static consteval auto gather([[maybe_unused]] auto pick) {
    std::array<Value, Count> all{};
    [[maybe_unused]] Value* next = all.data();
    (pick.template operator()<Hs>(next), ...);
    return all;
  }

  template <class Vcpu>
  struct Extra {
    template <class H>
    static consteval bool reads() {
      if constexpr (IsMsrHandler<H>) return ReadsMsr<typename H::PolicyType, Vcpu>;
      else return false;
    }
    template <class H>
    static consteval bool writes() {
      if constexpr (IsMsrHandler<H>) return WritesMsr<typename H::PolicyType, Vcpu>;
      else return false;
    }
    static constexpr auto hypercalls =
        gather<std::uint64_t, (std::size_t{0} + ... + IsHypercallHandler<Hs>)>([]<class H>(std::uint64_t*& next) {
          if constexpr (IsHypercallHandler<H>) *next++ = H::number;
        });
    static constexpr auto msr_reads =
        gather<std::uint32_t, (std::size_t{0} + ... + reads<Hs>())>([]<class H>(std::uint32_t*& next) {
          if constexpr (reads<H>()) *next++ = H::index;
        });
    static constexpr auto msr_writes =
        gather<std::uint32_t, (std::size_t{0} + ... + writes<Hs>())>([]<class H>(std::uint32_t*& next) {
          if constexpr (writes<H>()) *next++ = H::index;
        });
  };
};

}  // namespace detail

/// The policy that handles an exit reason, or void when the default does.
template <class List, ExitReason Reason>
using HandlerFor = typename detail::HandlerFor<List, Reason>::Type;

/// Whether the list replaces the default of one of these exit reasons.
template <class List, ExitReason... Reasons>
inline constexpr bool handles_any = (!std::is_void_v<HandlerFor<List, Reasons>> || ...);

/// The policies' objects, `get<Policy>()`.
template <class List>
class HandlerObjects {
 public:
  template <class Policy>
  [[nodiscard]] Policy& get() {
    static_assert(std::is_base_of_v<detail::HandlerObject<Policy>, Objects>,
                  "axvm: the machine has no handler with this policy; is it in the Handlers<...> list?");
    return static_cast<detail::HandlerObject<Policy>&>(objects_).policy;
  }

 private:
  using Objects = typename detail::HandlerLists<List>::Objects;
  [[no_unique_address]] Objects objects_{};
};

/// What the handlers of a list need a hypervisor to pass on.
template <class List, class Vcpu>
inline constexpr ExtraExits extra_exits{.hypercalls = detail::HandlerLists<List>::template Extra<Vcpu>::hypercalls,
                                        .all_hypercalls = handles_any<List, ExitReason::Hypercall>,
                                        .msr_reads = detail::HandlerLists<List>::template Extra<Vcpu>::msr_reads,
                                        .msr_writes = detail::HandlerLists<List>::template Extra<Vcpu>::msr_writes,
                                        .unknown_msrs = handles_any<List, ExitReason::MsrRead, ExitReason::MsrWrite>};

}  // namespace axvm::inline v1
