#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/device/access.hpp>
#include <axvm/device/message.hpp>

namespace axvm::inline v1 {

/// One vector of a function with MSI-X, [pci/3.0] 6.8.2.
struct MsixVector {
  std::uint64_t address = 0;  ///< Message Address and Message Upper Address
  std::uint32_t data = 0;     ///< Message Data
  bool masked = true;         ///< Mask Bit of Vector Control
  bool pending = false;       ///< of the pending bit array

  friend constexpr bool operator==(MsixVector const&, MsixVector const&) = default;
};

/// The table and the pending bits of a function with MSI-X, [pci/3.0] 6.8: `Count` vectors, 1 to 64.
template <std::size_t Count>
class MsixTable {
 public:
  static_assert(Count >= 1 && Count <= 64, "axvm: a function has 1 to 64 MSI-X vectors here");
  /// What is saved of it.
  using State = std::array<MsixVector, Count>;

  /// Bits of Message Control, and its Table Size, which is one less than there are ([pci/3.0] 6.8.2.3).
  static constexpr std::uint16_t enable = 0x8000, function_mask = 0x4000, table_size = Count - 1;
  /// Bytes of the table, and of the pending bits.
  static constexpr std::uint64_t table_bytes = 16 * Count, pending_bytes = 8;

  /// `state` outlives it.
  MsixTable(State& state, MessageSink messages) : state_(state), messages_(messages) {}

  /// Takes over what a driver has written to Message Control.
  void set_control(std::uint16_t control) {
    enabled_ = (control & enable) != 0;
    masked_ = (control & function_mask) != 0;
    send_pending();
  }
  /// Whether the driver takes messages.
  [[nodiscard]] bool enabled() const { return enabled_; }

  /// Interrupts; a vector that is masked is pending until it is not. One that is not there does nothing.
  void send(std::size_t vector) {
    if (!enabled_ || vector >= Count) return;
    MsixVector& entry = state_[vector];
    if (masked_ || entry.masked) entry.pending = true;
    else messages_.send({entry.address, entry.data});
  }
  /// The function was reset: nothing is pending any more.
  void forget_pending() {
    for (MsixVector& entry : state_) entry.pending = false;
  }

  /// The four bytes at an offset into the table, a multiple of 4.
  [[nodiscard]] std::uint32_t word(std::uint64_t offset) const {
    if (offset >= table_bytes) return 0;
    MsixVector const& entry = state_[offset / 16];
    switch (offset % 16) {
      case 0: return static_cast<std::uint32_t>(entry.address);
      case 4: return static_cast<std::uint32_t>(entry.address >> 32);
      case 8: return entry.data;
      default: return entry.masked ? 1 : 0;
    }
  }
  /// The same, written.
  void set_word(std::uint64_t offset, std::uint32_t value) {
    if (offset >= table_bytes) return;
    MsixVector& entry = state_[offset / 16];
    switch (offset % 16) {
      case 0: entry.address = (entry.address & ~0xffff'ffffull) | (value & ~3u); return;  // DWORD aligned
      case 4: entry.address = (entry.address & 0xffff'ffff) | std::uint64_t{value} << 32; return;
      case 8: entry.data = value; return;
      default: entry.masked = (value & 1) != 0; send_pending();
    }
  }
  /// 32 of the pending bits, at an offset of 0 or 4.
  [[nodiscard]] std::uint32_t pending_word(std::uint64_t offset) const {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i != Count; ++i) bits |= std::uint64_t{state_[i].pending} << i;
    return offset >= pending_bytes ? 0 : static_cast<std::uint32_t>(bits >> 8 * offset);
  }

 private:
  void send_pending() {
    if (!enabled_ || masked_) return;
    for (MsixVector& entry : state_) {
      if (!entry.pending || entry.masked) continue;
      entry.pending = false;
      messages_.send({entry.address, entry.data});
    }
  }

  State& state_;
  MessageSink messages_;
  bool enabled_ = false, masked_ = false;
};

}  // namespace axvm::inline v1
