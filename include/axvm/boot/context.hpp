#pragma once

#include <cstdint>
#include <optional>

#include <axvm/core/address_map.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::boot {

/// What a loader has to know of the machine.
struct Context {
  GuestMemory memory;                ///< guest RAM; loaders write through it
  AddressMap map;                    ///< where RAM ends and ACPI tables lie
  std::optional<GuestAddress> rsdp;  ///< the ACPI RSDP, if the machine has tables
  ConstBytes rng_seed;               ///< random bytes for the guest's generator; may be empty
  std::uint64_t random = 0;          ///< for choices of the loader's own; 0: it makes none
};

/// How the first processor enters the code.
enum class Entry : std::uint8_t {
  Real16,       ///< real mode, as after reset but at the code
  Protected32,  ///< flat 32-bit protected mode, paging off
  Long64,       ///< 64-bit mode, the first 4 GiB mapped to themselves
};

/// Where loaders put what they make, all of it below the extended BIOS data area. The first 16 KiB stay free: interrupt
/// vectors and BIOS data belong there. The same addresses every time, so that a guest's memory can be read in a dump.
struct LowMemory {
  static constexpr GuestAddress begin = 0x4000;
  static constexpr GuestAddress gdt = 0x4000;          ///< one page
  static constexpr GuestAddress setup_data = 0x5000;   ///< two pages
  static constexpr GuestAddress boot_params = 0x7000;  ///< one page
  static constexpr GuestAddress stack_top = 0x9000;    ///< a page below it, for code that was not given a stack
  static constexpr GuestAddress page_tables = 0x9000;  ///< six pages map 4 GiB
  static constexpr GuestAddress page_tables_end = 0xf000;
  static constexpr GuestAddress cmdline = 0x2'0000;
  static constexpr GuestAddress end = 0x9'0000;  ///< Linux puts its own real-mode code between this and 0x9fc00

  static constexpr std::uint64_t longest_cmdline = end - cmdline - 1;  ///< bytes without the final zero
};

}  // namespace axvm::inline v1::boot
