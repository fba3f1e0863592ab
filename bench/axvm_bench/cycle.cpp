// Makes virtual machines, runs each until its guest has written a port and halted, and destroys it, for bench/cycle.
//
//   cycle bare COUNT       with KVM's own calls and nothing else
//   cycle machine COUNT    a machine of the framework with one device, the same two instructions of real mode
//   cycle long COUNT       the same in 64-bit mode, page tables and all
//
// Prints nanoseconds of time and of processor time.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <axvm/axvm.hpp>

#include "bare_kvm.hpp"
#include "clock.hpp"

namespace {

constexpr std::size_t memory_size = 2 * axvm::MiB;
constexpr std::uint8_t real_code[] = {0xba, 0xf8, 0x03, 0xee, 0xf4};        // mov dx,0x3f8; out dx,al; hlt
constexpr std::uint8_t long_code[] = {0x66, 0xba, 0xf8, 0x03, 0xee, 0xf4};  // the same

[[noreturn]] void fail(char const* what) {
  std::perror(what);
  std::exit(1);
}

using bare::checked;

/// One machine of KVM's own calls.
void kvm_alone() {
  const int kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  const auto run_size = static_cast<std::size_t>(checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "vCPU size"));
  const int vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  void* memory = bare::mapped(memory_size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  std::memcpy(static_cast<std::byte*>(memory) + 0x10000, real_code, sizeof real_code);
  bare::give_memory(vm, memory, memory_size);
  const int vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  void* shared = bare::mapped(run_size, MAP_SHARED, vcpu);
  bare::enter_real_mode(vcpu, 0x10000);
  auto const& run = *static_cast<kvm_run const*>(shared);
  unsigned rings = 0;
  do {
    checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    rings += run.exit_reason == KVM_EXIT_IO ? 1 : 0;
  } while (run.exit_reason == KVM_EXIT_IO);
  if (run.exit_reason != KVM_EXIT_HLT || rings != 1) fail("the guest did not halt");
  munmap(shared, run_size);
  close(vcpu);
  close(vm);
  close(kvm);
  munmap(memory, memory_size);
}

/// Counts what is written to port 0x3f8.
struct Doorbell {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x3f8, .size = 1});
  struct Config {};
  Doorbell(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) { ++rings; }
  unsigned rings = 0;
};

void machine(axvm::FlatCode const& code) {
  auto made = axvm::Machine<axvm::Bare, axvm::Devices<Doorbell>>::create({.memory = memory_size});
  if (!made || !made->load(code) || !made->run() || made->device<Doorbell>()->rings != 1) fail("the machine failed");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string_view who = argv[1];
  const std::uint64_t begin = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
  for (unsigned long left = std::strtoul(argv[2], nullptr, 10); left != 0; --left) {
    if (who == "bare") kvm_alone();
    else if (who == "machine") machine({.code = real_code, .entry = axvm::boot::Entry::Real16});
    else machine({.code = long_code});
  }
  std::printf("%llu %llu\n", static_cast<unsigned long long>(now(CLOCK_MONOTONIC) - begin),
              static_cast<unsigned long long>(now(CLOCK_PROCESS_CPUTIME_ID) - used));
}
