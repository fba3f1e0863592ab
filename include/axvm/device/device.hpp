#pragma once

#include <concepts>
#include <cstddef>
#include <utility>

#include <axvm/acpi/aml.hpp>
#include <axvm/core/result.hpp>
#include <axvm/device/access.hpp>
#include <axvm/device/claims.hpp>
#include <axvm/device/context.hpp>
#include <axvm/device/host.hpp>
#include <axvm/device/placement.hpp>

namespace axvm::inline v1 {

namespace detail {
template <class T>
inline constexpr bool is_claims = false;
template <class... Cs>
inline constexpr bool is_claims<Claims<Cs...>> = true;
}  // namespace detail

/// Says what it occupies.
template <class D>
concept HasClaims = requires { requires detail::is_claims<std::remove_cvref_t<decltype(D::claims)>>; };

/// Has a plain aggregate of settings, all with defaults.
template <class D>
concept HasConfig = requires { typename D::Config; } && std::default_initializable<typename D::Config>;

namespace detail {
/// What an `open` takes of the host.
template <class R, class C>
constexpr HostParts parts_taken(Result<R> (*)(C const&)) {
  return {};
}
template <class R, class C, HostPart... Parts>
constexpr HostParts parts_taken(Result<R> (*)(C const&, HostWith<Parts...> const&)) {
  return host_parts<Parts...>;
}
}  // namespace detail

/// Opens things that can fail before anything is built: `struct Resources` and `open(config)`, or `open(config, host)`
/// with a HostWith<...> that says what it needs of the host.
template <class D>
concept HasResources = requires { typename D::Resources; } && HasConfig<D> && std::movable<typename D::Resources> &&
                       requires { detail::parts_taken<typename D::Resources, typename D::Config>(&D::open); };

/// The parts of the host that a device takes.
template <class D>
[[nodiscard]] consteval HostParts host_parts_of() {
  if constexpr (HasResources<D>) return detail::parts_taken(&D::open);
  else return {};
}

/// Takes accesses to its unnamed port window, or to the window with the tag.
template <class D, class... Tag>
concept HasPio = requires(D& device, PioAccess& access, PioAccess const& written, Tag... tag) {
  device.read(tag..., access);
  device.write(tag..., written);
};

/// Takes accesses to its unnamed MMIO window, or to the window with the tag.
template <class D, class... Tag>
concept HasMmio = requires(D& device, MmioAccess& access, MmioAccess const& written, Tag... tag) {
  device.read(tag..., access);
  device.write(tag..., written);
};

/// May be absent by configuration: `static bool present(const Config&)`; then it is neither built nor described.
template <class D>
concept HasPresence = requires(typename D::Config const& config) {
  { D::present(config) } -> std::same_as<bool>;
};

/// Gives pages of guest memory back to the host (GuestMemory::discard): `static constexpr bool discards_memory = true`.
/// A machine whose memory has to stay where it is refuses such a device, with an error that names both.
template <class D>
concept HasDiscards = requires { requires D::discards_memory; };

/// Has a part in the DSDT, a node by which an operating system finds it: `static void describe_acpi(acpi::Aml&,
/// Placement const&)`.
template <class D>
concept HasAcpi = requires(acpi::Aml& aml, Placement const& place) { D::describe_acpi(aml, place); };

/// Has something under way outside the machine, such as requests to a disk: `void quiesce()` returns when none of it is
/// left. The machine calls it when it has stopped, under the device's lock, so that a state saved then has all of it.
template <class D>
concept HasQuiesce = requires(D& device) { device.quiesce(); };

/// Can be built: from (Config, DeviceContext), or (Config, Resources, DeviceContext) where it has resources.
template <class D>
concept HasConstruction =
    HasConfig<D> && (std::constructible_from<D, typename D::Config const&, DeviceContext&> || requires {
      requires HasResources<D>;
      requires std::constructible_from<D, typename D::Config const&, typename D::Resources&, DeviceContext&>;
    });

/// A device: a plain class with claims, a Config and a constructor that cannot fail.
template <class D>
concept Device = HasClaims<D> && HasConfig<D> && HasConstruction<D>;

/// The smallest device: claims nothing, does nothing.
struct DeviceArchetype {
  static constexpr auto claims = axvm::claims();
  struct Config {};
  DeviceArchetype(Config const&, DeviceContext&) {}
};
static_assert(Device<DeviceArchetype>);

}  // namespace axvm::inline v1
