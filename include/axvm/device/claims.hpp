#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/core/fixed_string.hpp>

namespace axvm::inline v1 {

/// In a claim: the machine chooses the address or the line.
inline constexpr std::uint64_t floating = ~0ull;

/// In a claim of a window: configuration space of a PCI device whose number the machine chooses.
inline constexpr std::uint64_t pci_slot = floating - 1;

/// How an interrupt line signals.
enum class Trigger : std::uint8_t { Edge, Level };

/// What a claim is about.
enum class ClaimKind : std::uint8_t { Pio, Mmio, Irq, Msi };

/// One claim as a plain value, the form in which constexpr code works on claims.
struct Claim {
  ClaimKind kind{};
  std::string_view name;            ///< empty for an unnamed claim
  std::uint64_t base = floating;    ///< port, address or line; `floating` and `pci_slot` are placed by the machine
  std::uint64_t size = 0;           ///< ports, bytes or message vectors; 1 for a line
  Trigger trigger = Trigger::Edge;  ///< lines only
};

/// Claims I/O ports. `base` is a port number, 0 to 0xffff; `size` a number of ports.
template <FixedString Name = "">
struct Pio {
  std::uint64_t base = floating;
  std::uint64_t size = 1;

  static constexpr auto name = Name;
  [[nodiscard]] constexpr Claim value() const { return {ClaimKind::Pio, name.view(), base, size, Trigger::Edge}; }
};

/// Claims a window of guest-physical addresses. `size` is in bytes; a floating window is placed at a multiple of its
/// size rounded up to a power of two, at least 4 KiB, or where the device hole begins.
template <FixedString Name = "">
struct Mmio {
  std::uint64_t base = floating;
  std::uint64_t size = 0x1000;

  static constexpr auto name = Name;
  [[nodiscard]] constexpr Claim value() const { return {ClaimKind::Mmio, name.view(), base, size, Trigger::Edge}; }
};

/// Claims function 0 of a device of PCI bus 0; the machine chooses the device number, the next one in the order of its
/// list. The window is the function's 4 KiB of configuration space, where the guest has it in memory (ECAM,
/// [pci-firmware] 4.1): accesses to it are accesses to any window. What the function has in its Base Address registers
/// are windows and ports with claims of their own: a power of two of bytes, at most 256 MiB, or of ports, at least 4.
template <FixedString Name = "">
struct PciFunction {
  static constexpr auto name = Name;
  [[nodiscard]] constexpr Claim value() const {
    return {ClaimKind::Mmio, name.view(), pci_slot, 0x1000, Trigger::Edge};
  }
};

/// Claims an interrupt line: a pin of the I/O APIC (global system interrupt), 0 to 47. Level lines are active high.
template <FixedString Name = "">
struct Irq {
  std::uint64_t line = floating;
  Trigger trigger = Trigger::Edge;

  static constexpr auto name = Name;
  [[nodiscard]] constexpr Claim value() const { return {ClaimKind::Irq, name.view(), line, 1, trigger}; }
};

/// Claims message-signalled interrupt vectors, for transports that have them.
template <FixedString Name = "">
struct Msi {
  std::uint64_t vectors = 1;

  static constexpr auto name = Name;
  [[nodiscard]] constexpr Claim value() const {
    return {ClaimKind::Msi, name.view(), floating, vectors, Trigger::Edge};
  }
};

/// A device's claims: their values in `list`, their kinds and names also as types.
template <class... Cs>
struct Claims {
  std::array<Claim, sizeof...(Cs)> list{};

  /// How many claims of a kind there are.
  [[nodiscard]] constexpr std::size_t count(ClaimKind kind) const {
    std::size_t n = 0;
    for (Claim const& claim : list) n += claim.kind == kind ? 1 : 0;
    return n;
  }
};

/// Writes a device's claims: `static constexpr auto claims = axvm::claims(Pio{.base = 0x3f8, .size = 8}, Irq{.line =
/// 4});`
template <class... Cs>
consteval Claims<Cs...> claims(Cs const&... each) {
  return {{each.value()...}};
}

}  // namespace axvm::inline v1
