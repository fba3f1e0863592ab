#pragma once

// KVM without a framework, for the floors of the benches.
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace bare {

/// The result of a system call; ends the program if it failed.
inline int checked(int result, char const* what) {
  if (result >= 0) return result;
  std::perror(what);
  std::exit(1);
}

inline void* mapped(std::size_t size, int flags, int descriptor) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (memory == MAP_FAILED) checked(-1, "mmap");
  return memory;
}

/// Gives the machine local APICs and nothing else of KVM's, as the machines have it that are compared with a floor.
inline void create_local_apics(int vm) {
  kvm_enable_cap split{};
  split.cap = KVM_CAP_SPLIT_IRQCHIP;
  split.args[0] = 48;  // pins of an I/O APIC that nobody has
  checked(ioctl(vm, KVM_ENABLE_CAP, &split), "KVM_CAP_SPLIT_IRQCHIP");
}

/// Makes `size` bytes at `memory` the guest's, from address 0 on.
inline void give_memory(int vm, void* memory, std::size_t size) {
  kvm_userspace_memory_region region{};
  region.memory_size = size;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory);
  checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

/// The processor will begin at `base`, a multiple of 16 below 1 MiB, in real mode; that needs no CPUID.
inline void enter_real_mode(int vcpu, std::uint32_t base) {
  kvm_sregs system{};
  checked(ioctl(vcpu, KVM_GET_SREGS, &system), "KVM_GET_SREGS");
  system.cs.base = base;
  system.cs.selector = static_cast<std::uint16_t>(base >> 4);
  checked(ioctl(vcpu, KVM_SET_SREGS, &system), "KVM_SET_SREGS");
  kvm_regs general{};
  general.rflags = 2;
  checked(ioctl(vcpu, KVM_SET_REGS, &general), "KVM_SET_REGS");
}

}  // namespace bare
