#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <axvm/boot/e820.hpp>
#include <axvm/boot/setup_header.hpp>

namespace axvm::inline v1::boot {

/// One range of the address map in `boot_params`: 20 bytes at any multiple of 4, hence the halves.
struct BootE820Entry {
  std::uint32_t addr_low = 0, addr_high = 0;
  std::uint32_t size_low = 0, size_high = 0;
  std::uint32_t type = 0;

  /// A range in this form.
  static constexpr BootE820Entry of(E820Range const& range) {
    return {.addr_low = static_cast<std::uint32_t>(range.base),
            .addr_high = static_cast<std::uint32_t>(range.base >> 32),
            .size_low = static_cast<std::uint32_t>(range.size),
            .size_high = static_cast<std::uint32_t>(range.size >> 32),
            .type = static_cast<std::uint32_t>(range.type)};
  }
  /// The range it stands for.
  [[nodiscard]] constexpr E820Range range() const {
    return {.base = addr_low | static_cast<std::uint64_t>(addr_high) << 32,
            .size = size_low | static_cast<std::uint64_t>(size_high) << 32,
            .type = static_cast<E820Type>(type)};
  }
};
static_assert(sizeof(BootE820Entry) == 20);

/// What the loader tells the kernel, Linux's "zero page" ([linux/boot], zero-page). All that is not named here (video,
/// APM, EDD, EFI) stays zero: the guest has none of it.
struct BootParams {
  std::array<std::uint8_t, 0x40> screen_info{};  ///< 0x000 zero: no display was set up
  std::array<std::uint8_t, 0x30> reserved_040{};
  std::uint64_t acpi_rsdp_addr = 0;  ///< 0x070 physical address of the RSDP; 0 makes the kernel search
  std::array<std::uint8_t, 0x170> reserved_078{};
  std::uint8_t e820_entries = 0;  ///< 0x1e8 valid entries of e820_table
  std::array<std::uint8_t, 6> reserved_1e9{};
  std::uint8_t sentinel = 0;  ///< 0x1ef zero: the other fields may be believed
  SetupHeader hdr;            ///< 0x1f0
  std::array<std::uint8_t, 0x40> edd_mbr_sig_buffer{};
  std::array<BootE820Entry, E820Map::max_ranges> e820_table{};  ///< 0x2d0
  std::array<std::uint8_t, 0x330> reserved_cd0{};
};
static_assert(std::is_trivially_copyable_v<BootParams> && std::is_standard_layout_v<BootParams>);
static_assert(sizeof(BootParams) == 4096);
static_assert(offsetof(BootParams, acpi_rsdp_addr) == 0x070);
static_assert(offsetof(BootParams, e820_entries) == 0x1e8);
static_assert(offsetof(BootParams, sentinel) == 0x1ef);
static_assert(offsetof(BootParams, hdr) == 0x1f0);
static_assert(offsetof(BootParams, e820_table) == 0x2d0);
static_assert(offsetof(BootParams, reserved_cd0) == 0xcd0);

/// The head of one node of the setup_data list; `len` bytes follow it ([linux/boot] 1.3, field setup_data).
struct SetupData {
  static constexpr std::uint32_t SETUP_RNG_SEED = 9;  ///< random bytes for the kernel's generator, which wipes them

  std::uint64_t next = 0;  ///< physical address of the next node; 0 ends the list
  std::uint32_t type = 0;
  std::uint32_t len = 0;
};
static_assert(sizeof(SetupData) == 16);
static_assert(offsetof(SetupData, type) == 8 && offsetof(SetupData, len) == 12);

}  // namespace axvm::inline v1::boot
