#pragma once

#include <axvm/compose/devices.hpp>
#include <axvm/cpu/profile.hpp>
#include <axvm/device/acpi_power.hpp>
#include <axvm/device/i8042.hpp>

namespace axvm::inline v1 {

namespace detail {
template <Platform>
struct PlatformDevices {
  using Type = Devices<>;
};
template <>
struct PlatformDevices<Platform::Pc> {
  using Type = Devices<AcpiPower, I8042>;
};
}  // namespace detail

/// The devices a profile's platform brings along unasked; they come before the user's in the flat list.
template <CpuProfile Profile>
using ImplicitDevices = typename detail::PlatformDevices<Profile::platform>::Type;

}  // namespace axvm::inline v1
