#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/core/reflect.hpp>
#include <axvm/hv/kvm/registers.hpp>

// Registers on their way to KVM and back. The fields are those that reflection finds, so that one which the list in
// registers.hpp forgets is noticed.

using namespace axvm;

namespace {

/// Gives every number in an object a value of its own, and flags `flag` and its opposite in turn.
template <class T>
void number(T& object, unsigned& next, bool flag) {
  for_each_field(object, [&](std::string_view, auto& field) {
    using Field = std::remove_reference_t<decltype(field)>;
    if constexpr (std::is_class_v<Field>) number(field, next, flag);
    else if constexpr (std::is_same_v<Field, bool>) field = (next++ % 2 == 0) == flag;
    else field = static_cast<Field>(next++);
  });
}

/// All values of an object one after the other.
template <class T>
std::vector<std::uint64_t> values(T const& object) {
  std::vector<std::uint64_t> all;
  for_each_field(object, [&](std::string_view, auto const& field) {
    if constexpr (std::is_class_v<std::remove_cvref_t<decltype(field)>>)
      for (const std::uint64_t value : values(field)) all.push_back(value);
    else all.push_back(field);
  });
  return all;
}

SystemRegisters numbered_system(bool flag) {
  SystemRegisters registers;
  unsigned next = 1;
  number(registers, next, flag);
  REQUIRE(next < 256);  // the narrowest field holds them all
  registers.tr.present = registers.ldt.present = true;
  return registers;
}

}  // namespace

TEST_CASE("KVM's registers: the general ones arrive under their own names and come back") {
  GeneralRegisters registers;
  unsigned next = 1;
  number(registers, next, true);
  const kvm_regs there = kvm::to_kvm(registers);
  CHECK(values(kvm::from_kvm(there)) == values(registers));
  const std::vector<std::uint64_t> in_their_order{there.rax, there.rcx, there.rdx, there.rbx, there.rsp, there.rbp,
                                                  there.rsi, there.rdi, there.r8,  there.r9,  there.r10, there.r11,
                                                  there.r12, there.r13, there.r14, there.r15, there.rip, there.rflags};
  CHECK(in_their_order == values(registers));
}

TEST_CASE("KVM's registers: the system ones arrive under their own names and come back") {
  for (const bool flag : {true, false}) {
    const SystemRegisters registers = numbered_system(flag);
    kvm_sregs there{};
    there.apic_base = registers.apic_base;
    kvm::to_kvm(registers, there);
    CHECK(values(kvm::from_kvm(there)) == values(registers));

    std::vector<std::uint64_t> by_name;
    for (kvm_segment const& s : {there.cs, there.ds, there.es, there.fs, there.gs, there.ss, there.tr, there.ldt})
      for (const std::uint64_t value :
           {std::uint64_t{s.selector}, std::uint64_t{s.base}, std::uint64_t{s.limit}, std::uint64_t{s.type},
            std::uint64_t{s.s}, std::uint64_t{s.dpl}, std::uint64_t{s.present}, std::uint64_t{s.avl},
            std::uint64_t{s.l}, std::uint64_t{s.db}, std::uint64_t{s.g}, std::uint64_t{s.unusable}})
        by_name.push_back(value);
    for (const std::uint64_t value :
         {std::uint64_t{there.gdt.base}, std::uint64_t{there.gdt.limit}, std::uint64_t{there.idt.base},
          std::uint64_t{there.idt.limit}, std::uint64_t{there.cr0}, std::uint64_t{there.cr2}, std::uint64_t{there.cr3},
          std::uint64_t{there.cr4}, std::uint64_t{there.cr8}, std::uint64_t{there.efer},
          std::uint64_t{there.apic_base}})
      by_name.push_back(value);
    CHECK(by_name == values(registers));
  }
}

TEST_CASE("KVM's registers: what is not modelled, and TR and LDTR that are not present, stay as KVM had them") {
  SystemRegisters registers = numbered_system(true);
  registers.tr.present = registers.ldt.present = false;
  kvm_sregs there{};
  there.apic_base = 0xfee0'0900;
  there.interrupt_bitmap[3] = 0x8000;
  there.tr.base = 0x1000;
  there.ldt.limit = 0x2000;
  kvm::to_kvm(registers, there);
  CHECK(there.apic_base == 0xfee0'0900);
  CHECK(there.interrupt_bitmap[3] == 0x8000);
  CHECK(there.tr.base == 0x1000);
  CHECK(there.ldt.limit == 0x2000);
  CHECK(there.cs.base == registers.cs.base);
}
