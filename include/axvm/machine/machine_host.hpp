#pragma once

#include <concepts>
#include <cstddef>

#include <axvm/compose/compose.hpp>
#include <axvm/device/device.hpp>
#include <axvm/io/system_host.hpp>

namespace axvm::inline v1 {

namespace detail {

/// Whether the system's side of a part is included.
template <HostPart Part>
concept SystemHas = requires { sizeof(SystemPart<Part>); };

template <class D, HostPart Part>
consteval auto part_fault() {
  if constexpr (host_parts_of<D>().has(Part) && !SystemHas<Part>) return Found<HostPartMissing<D, Part>>{};
  else return Nothing{};
}
template <class D>
consteval auto parts_fault() {
  using enum HostPart;
  if constexpr (host_parts_of<D>().bits == 0) return Nothing{};
  else
    return part_fault<D, Console>() | part_fault<D, Images>() | part_fault<D, Entropy>() | part_fault<D, Characters>() |
           part_fault<D, Streams>() | part_fault<D, Frames>();
}

}  // namespace detail

/// Where the devices of a machine get consoles, disks and networks from: the system, of which the program then has what
/// these devices take, or a Host of one's own.
template <class DeviceList>
class MachineHost;
template <class... Ds>
class MachineHost<Devices<Ds...>> {
 public:
  /// The first part of the system that they take and the program does not include.
  using Lack = typename decltype((detail::Nothing{} | ... | detail::parts_fault<Ds>()))::Type;

  MachineHost(Host const& host) : host_(host) {}  // NOLINT(google-explicit-constructor): is one
  template <std::same_as<SystemHost> System>
  MachineHost(System& system) : host_(host_of(system)) {  // NOLINT(google-explicit-constructor): becomes one
    static_assert(machine_with<Lack>);
  }

  [[nodiscard]] Host const& get() const { return host_; }

  /// What these devices take of the system; it must outlive the machine.
  template <std::same_as<SystemHost> System>
  [[nodiscard]] static Host host_of(System& system) {
    if constexpr (std::same_as<Lack, NoFault>)
      return system.template host_with<(HostParts{} | ... | host_parts_of<Ds>())>();
    else return {};
  }

 private:
  Host host_;
};

}  // namespace axvm::inline v1
