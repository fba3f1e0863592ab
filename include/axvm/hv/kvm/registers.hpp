#pragma once

#include <linux/kvm.h>

#include <axvm/cpu/registers.hpp>

namespace axvm::kvm::inline v1 {

/// Between this project's registers and those of KVM's interface ([linux/kvm] 4.11, 4.13).
inline kvm_regs to_kvm(GeneralRegisters const& r) {
  return {.rax = r.rax,
          .rbx = r.rbx,
          .rcx = r.rcx,
          .rdx = r.rdx,
          .rsi = r.rsi,
          .rdi = r.rdi,
          .rsp = r.rsp,
          .rbp = r.rbp,
          .r8 = r.r8,
          .r9 = r.r9,
          .r10 = r.r10,
          .r11 = r.r11,
          .r12 = r.r12,
          .r13 = r.r13,
          .r14 = r.r14,
          .r15 = r.r15,
          .rip = r.rip,
          .rflags = r.rflags};
}

inline GeneralRegisters from_kvm(kvm_regs const& r) {
  return {.rax = r.rax,
          .rcx = r.rcx,
          .rdx = r.rdx,
          .rbx = r.rbx,
          .rsp = r.rsp,
          .rbp = r.rbp,
          .rsi = r.rsi,
          .rdi = r.rdi,
          .r8 = r.r8,
          .r9 = r.r9,
          .r10 = r.r10,
          .r11 = r.r11,
          .r12 = r.r12,
          .r13 = r.r13,
          .r14 = r.r14,
          .r15 = r.r15,
          .rip = r.rip,
          .rflags = r.rflags};
}

inline kvm_segment to_kvm(SegmentRegister const& s) {
  auto bit = [](bool value) { return static_cast<std::uint8_t>(value); };
  return {.base = s.base,
          .limit = s.limit,
          .selector = s.selector,
          .type = s.type,
          .present = bit(s.present),
          .dpl = s.dpl,
          .db = bit(s.db),
          .s = bit(s.s),
          .l = bit(s.l),
          .g = bit(s.g),
          .avl = bit(s.avl),
          .unusable = bit(s.unusable),
          .padding = 0};
}

inline SegmentRegister from_kvm(kvm_segment const& s) {
  return {.selector = s.selector,
          .base = s.base,
          .limit = s.limit,
          .type = s.type,
          .s = s.s != 0,
          .dpl = s.dpl,
          .present = s.present != 0,
          .avl = s.avl != 0,
          .l = s.l != 0,
          .db = s.db != 0,
          .g = s.g != 0,
          .unusable = s.unusable != 0};
}

/// Puts the system registers into `to`, leaving what this project does not model (the APIC base, pending interrupts)
/// as KVM had it.
inline void to_kvm(SystemRegisters const& from, kvm_sregs& to) {
  to.cs = to_kvm(from.cs);
  to.ds = to_kvm(from.ds);
  to.es = to_kvm(from.es);
  to.fs = to_kvm(from.fs);
  to.gs = to_kvm(from.gs);
  to.ss = to_kvm(from.ss);
  if (from.tr.present) to.tr = to_kvm(from.tr);
  if (from.ldt.present) to.ldt = to_kvm(from.ldt);
  to.gdt = {.base = from.gdt.base, .limit = from.gdt.limit, .padding = {}};
  to.idt = {.base = from.idt.base, .limit = from.idt.limit, .padding = {}};
  to.cr0 = from.cr0;
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = from.cr4;
  to.cr8 = from.cr8;
  to.efer = from.efer;
}

inline SystemRegisters from_kvm(kvm_sregs const& from) {
  return {.cs = from_kvm(from.cs),
          .ds = from_kvm(from.ds),
          .es = from_kvm(from.es),
          .fs = from_kvm(from.fs),
          .gs = from_kvm(from.gs),
          .ss = from_kvm(from.ss),
          .tr = from_kvm(from.tr),
          .ldt = from_kvm(from.ldt),
          .gdt = {from.gdt.base, from.gdt.limit},
          .idt = {from.idt.base, from.idt.limit},
          .cr0 = from.cr0,
          .cr2 = from.cr2,
          .cr3 = from.cr3,
          .cr4 = from.cr4,
          .cr8 = from.cr8,
          .efer = from.efer,
          .apic_base = from.apic_base};
}

}  // namespace axvm::kvm::inline v1
