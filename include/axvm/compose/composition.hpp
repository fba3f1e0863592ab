#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

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

/// Windows of one size, a power of two, side by side: which of them has an address is a shift away.
struct WindowRow {
  std::size_t first = 0;  ///< index in the table
  std::size_t count = 0;
  unsigned shift = 0;  ///< of a window's size
};

/// The longest row there is in a table of windows.
consteval WindowRow longest_row(auto const& table) {
  WindowRow longest, row;
  for (std::size_t i = 0; i < table.size(); ++i) {
    DispatchWindow const& window = table[i];
    const bool goes_on =
        row.count != 0 && window.size == table[i - 1].size && window.base == table[i - 1].base + window.size;
    if (goes_on) ++row.count;
    else row = {i, std::has_single_bit(window.size) ? 1u : 0u, static_cast<unsigned>(std::countr_zero(window.size))};
    if (row.count > longest.count) longest = row;
  }
  return longest;
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

  /// Whether the machine has a PCI bus: a device claims a function of it, be it absent or not.
  static constexpr bool has_pci = detail::placement<CpuProfileType, List, typename Parts::OwnIoApic>.pci_devices != 0;

  /// Whether the machine has interrupt controllers: the platform is a PC, or something claims an interrupt.
  static constexpr bool has_interrupts = [] {
    bool any = CpuProfileType::platform == Platform::Pc;
    for (PlacedClaim const& placed_claim : layout)
      any |= placed_claim.claim.kind == ClaimKind::Irq || placed_claim.claim.kind == ClaimKind::Msi;
    return any;
  }();
};

namespace detail {

/// All claims of a composition, device by device, and where those of each begin.
template <class Composed>
struct ClaimTable {
  std::array<Claim, Composed::layout.size()> claims{};
  std::array<std::size_t, Composed::List::count + 1> first{};

  consteval ClaimTable() {
    for (std::size_t i = 0; i != claims.size(); ++i) {
      claims[i] = Composed::layout[i].claim;
      ++first[Composed::layout[i].device + 1];
    }
    for (std::size_t i = 0; i != Composed::List::count; ++i) first[i + 1] += first[i];
  }
};
template <class Composed>
inline constexpr ClaimTable<Composed> claim_table{};

/// Its address stands for a type.
template <class T>
inline constexpr char type_mark = 0;

/// How many devices of the same type stand before each.
template <class Composed>
inline constexpr auto instances = []<class... Ds>(Devices<Ds...>) {
  [[maybe_unused]] constexpr std::array<char const*, sizeof...(Ds)> marks{&type_mark<Ds>...};
  std::array<std::size_t, sizeof...(Ds)> before{};
  for (std::size_t i = 0; i != before.size(); ++i)
    for (std::size_t j = 0; j != i; ++j) before[i] += marks[j] == marks[i] ? 1 : 0;
  return before;
}(typename Composed::List{});

}  // namespace detail

/// The claims of device `index` of a composition, with their places: constants.
template <class Composed>
[[nodiscard]] constexpr std::span<const Claim> claims_of(std::size_t index) {
  auto const& table = detail::claim_table<Composed>;
  return {table.claims.data() + table.first[index], table.first[index + 1] - table.first[index]};
}

/// How many devices of the same type stand before device `index`.
template <class Composed>
[[nodiscard]] constexpr std::size_t instance_of(std::size_t index) {
  return detail::instances<Composed>[index];
}

}  // namespace axvm::inline v1
