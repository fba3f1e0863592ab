#pragma once

#include <linux/kvm.h>

#include <tuple>
#include <type_traits>

#include <axvm/cpu/registers.hpp>

namespace axvm::kvm::inline v1 {

// Between this project's registers and those of KVM's interface ([linux/kvm] 4.11, 4.13). Each register stands in one
// list, which serves both directions.

namespace detail {

/// A register of ours and the same one of KVM's, as pointers to members.
template <class Ours, class Theirs>
struct Same {
  Ours ours;
  Theirs theirs;
};

/// What a structure of ours has in common with KVM's.
template <class Ours>
inline constexpr auto common = nullptr;

template <>
inline constexpr auto common<GeneralRegisters> = [] {
  using Ours = GeneralRegisters;
  using Theirs = kvm_regs;
  return std::tuple{
      Same{&Ours::rax, &Theirs::rax}, Same{&Ours::rbx, &Theirs::rbx}, Same{&Ours::rcx, &Theirs::rcx},
      Same{&Ours::rdx, &Theirs::rdx}, Same{&Ours::rsi, &Theirs::rsi}, Same{&Ours::rdi, &Theirs::rdi},
      Same{&Ours::rsp, &Theirs::rsp}, Same{&Ours::rbp, &Theirs::rbp}, Same{&Ours::r8, &Theirs::r8},
      Same{&Ours::r9, &Theirs::r9},   Same{&Ours::r10, &Theirs::r10}, Same{&Ours::r11, &Theirs::r11},
      Same{&Ours::r12, &Theirs::r12}, Same{&Ours::r13, &Theirs::r13}, Same{&Ours::r14, &Theirs::r14},
      Same{&Ours::r15, &Theirs::r15}, Same{&Ours::rip, &Theirs::rip}, Same{&Ours::rflags, &Theirs::rflags}};
}();

template <>
inline constexpr auto common<SegmentRegister> = [] {
  using Ours = SegmentRegister;
  using Theirs = kvm_segment;
  return std::tuple{Same{&Ours::selector, &Theirs::selector},
                    Same{&Ours::base, &Theirs::base},
                    Same{&Ours::limit, &Theirs::limit},
                    Same{&Ours::type, &Theirs::type},
                    Same{&Ours::s, &Theirs::s},
                    Same{&Ours::dpl, &Theirs::dpl},
                    Same{&Ours::present, &Theirs::present},
                    Same{&Ours::avl, &Theirs::avl},
                    Same{&Ours::l, &Theirs::l},
                    Same{&Ours::db, &Theirs::db},
                    Same{&Ours::g, &Theirs::g},
                    Same{&Ours::unusable, &Theirs::unusable}};
}();

template <>
inline constexpr auto common<DescriptorTable> =
    std::tuple{Same{&DescriptorTable::base, &kvm_dtable::base}, Same{&DescriptorTable::limit, &kvm_dtable::limit}};

/// Without TR, LDTR and the APIC base, for which the directions differ.
template <>
inline constexpr auto common<SystemRegisters> = [] {
  using Ours = SystemRegisters;
  using Theirs = kvm_sregs;
  return std::tuple{Same{&Ours::cs, &Theirs::cs},   Same{&Ours::ds, &Theirs::ds},    Same{&Ours::es, &Theirs::es},
                    Same{&Ours::fs, &Theirs::fs},   Same{&Ours::gs, &Theirs::gs},    Same{&Ours::ss, &Theirs::ss},
                    Same{&Ours::gdt, &Theirs::gdt}, Same{&Ours::idt, &Theirs::idt},  Same{&Ours::cr0, &Theirs::cr0},
                    Same{&Ours::cr2, &Theirs::cr2}, Same{&Ours::cr3, &Theirs::cr3},  Same{&Ours::cr4, &Theirs::cr4},
                    Same{&Ours::cr8, &Theirs::cr8}, Same{&Ours::efer, &Theirs::efer}};
}();

template <class Ours, class Visit>
constexpr void for_each_common(Visit const& visit) {
  std::apply([&](auto const&... same) { (visit(same), ...); }, common<Ours>);
}

template <class Theirs, class Ours>
constexpr void put(Ours const& ours, Theirs& theirs) {
  if constexpr (std::is_class_v<Ours>)
    for_each_common<Ours>([&](auto const& same) { put(ours.*same.ours, theirs.*same.theirs); });
  else theirs = static_cast<Theirs>(ours);
}

template <class Ours, class Theirs>
constexpr void get(Ours& ours, Theirs const& theirs) {
  if constexpr (std::is_class_v<Ours>)
    for_each_common<Ours>([&](auto const& same) { get(ours.*same.ours, theirs.*same.theirs); });
  else ours = static_cast<Ours>(theirs);
}

}  // namespace detail

/// The general registers as KVM takes them.
constexpr kvm_regs to_kvm(GeneralRegisters const& from) {
  kvm_regs to{};
  detail::put(from, to);
  return to;
}

/// The general registers as KVM gives them.
constexpr GeneralRegisters from_kvm(kvm_regs const& from) {
  GeneralRegisters to;
  detail::get(to, from);
  return to;
}

/// Puts the system registers into `to`, leaving what this project does not model (the APIC base, pending interrupts) as
/// KVM had it, and TR and LDTR too unless they are present.
constexpr void to_kvm(SystemRegisters const& from, kvm_sregs& to) {
  detail::put(from, to);
  if (from.tr.present) detail::put(from.tr, to.tr);
  if (from.ldt.present) detail::put(from.ldt, to.ldt);
}

/// The system registers as KVM gives them.
constexpr SystemRegisters from_kvm(kvm_sregs const& from) {
  SystemRegisters to;
  detail::get(to, from);
  detail::get(to.tr, from.tr);
  detail::get(to.ldt, from.ldt);
  to.apic_base = from.apic_base;
  return to;
}

}  // namespace axvm::kvm::inline v1
