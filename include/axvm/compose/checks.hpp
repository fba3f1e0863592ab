#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <axvm/compose/device_checks.hpp>
#include <axvm/compose/fault.hpp>
#include <axvm/compose/handler_checks.hpp>
#include <axvm/compose/layout.hpp>
#include <axvm/compose/platform.hpp>

// Finds the first thing wrong with a composition, as one of the types of diagnostics.hpp, and what to go on with so
// that it stays the only error.

namespace axvm::inline v1::detail {

/// The places of all claims of a flat list of devices.
template <class Profile, class List, class OwnIoApic = Devices<>>
inline constexpr auto placement =
    place(all_claims(List{}), Profile::address_map, OwnIoApic::count != 0 ? List::count - 1 : List::count);

template <class Profile, class List, class OwnIoApic>
consteval auto layout_fault() {
  constexpr LayoutFault fault = placement<Profile, List, OwnIoApic>.fault;
  if constexpr (fault.kind != FaultKind::None) {
    using A = DeviceAt<fault.a, List>;
    using B = DeviceAt<fault.b, List>;
    constexpr std::uint64_t where = fault.where;
    if constexpr (fault.kind == FaultKind::PortsOverlap) return Found<PortsOverlap<A, B, at<where>>>{};
    else if constexpr (fault.kind == FaultKind::WindowsOverlap) return Found<WindowsOverlap<A, B, at<where>>>{};
    else if constexpr (fault.kind == FaultKind::LineClaimedTwice) return Found<LineClaimedTwice<A, B, where>>{};
    else if constexpr (fault.kind == FaultKind::NoFreeIrq) return Found<NoFreeIrq<A, where>>{};
    else if constexpr (fault.kind == FaultKind::NoFreePciSlot) return Found<NoFreePciSlot<A, where>>{};
    else if constexpr (fault.kind == FaultKind::NoRoomForWindow) return Found<NoRoomForWindow<A, at<where>>>{};
    else if constexpr (fault.kind == FaultKind::PortOutOfRange) return Found<PortOutOfRange<A, at<where>>>{};
    else if constexpr (fault.kind == FaultKind::WindowOutsideHole) return Found<WindowOutsideHole<A, at<where>>>{};
    else return Found<LineOutOfRange<A, where>>{};
  } else {
    return Nothing{};
  }
}

template <class P>
consteval auto profile_fault() {
  if constexpr (CpuProfile<P>) return Nothing{};
  else if constexpr (!requires {
                       { P::name } -> std::convertible_to<std::string_view>;
                     })
    return Found<NotACpuProfile<P, Lacks::name>>{};
  else if constexpr (!requires {
                       { P::max_vcpus } -> std::convertible_to<unsigned>;
                     })
    return Found<NotACpuProfile<P, Lacks::max_vcpus>>{};
  else if constexpr (!requires {
                       { P::platform } -> std::convertible_to<Platform>;
                     })
    return Found<NotACpuProfile<P, Lacks::platform>>{};
  else if constexpr (!requires {
                       { P::address_map } -> std::convertible_to<AddressMap>;
                     })
    return Found<NotACpuProfile<P, Lacks::address_map>>{};
  else if constexpr (!requires { std::span<const HostRequirement>(P::host_requirements); })
    return Found<NotACpuProfile<P, Lacks::host_requirements>>{};
  else return Found<NotACpuProfile<P, Lacks::guest_cpuid>>{};
}

/// What a list holds, written out flat, and what is wrong with it: that it is none, that it has more than `Most`, or
/// the first of its devices that is none.
template <class List, std::size_t Most>
struct CheckedDevices {
  using Type = Devices<>;
  using Fault = Found<NotADeviceList<List>>;
};
template <std::size_t Most, class... Ds>
struct CheckedDevices<Devices<Ds...>, Most> {
  template <class... Flattened>
  static consteval auto keep(Devices<Flattened...>) {
    if constexpr (sizeof...(Flattened) > Most) return Devices<>{};
    else return Devices<DeviceOrNothing<Flattened>...>{};
  }
  template <class... Flattened>
  static consteval auto fault(Devices<Flattened...>) {
    if constexpr (sizeof...(Flattened) > Most) return Found<TooManyDevices<sizeof...(Flattened), Most>>{};
    else return (Nothing{} | ... | device_fault<Flattened>());
  }

  using Type = decltype(keep(Flat<Devices<Ds...>>{}));
  using Fault = decltype(fault(Flat<Devices<Ds...>>{}));
};

/// Profile and devices as a Composition takes them, whatever was written, and what was wrong with it.
template <class WrittenProfile, class WrittenDevices, class H>
struct ComposedParts {
  using Profile = std::conditional_t<CpuProfile<WrittenProfile>, WrittenProfile, CpuProfileArchetype>;
  using Checked = CheckedDevices<WrittenDevices, max_devices - ImplicitDevices<Profile>::count - LacksIoApic<H>>;
  /// One or none.
  using OwnIoApic = decltype(own_io_apic<Profile, H>(typename Checked::Type{}));
  using List = Flat<ImplicitDevices<Profile>, typename Checked::Type, OwnIoApic>;

  template <class... Ds>
  static auto needs(Devices<Ds...>) -> decltype((Nothing{} | ... | needs_fault<H, Ds>()));
  using Fault = decltype(profile_fault<WrittenProfile>() | typename Checked::Fault{} |
                         layout_fault<Profile, List, OwnIoApic>() | needs(List{}));
};
/// A device list whose faults a machine has reported already.
template <class WrittenDevices>
struct Reported {};
template <class WrittenProfile, class WrittenDevices, class H>
struct ComposedParts<WrittenProfile, Reported<WrittenDevices>, H> : ComposedParts<WrittenProfile, WrittenDevices, H> {
  using Fault = Nothing;
};

/// Everything a machine is made of, whatever was written, and the first fault of it. `IsHypervisor` says whether `H`
/// is one; `StandIn` is one.
template <class WrittenProfile, class WrittenDevices, class WrittenHandlers, class H, bool IsHypervisor, class StandIn>
struct MachineParts {
  using Hypervisor = std::conditional_t<IsHypervisor, H, StandIn>;
  using Composed = ComposedParts<WrittenProfile, WrittenDevices, Hypervisor>;
  using Profile = typename Composed::Profile;
  using Devices = Reported<WrittenDevices>;
  using CheckedHandlers = detail::CheckedHandlers<typename Hypervisor::Vm::Vcpu, Composed, WrittenHandlers>;
  using Handlers = typename CheckedHandlers::Type;

  using NotHypervisor = std::conditional_t<IsHypervisor, Nothing, Found<NotAHypervisor<H>>>;
  using Fault =
      typename decltype(NotHypervisor{} | typename Composed::Fault{} | typename CheckedHandlers::Fault{})::Type;
};

/// `Wanted` processors of a profile.
template <class Profile, unsigned Wanted>
using VcpuFault = std::conditional_t<Wanted >= 1 && Wanted <= Profile::max_vcpus, NoFault,
                                     TooManyVcpus<Profile, Wanted, Profile::max_vcpus>>;

}  // namespace axvm::inline v1::detail
