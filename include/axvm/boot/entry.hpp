#pragma once

#include <array>
#include <cstdint>

#include <axvm/boot/context.hpp>
#include <axvm/core/result.hpp>
#include <axvm/cpu/paging.hpp>
#include <axvm/cpu/registers.hpp>

namespace axvm::inline v1::boot {

/// Selectors of the boot GDT ([linux/boot] 1.14, 1.15).
inline constexpr std::uint16_t BOOT_CS = 0x10, BOOT_DS = 0x18;

/// The GDT entry from which loading a segment register gives `segment`'s hidden part ([intel/vol3] 3.4.5, figure 3-8).
constexpr std::uint64_t segment_descriptor(SegmentRegister const& segment) {
  std::uint64_t limit = segment.g ? segment.limit >> 12 : segment.limit;
  std::uint64_t access = segment.type | (segment.s ? 1u << 4 : 0u) | static_cast<unsigned>(segment.dpl) << 5 |
                         (segment.present ? 1u << 7 : 0u);
  std::uint64_t flags =
      (segment.avl ? 1u : 0u) | (segment.l ? 1u << 1 : 0u) | (segment.db ? 1u << 2 : 0u) | (segment.g ? 1u << 3 : 0u);
  return (limit & 0xffff) | (segment.base & 0xff'ffff) << 16 | access << 40 | (limit >> 16 & 0xf) << 48 | flags << 52 |
         (segment.base >> 24 & 0xff) << 56;
}

/// The system registers of the first processor after reset, but with flat real-mode segments at the bottom of memory
/// and `cs` at `code` ([intel/vol3] 10.1.1, table 10-1). `code` is below 1 MiB.
[[gnu::cold]] constexpr SystemRegisters real_mode(GuestAddress code, AddressMap const& map) {
  SegmentRegister data{.limit = 0xffff, .type = 3, .s = true, .present = true};
  SystemRegisters system;
  system.ds = system.es = system.fs = system.gs = system.ss = data;
  system.cs = {.selector = static_cast<std::uint16_t>(code >> 4),
               .base = align_down(code, 16),
               .limit = 0xffff,
               .type = 0xb,
               .s = true,
               .present = true};
  system.tr = {.limit = 0xffff, .type = 0xb, .present = true};
  system.ldt = {.limit = 0xffff, .type = 2, .present = true};
  system.idt = {.base = 0, .limit = 0x3ff};
  system.cr0 = SystemRegisters::CR0_ET;
  // IA32_APIC_BASE: enabled, and this is the bootstrap processor ([intel/vol3] 11.4.4).
  system.apic_base = map.local_apic | 1ull << 11 | 1ull << 8;
  return system;
}

/// Writes what the entry needs into low memory (GDT, identity page tables) and returns the system registers to go with
/// it. Interrupts have no table yet: the code is entered with them off. `code` matters to Real16 only.
/// Fails with OutOfMemory when low memory is not RAM.
[[gnu::cold]] inline Result<SystemRegisters> prepare_entry(Entry entry, GuestAddress code, Context const& context) {
  SystemRegisters system = real_mode(code, context.map);
  if (entry == Entry::Real16) return system;

  bool long_mode = entry == Entry::Long64;
  system.cs = flat_code(BOOT_CS, long_mode);
  system.ds = system.es = system.fs = system.gs = system.ss = flat_data(BOOT_DS);
  std::array<std::uint64_t, 4> gdt{0, 0, segment_descriptor(system.cs), segment_descriptor(system.ds)};
  if (!context.memory.store(LowMemory::gdt, gdt))
    return failure(ErrorCode::OutOfMemory, text<1023>("write boot GDT: ", Hex{LowMemory::gdt}, " is not guest RAM"),
                   "the guest needs RAM at address 0");
  system.gdt = {.base = LowMemory::gdt, .limit = sizeof(gdt) - 1};
  system.idt = {};
  system.cr0 |= SystemRegisters::CR0_PE;
  if (!long_mode) return system;

  static_assert(LowMemory::page_tables + identity_tables_size(4_GiB) == LowMemory::page_tables_end);
  if (Result<> written = write_identity_tables(context.memory, LowMemory::page_tables, 4_GiB); !written)
    return std::unexpected(written.error());
  system.cr3 = LowMemory::page_tables;
  system.cr4 = SystemRegisters::CR4_PAE;
  system.efer = SystemRegisters::EFER_LME | SystemRegisters::EFER_LMA;
  system.cr0 |= SystemRegisters::CR0_PG;
  return system;
}

}  // namespace axvm::inline v1::boot
