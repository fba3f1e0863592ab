// The floor of bench/startup: what the kernel and the processor alone take to start a guest. A machine with a local
// APIC, a processor and SIZE bytes of reserved memory, whose few instructions of real mode write a byte to the serial
// port and halt; nothing of what makes a monitor.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bare_kvm.hpp"

using bare::checked;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::uint64_t size = std::strtoull(argv[1], nullptr, 10);
  const int kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  const int run_size = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  const int vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  bare::create_local_apics(vm);
  void* memory = bare::mapped(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  // mov dx,0x3f8; mov al,'S'; out dx,al; cli; hlt; jmp to hlt
  static constexpr unsigned char code[] = {0xba, 0xf8, 0x03, 0xb0, 0x53, 0xee, 0xfa, 0xf4, 0xeb, 0xfd};
  std::memcpy(memory, code, sizeof code);
  bare::give_memory(vm, memory, size);
  const int vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  void* shared = bare::mapped(static_cast<std::size_t>(run_size), MAP_SHARED, vcpu);
  bare::enter_real_mode(vcpu, 0);
  auto const& run = *static_cast<kvm_run const*>(shared);
  for (;;) {
    checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    if (run.exit_reason != KVM_EXIT_IO) return 1;
    char const* byte = static_cast<char const*>(shared) + run.io.data_offset;
    if (write(STDOUT_FILENO, byte, 1) != 1) return 1;
  }
}
