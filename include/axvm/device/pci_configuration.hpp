#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <axvm/core/bytes.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/access.hpp>

namespace axvm::inline v1 {

/// Offsets into a function's configuration space, [pci/3.0] 6.1, header type 0.
namespace pci_register {
inline constexpr std::size_t Vendor_ID = 0x00;             ///< 16 bits, and Device ID above
inline constexpr std::size_t Command = 0x04;               ///< 16 bits, and Status above
inline constexpr std::size_t Revision_ID = 0x08;           ///< 8 bits, and Class Code above
inline constexpr std::size_t Base_Address_0 = 0x10;        ///< the first of six, 32 bits each
inline constexpr std::size_t Subsystem_Vendor_ID = 0x2c;   ///< 16 bits, and Subsystem ID above
inline constexpr std::size_t Capabilities_Pointer = 0x34;  ///< 8 bits
inline constexpr std::size_t Interrupt_Line = 0x3c;        ///< 8 bits, and Interrupt Pin above: 0, there is no line
}  // namespace pci_register

/// Bits of the Command register, [pci/3.0] 6.2.2.
namespace pci_command {
inline constexpr std::uint32_t IO_Space = 1;
inline constexpr std::uint32_t Memory_Space = 2;
inline constexpr std::uint32_t Bus_Master = 4;
inline constexpr std::uint32_t Interrupt_Disable = 0x400;
}  // namespace pci_command

/// The configuration space of a PCI function ([pci/3.0] 6.1): registers of which a guest may change some bits. A base
/// address register is one whose low bits it may not change, which is how a guest learns the size. Addresses are as the
/// machine's type has placed them; a guest may write others, and then the function does not answer there: see
/// decodes().
class PciConfiguration {
 public:
  static constexpr std::size_t words = 64;        ///< of 32 bits
  static constexpr std::size_t size = 4 * words;  ///< bytes; what follows in the function's 4 KiB is all-ones
  /// Everything that is saved of it.
  using State = std::array<std::uint32_t, words>;

  /// `state` outlives it, and gets what the function is after a reset.
  explicit constexpr PciConfiguration(State& state) : state_(state) {}

  /// Vendor and device, revision 1, class code ([pci/3.0] D) in the low 24 bits, subsystem as vendor and device.
  constexpr void identify(std::uint16_t vendor, std::uint16_t device, std::uint32_t class_code) {
    put(pci_register::Vendor_ID, vendor | std::uint32_t{device} << 16);
    put(pci_register::Revision_ID, 1 | class_code << 8);
    put(pci_register::Subsystem_Vendor_ID, vendor | std::uint32_t{device} << 16);
    put(pci_register::Command, capabilities_list << 16,
        pci_command::IO_Space | pci_command::Memory_Space | pci_command::Bus_Master | pci_command::Interrupt_Disable);
    put(pci_register::Interrupt_Line, 0, 0xff);
  }
  /// Base address register `n`, 0 to 5, of a window: `bytes` of memory below 4 GiB, not prefetchable; a power of two.
  constexpr void add_memory(std::size_t n, GuestAddress base, std::uint32_t bytes) {
    put(pci_register::Base_Address_0 + 4 * n, static_cast<std::uint32_t>(base), ~(bytes - 1));
  }
  /// Base address register `n` of `ports` ports; a power of two, at least 4.
  constexpr void add_ports(std::size_t n, std::uint64_t base, std::uint32_t ports) {
    put(pci_register::Base_Address_0 + 4 * n, static_cast<std::uint32_t>(base) | io_space_indicator,
        0xffff & ~(ports - 1));
  }
  /// A capability at `offset`, a multiple of 4 from 0x40 on, with the second and third byte of its first word in
  /// `first`; in the order of the calls. Its other words are put().
  constexpr void add_capability(std::size_t offset, std::uint8_t id, std::uint16_t first, std::uint32_t writable = 0) {
    put(offset, id | std::uint32_t{first} << 16, writable);
    const std::size_t link = last_ == 0 ? pci_register::Capabilities_Pointer : last_;
    state_[link / 4] |= static_cast<std::uint32_t>(offset) << (last_ == 0 ? 0 : 8);
    reset_[link / 4] = state_[link / 4];
    last_ = offset;
  }
  /// 32 bits at a multiple of 4, and which of them a guest may change.
  constexpr void put(std::size_t offset, std::uint32_t value, std::uint32_t writable = 0) {
    state_[offset / 4] = reset_[offset / 4] = value;
    writable_[offset / 4] = writable;
  }

  /// The 32 bits at a multiple of 4 below `size`, as they are now.
  [[nodiscard]] constexpr std::uint32_t word(std::size_t offset) const { return state_[offset / 4]; }

  /// Whether the function answers to accesses by base address register `n`: the guest lets it (Command), and the
  /// register has the address where the machine has placed it.
  [[nodiscard]] constexpr bool decodes(std::size_t n) const {
    const std::size_t at = pci_register::Base_Address_0 / 4 + n;
    const std::uint32_t wanted =
        (reset_[at] & io_space_indicator) != 0 ? pci_command::IO_Space : pci_command::Memory_Space;
    return (word(pci_register::Command) & wanted) != 0 && state_[at] == reset_[at];
  }

  /// An access of the guest, at an offset into the function's 4 KiB; of any width and alignment.
  void read(MmioAccess& access) const {
    access.value = ~0ull;
    if (!range_fits(access.offset, access.width, size)) return;
    access.value = 0;
    std::memcpy(&access.value, reinterpret_cast<std::byte const*>(state_.data()) + access.offset, access.width);
  }
  /// 8, 16 or 32 bits, aligned; others are ignored.
  void write(MmioAccess const& access) {
    if (access.width > 4 || !std::has_single_bit(access.width) || !is_aligned(access.offset, access.width) ||
        access.offset >= size)
      return;
    const unsigned shift = 8 * (access.offset % 4);
    const std::uint32_t touched = (access.width == 4 ? ~0u : (1u << 8 * access.width) - 1) << shift;
    const std::size_t at = access.offset / 4;
    const std::uint32_t changed = touched & writable_[at];
    state_[at] = (state_[at] & ~changed) | (static_cast<std::uint32_t>(access.value << shift) & changed);
  }

  /// The state was assigned: what a guest could not have written is as it was built.
  constexpr void restored() {
    for (std::size_t i = 0; i != words; ++i) state_[i] = (reset_[i] & ~writable_[i]) | (state_[i] & writable_[i]);
  }

 private:
  static constexpr std::uint32_t io_space_indicator = 1;    // bit 0 of a base address register
  static constexpr std::uint32_t capabilities_list = 0x10;  // bit 4 of Status

  State& state_;
  State reset_{}, writable_{};
  std::size_t last_ = 0;  // capability
};

}  // namespace axvm::inline v1
