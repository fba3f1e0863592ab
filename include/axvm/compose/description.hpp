#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <boost/hana/at.hpp>

#include <axvm/acpi/aml.hpp>
#include <axvm/compose/acpi_node.hpp>
#include <axvm/compose/cell.hpp>
#include <axvm/compose/composition.hpp>
#include <axvm/compose/config.hpp>
#include <axvm/compose/settings.hpp>
#include <axvm/core/address_map.hpp>
#include <axvm/core/names.hpp>
#include <axvm/core/placement_plan.hpp>
#include <axvm/cpu/halt_poll.hpp>
#include <axvm/cpu/profile.hpp>
#include <axvm/device/placement.hpp>

namespace axvm::inline v1 {

/// One device of a machine, as it follows from the machine's type: constant, whatever the configuration says.
struct DeviceDescription {
  std::string_view type;          ///< the name of its class, without namespaces and template arguments: "VirtioBlk"
  Text<47> name;                  ///< what its settings begin with: "blk0"; empty when it has no settings
  std::span<const Claim> claims;  ///< with every base and line filled in; message interrupts stay `floating`
  bool implicit = false;          ///< brought along by the profile's platform, not listed
  std::size_t instance = 0;       ///< how many of the same class stand before it (Placement::instance)
  /// Writes its part of the DSDT; null when it has none.
  void (*describe_acpi)(acpi::Aml&, Placement const&) = nullptr;

  /// Its node in the DSDT, found in what it writes there; empty when it has none.
  [[nodiscard]] AcpiNode acpi_node() const {
    if (describe_acpi == nullptr) return {};
    std::array<std::byte, 2048> storage;  // a node's name and _HID come first; what does not fit is not needed
    acpi::Aml aml(storage);
    describe_acpi(aml, Placement{claims, instance});
    return first_acpi_node(aml.written());
  }
};

/// A machine with one configuration as plain values: what a person or a tool can be shown of it without building
/// anything. Refers to constants only, so it may be kept and copied.
struct Description {
  std::string_view profile_type;  ///< the profile's class: "IvyBridgeXv2"
  std::string_view profile;       ///< the profile's own name for a person
  std::string_view hypervisor;    ///< the class of the backend: "Kvm"
  Platform platform{};
  bool has_interrupts = false;  ///< there are local APICs, which are the hypervisor's, and an I/O APIC
  bool own_io_apic = false;     ///< which is a device of the monitor; else it is the hypervisor's, too
  unsigned vcpus = 0;           ///< of this configuration, which nobody has checked yet
  unsigned max_vcpus = 0;
  CpuUse cpu_use{};
  /// Longest wait for a halted vCPU before its host CPU does something else, in nanoseconds; nothing: the host's own.
  std::optional<std::uint32_t> halt_poll_ns{};
  std::uint64_t memory = 0;  ///< bytes of RAM
  AddressMap address_map;
  bool has_pci = false;                        ///< a device claims a PCI function, be it absent or not
  std::span<const DeviceDescription> devices;  ///< the profile's own first, then the listed ones in their order
  std::array<std::uint64_t, max_devices / 64> present_bits{};
  /// Where it runs, if that was planned; the plan must outlive the description.
  PlacementPlan const* placement = nullptr;

  /// Whether the configuration wants device `index`. The place of an absent one stays reserved.
  [[nodiscard]] constexpr bool present(std::size_t index) const {
    return (present_bits[index / 64] >> index % 64 & 1) != 0;
  }

  /// The device number on PCI bus 0 whose configuration space the window at this address is; nothing for other windows.
  [[nodiscard]] constexpr std::optional<unsigned> pci_device(GuestAddress window) const {
    if (!has_pci || !address_map.in_pci_config(window)) return {};
    return static_cast<unsigned>((window - address_map.pci_config) / AddressMap::pci_device_size);
  }
};

namespace detail {

template <class Composed>
struct HypervisorOf;
template <class Profile, class DeviceList, class H>
struct HypervisorOf<Composition<Profile, DeviceList, H>> {
  using Type = H;
};

template <class Composed, std::size_t I>
consteval DeviceDescription describe_device(std::span<const std::string_view> earlier) {
  using D = DeviceAt<I, typename Composed::List>;
  DeviceDescription device{.type = type_name<D>,
                           .name = {},
                           .claims = claims_of<Composed>(I),
                           .implicit = I < ImplicitDevices<typename Composed::CpuProfileType>::count ||
                                       (Composed::own_io_apic && I == Composed::io_apic)};
  device.instance = instance_of<Composed>(I);
  if constexpr (!std::is_empty_v<typename D::Config>) {
    device.name = device_name(config_name<D>.view(), earlier);
  }
  device.describe_acpi = acpi_describer<D>();
  return device;
}

/// What is constant of every device of a composition.
template <class Composed>
inline constexpr auto device_descriptions =
    []<class... Ds, std::size_t... Is>(Devices<Ds...>, std::index_sequence<Is...>) {
      [[maybe_unused]] constexpr std::array<std::string_view, sizeof...(Ds)> names{config_name<Ds>.view()...};
      return std::array<DeviceDescription, sizeof...(Ds)>{
          describe_device<Composed, Is>(std::span<const std::string_view>(names).first(Is))...};
    }(typename Composed::List{}, std::make_index_sequence<Composed::List::count>{});

template <class D>
constexpr bool is_present([[maybe_unused]] typename D::Config const& config) {
  if constexpr (HasPresence<D>) return D::present(config);
  else return true;
}

}  // namespace detail

/// Describes a composition with a configuration. Usable in constant expressions when the devices' `present` are.
template <class Composed>
[[nodiscard]] constexpr Description describe_composition(MachineConfig<typename Composed::List> const& config) {
  using Profile = typename Composed::CpuProfileType;
  Description description{.profile_type = type_name<Profile>,
                          .profile = Profile::name,
                          .hypervisor = type_name<typename detail::HypervisorOf<Composed>::Type>,
                          .platform = Profile::platform,
                          .has_interrupts = Composed::has_interrupts,
                          .own_io_apic = Composed::own_io_apic,
                          .vcpus = config.vcpus,
                          .max_vcpus = Profile::max_vcpus,
                          .cpu_use = config.cpu_use,
                          .halt_poll_ns = halt_poll_of<Profile>(config.cpu_use),
                          .memory = config.memory,
                          .address_map = Profile::address_map,
                          .has_pci = Composed::has_pci,
                          .devices = detail::device_descriptions<Composed>};
  [&]<class... Ds, std::size_t... Is>(Devices<Ds...>, std::index_sequence<Is...>) {
    ((description.present_bits[Is / 64] |= std::uint64_t{detail::is_present<Ds>(boost::hana::at_c<Is>(config.devices))}
                                           << Is % 64),
     ...);
  }(typename Composed::List{}, std::make_index_sequence<Composed::List::count>{});
  return description;
}

}  // namespace axvm::inline v1
