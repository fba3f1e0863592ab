#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <axvm/compose/devices.hpp>
#include <axvm/core/address_map.hpp>
#include <axvm/device/claims.hpp>
#include <axvm/device/io_apic.hpp>

namespace axvm::inline v1 {

/// One claim of a machine: whose it is and where it ended up.
struct PlacedClaim {
  Claim claim;             ///< with base filled in (message interrupts keep `floating`)
  std::size_t device = 0;  ///< index in the machine's flat device list
  std::size_t index = 0;   ///< index in the device's own claims
};

/// How many lines there can be: pins of the I/O APIC.
inline constexpr std::uint64_t line_count = IoApic::max_pins;
/// The lines given to floating claims, in this order: low ones first, for each line up to the last one that is used
/// costs a guest time when it starts, but before those that PC hardware at a fixed place uses those that it does not.
/// Left out: 0 (timer), 2 (the PC's cascade), 9 (SCI).
inline constexpr auto floating_lines = [] {
  std::array<std::uint8_t, line_count - 3> lines{5, 6, 7, 3, 4, 1, 8};
  for (std::size_t i = 7; i < lines.size(); ++i) lines[i] = static_cast<std::uint8_t>(i + 3);
  return lines;
}();

namespace detail {

enum class FaultKind : std::uint8_t {
  None,
  PortsOverlap,
  WindowsOverlap,
  LineClaimedTwice,
  NoFreeIrq,
  NoFreePciSlot,
  NoRoomForWindow,
  PortOutOfRange,
  WindowOutsideHole,
  LineOutOfRange,
};

/// The first thing wrong with a layout: the devices (the second where there is one) and a number.
struct LayoutFault {
  FaultKind kind = FaultKind::None;
  std::size_t a = 0, b = 0;
  std::uint64_t where = 0;
};

template <std::size_t N>
struct LayoutResult {
  std::array<PlacedClaim, N> claims{};
  LayoutFault fault{};
  std::uint64_t pci_devices = 0;  ///< device numbers of PCI bus 0 that are taken, from 0 on
};

constexpr bool overlap(Claim const& a, Claim const& b) {
  return a.kind == b.kind && a.base < b.base + b.size && b.base < a.base + a.size;
}

/// Whether configuration space has room for the functions of a PCI device, the one with this number.
constexpr LayoutFault check_functions(PlacedClaim const& placed, std::uint64_t number) {
  Claim const& claim = placed.claim;
  if (claim.size == 0 || claim.size > AddressMap::pci_device_size)
    return {FaultKind::NoRoomForWindow, placed.device, 0, claim.size};
  if (number == AddressMap::pci_config_size / AddressMap::pci_device_size)
    return {FaultKind::NoFreePciSlot, placed.device, 0, number};
  return {};
}

/// Gives PCI devices their numbers, in order, and with that their places in configuration space.
template <std::size_t N>
constexpr void number_pci_devices(std::array<PlacedClaim, N> const& claims, std::array<PlacedClaim, N>& placed,
                                  AddressMap const& map) {
  GuestAddress next = map.pci_config;
  for (std::size_t i = 0; i < N; ++i) {
    if (claims[i].claim.base != pci_slot || claims[i].claim.kind != ClaimKind::Mmio) continue;
    placed[i].claim.base = next;
    placed[i].claim.size = claims[i].claim.size;
    next += AddressMap::pci_device_size;
  }
}

/// Whether a fixed claim is one that can exist at all.
constexpr LayoutFault check_fixed(PlacedClaim const& placed, AddressMap const& map) {
  Claim const& claim = placed.claim;
  const bool is_floating = claim.base == floating;
  switch (claim.kind) {
    case ClaimKind::Pio:
      if (claim.size == 0 || claim.size > 0x10000 || (!is_floating && claim.base > 0x10000 - claim.size))
        return {FaultKind::PortOutOfRange, placed.device, 0, claim.base};
      break;
    case ClaimKind::Mmio:
      if (claim.size == 0 || claim.size > map.windows_end - map.hole)
        return {FaultKind::NoRoomForWindow, placed.device, 0, claim.size};
      if (!is_floating && (claim.base < map.hole || claim.base > map.windows_end - claim.size))
        return {FaultKind::WindowOutsideHole, placed.device, 0, claim.base};
      break;
    case ClaimKind::Irq:
      if (!is_floating && claim.base >= line_count) return {FaultKind::LineOutOfRange, placed.device, 0, claim.base};
      break;
    case ClaimKind::Msi: break;
  }
  return {};
}

constexpr FaultKind overlap_fault(ClaimKind kind) {
  return kind == ClaimKind::Pio    ? FaultKind::PortsOverlap
         : kind == ClaimKind::Mmio ? FaultKind::WindowsOverlap
                                   : FaultKind::LineClaimedTwice;
}

/// The next address from `at` on that a floating claim may begin at.
constexpr std::uint64_t align(std::uint64_t at, Claim const& wanted) {
  const std::uint64_t rounded = std::bit_ceil(wanted.size);
  const std::uint64_t alignment = wanted.kind == ClaimKind::Pio || rounded > 0x1000 ? rounded : 0x1000;
  return (at + alignment - 1) & ~(alignment - 1);
}

/// Where to look first for room for the floating claim `index`, a window: behind the one before of this kind and size,
/// because where that found the first room there is no more of it below, and compilers bound how long they search. The
/// first of a size begins where all do, aligned or not; with ports, where PC firmware puts those of PCI devices.
template <std::size_t N>
constexpr std::uint64_t first_base(std::array<PlacedClaim, N> const& claims, std::array<PlacedClaim, N> const& placed,
                                   std::size_t index, AddressMap const& map) {
  Claim const& wanted = claims[index].claim;
  for (std::size_t i = index; i-- > 0;)
    if (Claim const& other = claims[i].claim;
        other.base == floating && other.kind == wanted.kind && other.size == wanted.size)
      return align(placed[i].claim.base + other.size, wanted);
  return wanted.kind == ClaimKind::Pio ? 0xc000 : map.hole;
}

/// The room that is taken of one kind of addresses, in order. What adjoins is one range, so there are few, however many
/// floating claims stand in a row: compilers bound how long they search, and are slow at it.
template <std::size_t N>
struct TakenRoom {
  struct Range {
    std::uint64_t begin = 0, end = 0;
  };
  std::array<Range, N + 1> ranges{};
  std::size_t count = 0;

