#pragma once

#include <linux/kvm.h>

#include <type_traits>

#include <axvm/cpu/registers.hpp>

namespace axvm::kvm::inline v1 {

// Between this project's registers and those of KVM's interface ([linux/kvm] 4.11, 4.13). Each register stands in one
// list, which serves both directions.

namespace detail {

/// What is done with each pair: ours into KVM's.
struct ToKvm {
  template <class Ours, class Theirs>
  constexpr void operator()(Ours const& ours, Theirs& theirs) const {
    if constexpr (std::is_class_v<Ours>) for_each_pair(ours, theirs, *this);
    else theirs = static_cast<Theirs>(ours);
  }
};

/// What is done with each pair: KVM's into ours.
struct FromKvm {
  template <class Ours, class Theirs>
  constexpr void operator()(Ours& ours, Theirs const& theirs) const {
    if constexpr (std::is_class_v<Ours>) for_each_pair(ours, theirs, *this);
    else ours = static_cast<Ours>(theirs);
  }
};

/// Whether these are the two structures, either of which is constant when it is only read.
template <class Ours, class Theirs, class A, class B>
concept Pair = std::is_same_v<std::remove_const_t<A>, Ours> && std::is_same_v<std::remove_const_t<B>, Theirs>;

template <class A, class B, class Copy>
  requires Pair<GeneralRegisters, kvm_regs, A, B>
constexpr void for_each_pair(A& ours, B& theirs, Copy copy) {
  copy(ours.rax, theirs.rax);
  copy(ours.rbx, theirs.rbx);
  copy(ours.rcx, theirs.rcx);
  copy(ours.rdx, theirs.rdx);
  copy(ours.rsi, theirs.rsi);
  copy(ours.rdi, theirs.rdi);
  copy(ours.rsp, theirs.rsp);
  copy(ours.rbp, theirs.rbp);
  copy(ours.r8, theirs.r8);
  copy(ours.r9, theirs.r9);
  copy(ours.r10, theirs.r10);
  copy(ours.r11, theirs.r11);
  copy(ours.r12, theirs.r12);
  copy(ours.r13, theirs.r13);
  copy(ours.r14, theirs.r14);
  copy(ours.r15, theirs.r15);
  copy(ours.rip, theirs.rip);
  copy(ours.rflags, theirs.rflags);
}

template <class A, class B, class Copy>
  requires Pair<SegmentRegister, kvm_segment, A, B>
constexpr void for_each_pair(A& ours, B& theirs, Copy copy) {
  copy(ours.selector, theirs.selector);
  copy(ours.base, theirs.base);
  copy(ours.limit, theirs.limit);
  copy(ours.type, theirs.type);
  copy(ours.s, theirs.s);
  copy(ours.dpl, theirs.dpl);
  copy(ours.present, theirs.present);
  copy(ours.avl, theirs.avl);
  copy(ours.l, theirs.l);
  copy(ours.db, theirs.db);
  copy(ours.g, theirs.g);
  copy(ours.unusable, theirs.unusable);
}

template <class A, class B, class Copy>
  requires Pair<DescriptorTable, kvm_dtable, A, B>
constexpr void for_each_pair(A& ours, B& theirs, Copy copy) {
  copy(ours.base, theirs.base);
  copy(ours.limit, theirs.limit);
}

/// Without TR, LDTR and the APIC base, for which the directions differ.
template <class A, class B, class Copy>
  requires Pair<SystemRegisters, kvm_sregs, A, B>
constexpr void for_each_pair(A& ours, B& theirs, Copy copy) {
  copy(ours.cs, theirs.cs);
  copy(ours.ds, theirs.ds);
  copy(ours.es, theirs.es);
  copy(ours.fs, theirs.fs);
  copy(ours.gs, theirs.gs);
  copy(ours.ss, theirs.ss);
  copy(ours.gdt, theirs.gdt);
  copy(ours.idt, theirs.idt);
  copy(ours.cr0, theirs.cr0);
  copy(ours.cr2, theirs.cr2);
  copy(ours.cr3, theirs.cr3);
  copy(ours.cr4, theirs.cr4);
  copy(ours.cr8, theirs.cr8);
  copy(ours.efer, theirs.efer);
}

}  // namespace detail

/// The general registers as KVM takes them.
constexpr kvm_regs to_kvm(GeneralRegisters const& from) {
  kvm_regs to{};
  detail::for_each_pair(from, to, detail::ToKvm{});
  return to;
}

/// The general registers as KVM gives them.
constexpr GeneralRegisters from_kvm(kvm_regs const& from) {
  GeneralRegisters to;
  detail::for_each_pair(to, from, detail::FromKvm{});
  return to;
}

/// Puts the system registers into `to`, leaving what this project does not model (the APIC base, pending interrupts) as
/// KVM had it, and TR and LDTR too unless they are present.
constexpr void to_kvm(SystemRegisters const& from, kvm_sregs& to) {
  detail::for_each_pair(from, to, detail::ToKvm{});
  if (from.tr.present) detail::for_each_pair(from.tr, to.tr, detail::ToKvm{});
  if (from.ldt.present) detail::for_each_pair(from.ldt, to.ldt, detail::ToKvm{});
}

/// The system registers as KVM gives them.
constexpr SystemRegisters from_kvm(kvm_sregs const& from) {
  SystemRegisters to;
  detail::for_each_pair(to, from, detail::FromKvm{});
  detail::for_each_pair(to.tr, from.tr, detail::FromKvm{});
  detail::for_each_pair(to.ldt, from.ldt, detail::FromKvm{});
  to.apic_base = from.apic_base;
  return to;
}

}  // namespace axvm::kvm::inline v1
