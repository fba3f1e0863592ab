#pragma once

#include <type_traits>

#include <axvm/compose/devices.hpp>
#include <axvm/cpu/profile.hpp>
#include <axvm/device/acpi_power.hpp>
#include <axvm/device/feature.hpp>
#include <axvm/device/i8042.hpp>
#include <axvm/device/io_apic.hpp>

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

namespace detail {
template <class D>
inline constexpr bool claims_interrupt = D::claims.count(ClaimKind::Irq) + D::claims.count(ClaimKind::Msi) != 0;

/// The I/O APIC of a machine that has interrupts, where the hypervisor `H` has none.
template <class Profile, class H, class... Ds>
auto own_io_apic(Devices<Ds...>)
    -> std::conditional_t<LacksIoApic<H> && (Profile::platform == Platform::Pc || (claims_interrupt<Ds> || ...)),
                          Devices<IoApic>, Devices<>>;
}  // namespace detail

/// The devices a profile's platform brings along unasked; they come before the user's in the flat list. The
/// I/O APIC, of a machine that has its own, is the last of all.
template <CpuProfile Profile>
using ImplicitDevices = typename detail::PlatformDevices<Profile::platform>::Type;

}  // namespace axvm::inline v1
