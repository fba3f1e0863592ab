#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/compose/checks.hpp>
#include <axvm/compose/diagnostics.hpp>
#include <axvm/compose/layout.hpp>
#include <axvm/compose/platform.hpp>

namespace axvm::inline v1 {

/// One window of the dispatch table.
struct DispatchWindow {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::size_t device = 0;  ///< index in the flat device list
  std::size_t claim = 0;   ///< index in that device's claims
};

namespace detail {

/// The windows of one kind, sorted by base.
template <ClaimKind Kind, class Composed>
consteval auto window_table() {
  constexpr std::size_t count = [] {
    std::size_t n = 0;
    for (PlacedClaim const& placed : Composed::layout) n += placed.claim.kind == Kind ? 1 : 0;
    return n;
  }();
  std::array<DispatchWindow, count> table{};
  std::size_t n = 0;
  for (PlacedClaim const& placed : Composed::layout) {
    if (placed.claim.kind != Kind) continue;
    std::size_t at = n++;
    for (; at > 0 && table[at - 1].base > placed.claim.base; --at) table[at] = table[at - 1];
    table[at] = {placed.claim.base, placed.claim.size, placed.device, placed.index};
  }
  return table;
}

}  // namespace detail

/// Everything that follows from a machine's type before anything runs: the flat device list and where each claim is.
/// A wrong composition stops the compiler with one named diagnostic. Of the hypervisor `H` only that counts here which
/// decides on devices: whether it `lacks_io_apic`, and the features it `has`.
template <class Profile, class DeviceList, class H>
struct Composition {
  using Parts = detail::ComposedParts<Profile, DeviceList, H>;
  static_assert(machine_with<typename Parts::Fault::Type>);

  using CpuProfileType = typename Parts::Profile;
  /// The profile's own devices, then the user's, with repeats written out.
  using List = typename Parts::List;

  /// Whether the last of them is the machine's own I/O APIC, for the hypervisor has none.
  static constexpr bool own_io_apic = Parts::OwnIoApic::count != 0;
  /// Its index.
  static constexpr std::size_t io_apic = List::count - 1;

  /// Where every claim of every device is; constant.
  static constexpr auto layout = detail::placement<CpuProfileType, List, typename Parts::OwnIoApic>.claims;

  /// Whether the machine has interrupt controllers: the platform is a PC, or something claims an interrupt.
  static constexpr bool has_interrupts = [] {
    bool any = CpuProfileType::platform == Platform::Pc;
    for (PlacedClaim const& placed_claim : layout)
      any |= placed_claim.claim.kind == ClaimKind::Irq || placed_claim.claim.kind == ClaimKind::Msi;
    return any;
  }();
};

/// The claims of device `I` of a composition, as its own list of constants.
template <class Composed, std::size_t I>
inline constexpr auto claims_of = [] {
  std::array<Claim, DeviceAt<I, typename Composed::List>::claims.list.size()> list{};
  for (PlacedClaim const& placed : Composed::layout)
    if (placed.device == I) list[placed.index] = placed.claim;
  return list;
}();

/// How many devices of the same type stand before device `I`.
template <class Composed, std::size_t I>
inline constexpr std::size_t instance_of = []<class... Ds>(Devices<Ds...>) {
  const bool same[] = {std::is_same_v<Ds, DeviceAt<I, typename Composed::List>>...};
  std::size_t n = 0;
  for (std::size_t i = 0; i != I; ++i) n += same[i] ? 1 : 0;
  return n;
}(typename Composed::List{});

}  // namespace axvm::inline v1
