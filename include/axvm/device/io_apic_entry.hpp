#pragma once

#include <cstdint>

#include <axvm/device/message.hpp>

namespace axvm::inline v1 {

/// An entry of the I/O APIC's redirection table ([intel/82093aa] 3.2.4): where a line's interrupts go. A plain value;
/// the bits that a guest cannot set are zero.
class IoApicEntry {
 public:
  /// As after a reset: masked, everything else zero.
  constexpr IoApicEntry() = default;
  explicit constexpr IoApicEntry(std::uint64_t bits) : bits_(bits) {}

  enum class DeliveryMode : std::uint8_t { Fixed = 0, LowestPriority = 1, SMI = 2, NMI = 4, INIT = 5, ExtINT = 7 };

  [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }
  [[nodiscard]] constexpr std::uint8_t vector() const { return static_cast<std::uint8_t>(bits_); }
  [[nodiscard]] constexpr DeliveryMode delivery_mode() const { return static_cast<DeliveryMode>(bits_ >> 8 & 7); }
  [[nodiscard]] constexpr bool remote_irr() const { return (bits_ & REMOTE_IRR) != 0; }
  [[nodiscard]] constexpr bool masked() const { return (bits_ & INTERRUPT_MASK) != 0; }

  /// Whether its interrupts are ended: NMI and INIT are edges whatever the entry says.
  [[nodiscard]] constexpr bool level_triggered() const { return (bits_ & TRIGGER_MODE) != 0 && has_vector(); }
  /// Whether it is one of the modes that are delivered, with a vector that exists.
  [[nodiscard]] constexpr bool can_send() const {
    if (has_vector()) return vector() >= 0x10;
    return delivery_mode() == DeliveryMode::NMI || delivery_mode() == DeliveryMode::INIT;
  }

  /// What it sends ([intel/vol3] 11.11.1, 11.11.2).
  [[nodiscard]] constexpr Message message() const {
    const bool lowest_priority = delivery_mode() == DeliveryMode::LowestPriority;
    const std::uint64_t logical = bits_ >> 11 & 1;
    return {.address = 0xfee0'0000 | bits_ >> 56 << 12 | (lowest_priority ? 1u << 3 : 0u) | logical << 2,
            .data = static_cast<std::uint32_t>(bits_ & 0x7ff) | (level_triggered() ? 1u << 15 | 1u << 14 : 0u)};
  }

  /// With one half as the guest writes it. Once it is no level any more, nothing waits for an end.
  [[nodiscard]] constexpr IoApicEntry with_low(std::uint32_t value) const {
    const std::uint64_t mask = writable & 0xffff'ffff;
    return IoApicEntry((bits_ & ~mask) | (value & mask)).valid();
  }
  [[nodiscard]] constexpr IoApicEntry with_high(std::uint32_t value) const {
    return IoApicEntry((bits_ & 0xffff'ffff) | (std::uint64_t{value} << 32 & writable));
  }
  [[nodiscard]] constexpr IoApicEntry with_remote_irr(bool on) const {
    return IoApicEntry(on ? bits_ | REMOTE_IRR : bits_ & ~REMOTE_IRR);
  }
  /// As it can be, of any bits.
  [[nodiscard]] constexpr IoApicEntry valid() const {
    const IoApicEntry entry(bits_ & (writable | REMOTE_IRR));
    return entry.level_triggered() ? entry : entry.with_remote_irr(false);
  }

  friend constexpr bool operator==(IoApicEntry const&, IoApicEntry const&) = default;

 private:
  static constexpr std::uint64_t REMOTE_IRR = 1u << 14;
  static constexpr std::uint64_t TRIGGER_MODE = 1u << 15;
  static constexpr std::uint64_t INTERRUPT_MASK = 1u << 16;
  /// All but delivery status, which is always idle, remote IRR, and what is reserved.
  static constexpr std::uint64_t writable = 0xff00'0000'0001'afff;

  [[nodiscard]] constexpr bool has_vector() const {
    return delivery_mode() == DeliveryMode::Fixed || delivery_mode() == DeliveryMode::LowestPriority;
  }

  std::uint64_t bits_ = INTERRUPT_MASK;
};

}  // namespace axvm::inline v1