  /// Takes a claim's place; nothing of it is taken yet.
  constexpr void take(Claim const& claim) {
    const std::uint64_t begin = claim.base, end = claim.base + claim.size;
    std::size_t at = count;  // the first range behind it
    while (at != 0 && ranges[at - 1].begin > begin) --at;
    const bool joins_next = at != count && ranges[at].begin == end;
    if (at != 0 && ranges[at - 1].end == begin) {
      ranges[at - 1].end = joins_next ? ranges[at].end : end;
      if (!joins_next) return;
      --count;
      for (std::size_t i = at; i != count; ++i) ranges[i] = ranges[i + 1];
    } else if (joins_next) {
      ranges[at].begin = begin;
    } else {
      for (std::size_t i = count++; i != at; --i) ranges[i] = ranges[i - 1];
      ranges[at] = {begin, end};
    }
  }

  /// The first place with room for a claim from its base on; `floating` when there is none below `limit`.
  [[nodiscard]] constexpr std::uint64_t find(Claim const& wanted, std::uint64_t limit) const {
    std::uint64_t base = wanted.base;
    for (std::size_t i = 0; i != count && base <= limit - wanted.size; ++i) {
      if (ranges[i].end <= base) continue;
      if (ranges[i].begin >= base + wanted.size) break;
      base = align(ranges[i].end, wanted);
    }
    return base <= limit - wanted.size ? base : floating;
  }
};

/// The first line that floating claims may have and that is not among the `used` ones, a bit for each; `floating` when
/// there is none.
constexpr std::uint64_t choose_line(std::uint64_t used) {
  for (std::uint64_t line : floating_lines)
    if ((used >> line & 1) == 0) return line;
  return floating;
}

/// Checks fixed claims against each other, places the floating ones and numbers PCI devices. Each claim is looked at
/// once; the first fault ends it. `io_apic` is the index of the machine's own, if there is one.
template <std::size_t N>
constexpr LayoutResult<N> place(std::array<PlacedClaim, N> const& claims, AddressMap const& map,
                                std::size_t io_apic = ~std::size_t{0}) {
  LayoutResult<N> result{claims, {}};
  for (PlacedClaim& placed : result.claims) {
    if (placed.device == io_apic) continue;  // it has a place of its own
    if (placed.claim.base == pci_slot && placed.claim.kind == ClaimKind::Mmio) {
      result.fault = check_functions(placed, result.pci_devices);
      if (result.fault.kind != FaultKind::None) return result;
      if (result.pci_devices++ != 0) continue;
      // Until what is fixed has been compared, the first stands for the configuration space of all there can be.
      placed.claim.base = map.pci_config;
      placed.claim.size = AddressMap::pci_config_size;
    }
    result.fault = check_fixed(placed, map);
    if (result.fault.kind != FaultKind::None) return result;
  }
  TakenRoom<N> ports, windows;
  std::uint64_t lines_used = 0;  // bit N: line N
  std::array<std::size_t, N + 1> fixed{};
  std::size_t fixed_count = 0;
  for (std::size_t i = 0; i < N; ++i) {
    PlacedClaim const& b = result.claims[i];
    if (b.claim.base >= pci_slot) continue;  // it has no place yet
    for (std::size_t j = 0; j < fixed_count; ++j) {
      PlacedClaim const& a = result.claims[fixed[j]];
      if (!overlap(a.claim, b.claim)) continue;
      const std::uint64_t where = a.claim.base > b.claim.base ? a.claim.base : b.claim.base;
      result.fault = {overlap_fault(a.claim.kind), a.device, b.device, where};
      return result;
    }
    fixed[fixed_count++] = i;
    if (b.claim.kind == ClaimKind::Irq) lines_used |= std::uint64_t{1} << b.claim.base;
    else (b.claim.kind == ClaimKind::Pio ? ports : windows).take(b.claim);
  }
  if (result.pci_devices != 0) number_pci_devices(claims, result.claims, map);
  for (std::size_t i = 0; i < N; ++i) {
    PlacedClaim& placed = result.claims[i];
    if (placed.claim.base != floating || placed.claim.kind == ClaimKind::Msi) continue;
    const bool irq = placed.claim.kind == ClaimKind::Irq, port = placed.claim.kind == ClaimKind::Pio;
    if (irq) {
      placed.claim.base = choose_line(lines_used);
      if (placed.claim.base != floating) lines_used |= std::uint64_t{1} << placed.claim.base;
    } else {
      Claim wanted = placed.claim;
      wanted.base = first_base(claims, result.claims, i, map);
      TakenRoom<N>& room = port ? ports : windows;
      placed.claim.base = room.find(wanted, port ? 0x10000 : map.windows_end);
      if (placed.claim.base != floating) room.take(placed.claim);
    }
    if (placed.claim.base != floating) continue;
    std::uint64_t lines = floating_lines.size();
    for (PlacedClaim const& other : claims)
      for (std::uint64_t line : floating_lines) lines -= other.claim.kind == ClaimKind::Irq && other.claim.base == line;
    result.fault = {irq ? FaultKind::NoFreeIrq : FaultKind::NoRoomForWindow, placed.device, 0,
                    irq ? lines : placed.claim.size};
    return result;
  }
  return result;
}

template <class... Ds>
consteval auto all_claims(Devices<Ds...>) {
  std::array<PlacedClaim, (std::size_t{0} + ... + Ds::claims.list.size())> all{};
  std::size_t n = 0, device = 0;
  [[maybe_unused]] auto add = [&](auto const& list) {
    for (std::size_t i = 0; i < list.size(); ++i) all[n++] = {list[i], device, i};
    ++device;
  };
  (add(Ds::claims.list), ...);
  return all;
}

}  // namespace detail
}  // namespace axvm::inline v1
