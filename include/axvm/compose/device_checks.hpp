#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <axvm/compose/devices.hpp>
#include <axvm/compose/fault.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/feature.hpp>

namespace axvm::inline v1::detail {

template <class D, class Access, class... Tag>
concept Reads = requires(D& device, Access& access, Tag... tag) { device.read(tag..., access); };
template <class D, class Access, class... Tag>
concept Writes = requires(D& device, Access const& access, Tag... tag) { device.write(tag..., access); };

template <class D, class Access, class... Tag>
consteval auto window_fault() {
  if constexpr (!Reads<D, Access, Tag...>) return Found<NotADevice<D, Lacks::read, Tag..., Access&>>{};
  else if constexpr (!Writes<D, Access, Tag...>) return Found<NotADevice<D, Lacks::write, Tag..., Access const&>>{};
  else return Nothing{};
}

/// Whether `D` takes the accesses that its claim `C` brings.
template <class D, class C>
consteval auto claim_fault() {
  constexpr ClaimKind kind = C{}.value().kind;
  if constexpr (kind == ClaimKind::Pio || kind == ClaimKind::Mmio) {
    using Access = std::conditional_t<kind == ClaimKind::Pio, PioAccess, MmioAccess>;
    if constexpr (C::name.empty()) return window_fault<D, Access>();
    else return window_fault<D, Access, In<C::name>>();
  } else {
    return Nothing{};
  }
}
template <class D, class... Cs>
consteval auto claims_fault(Claims<Cs...>) {
  constexpr std::size_t lines = D::claims.count(ClaimKind::Irq);
  if constexpr (lines > DeviceContext::max_lines) return Found<TooManyLines<D, lines>>{};
  else return (Nothing{} | ... | claim_fault<D, Cs>());
}

template <class D>
consteval auto device_fault() {
  if constexpr (!HasClaims<D>) return Found<NotADevice<D, Lacks::claims>>{};
  else if constexpr (!HasConfig<D>) return Found<NotADevice<D, Lacks::Config>>{};
  else if constexpr (requires { typename D::Resources; } && !HasResources<D>)
    return Found<NotADevice<D, Lacks::open>>{};
  else if constexpr (!HasConstruction<D>) return Found<NotADevice<D, Lacks::constructor>>{};
  else return claims_fault<D>(D::claims);
}
/// `D`, or one that does nothing in its place.
template <class D>
using DeviceOrNothing = std::conditional_t<std::is_same_v<decltype(device_fault<D>()), Nothing>, D, DeviceArchetype>;

template <class H, Feature Wanted>
consteval bool hypervisor_has() {
  if constexpr (requires { H::has(Wanted); }) return H::has(Wanted);
  else return false;
}

template <class H, class D>
consteval auto needs_fault() {
  if constexpr (D::claims.count(ClaimKind::Msi) != 0 && !hypervisor_has<H, Feature::MessageInterrupts>()) {
    return Found<HypervisorLacks<D, H, Feature::MessageInterrupts>>{};
  } else if constexpr (HasNeeds<D>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
      return (Nothing{} | ... | [] {
        constexpr Feature needed = D::needs[Is];
        if constexpr (hypervisor_has<H, needed>()) return Nothing{};
        else return Found<HypervisorLacks<D, H, needed>>{};
      }());
    }(std::make_index_sequence<D::needs.size()>{});
  } else {
    return Nothing{};
  }
}

}  // namespace axvm::inline v1::detail
