#pragma once

#include <array>
#include <cstdint>

namespace axvm::inline v1 {

/// The general registers of a virtual CPU, in the processor's encoding order ([intel/vol2] table 2-2), then the
/// instruction pointer and the flags.
struct GeneralRegisters {
  std::uint64_t rax = 0, rcx = 0, rdx = 0, rbx = 0, rsp = 0, rbp = 0, rsi = 0, rdi = 0;
  std::uint64_t r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  std::uint64_t rip = 0;
  std::uint64_t rflags = 2;  ///< bit 1 always reads as one ([intel/vol1] 3.4.3)
};

/// A segment register with its hidden part ([intel/vol3] 3.4.3, 3.4.5).
struct SegmentRegister {
  std::uint16_t selector = 0;
  std::uint64_t base = 0;
  std::uint32_t limit = 0;  ///< in bytes, after granularity was applied
  std::uint8_t type = 0;    ///< 4 bits
  bool s = false;           ///< code or data (true) or system (false)
  std::uint8_t dpl = 0;     ///< 0 to 3
  bool present = false;
  bool avl = false;
  bool l = false;   ///< 64-bit code
  bool db = false;  ///< 32-bit default operand size
  bool g = false;   ///< granularity
  bool unusable = false;
};

/// A descriptor table register.
struct DescriptorTable {
  std::uint64_t base = 0;
  std::uint16_t limit = 0;
};

/// What decides the mode a virtual CPU runs in ([intel/vol3] 2.5, 2.2.1).
struct SystemRegisters {
  SegmentRegister cs, ds, es, fs, gs, ss, tr, ldt;
  DescriptorTable gdt, idt;
  std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0;
  std::uint64_t efer = 0;
  std::uint64_t apic_base = 0;

  static constexpr std::uint64_t CR0_PE = 1ull << 0, CR0_ET = 1ull << 4, CR0_PG = 1ull << 31;
  static constexpr std::uint64_t CR4_PAE = 1ull << 5, CR4_LA57 = 1ull << 12;
  static constexpr std::uint64_t EFER_LME = 1ull << 8, EFER_LMA = 1ull << 10;

  /// Whether the CPU executes 64-bit code: IA-32e mode is active and the code segment says so.
  [[nodiscard]] constexpr bool in_64_bit_mode() const { return (efer & EFER_LMA) != 0 && cs.l; }
};

/// Everything a loader decides about the first processor: both register groups.
struct EntryState {
  GeneralRegisters general;
  SystemRegisters system;
};

/// A flat code segment, as the 64-bit (`long_mode`) or the 32-bit entry wants it ([linux/boot] 1.15, 1.14).
constexpr SegmentRegister flat_code(std::uint16_t selector, bool long_mode) {
  return {.selector = selector,
          .base = 0,
          .limit = 0xffffffff,
          .type = 0xb,
          .s = true,
          .dpl = 0,
          .present = true,
          .avl = false,
          .l = long_mode,
          .db = !long_mode,
          .g = true,
          .unusable = false};
}

/// A flat, writable data segment.
constexpr SegmentRegister flat_data(std::uint16_t selector) {
  return {.selector = selector,
          .base = 0,
          .limit = 0xffffffff,
          .type = 0x3,
          .s = true,
          .dpl = 0,
          .present = true,
          .avl = false,
          .l = false,
          .db = true,
          .g = true,
          .unusable = false};
}

}  // namespace axvm::inline v1
