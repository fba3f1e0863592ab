// The floor of bench/exit: what the kernel and the processor alone cost. A loop around KVM_RUN that looks at nothing
// but what it must: the serial port's bytes go to standard output, one of them ends it, reads get all-ones.
//
//   exit_bare IMAGE    flat code, entered in real mode at 0x1000:0
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

namespace {

using bare::checked;
using bare::mapped;

void give_cpuid(int kvm, int vcpu) {
  // kvm_cpuid2 as C has it: in C++ the header's flexible array makes it larger, and the requests with it others.
  static struct {
    std::uint32_t count, padding;
    kvm_cpuid_entry2 entries[256];
  } table{.count = 256, .padding = 0, .entries = {}};
  checked(ioctl(kvm, _IOWR(KVMIO, 0x05, std::uint64_t), &table), "KVM_GET_SUPPORTED_CPUID");
  checked(ioctl(vcpu, _IOW(KVMIO, 0x90, std::uint64_t), &table), "KVM_SET_CPUID2");
}

/// True until the guest writes its last byte.
bool mark(unsigned char const* byte) { return write(STDOUT_FILENO, byte, 1) == 1 && *byte != 'X'; }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  const int vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  checked(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
  bare::create_local_apics(vm);
  static constexpr std::size_t size = 2 << 20;
  auto* memory = static_cast<char*>(mapped(size, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  const int image = checked(open(argv[1], O_RDONLY | O_CLOEXEC), argv[1]);
  checked(static_cast<int>(read(image, memory + 0x10000, 0x10000)), argv[1]);
  bare::give_memory(vm, memory, size);
  const int vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  const int run_size = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  auto* shared = static_cast<unsigned char*>(mapped(static_cast<std::size_t>(run_size), MAP_SHARED, vcpu));
  give_cpuid(kvm, vcpu);
  bare::enter_real_mode(vcpu, 0x10000);
  auto& run = *reinterpret_cast<kvm_run*>(shared);
  for (;;) {
    checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    if (run.exit_reason == KVM_EXIT_IO) {
      unsigned char* data = shared + run.io.data_offset;
      if (run.io.direction == KVM_EXIT_IO_IN) *data = 0xff;
      else if (run.io.port == 0x3f8 && !mark(data)) return 0;
    } else if (run.exit_reason == KVM_EXIT_MMIO) {
      if (!run.mmio.is_write) std::memset(run.mmio.data, 0xff, sizeof run.mmio.data);
    } else {
      std::fprintf(stderr, "exit_bare: exit reason %u\n", run.exit_reason);
      return 1;
    }
  }
}
