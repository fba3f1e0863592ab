// Finds out by behaviour whether this machine's KVM can run Linux: a tiny guest executes what a stock kernel needs and
// what a KVM without hardware virtualisation under it does not emulate. Exit status 0 means yes; else one line says why
// not.

#include <unistd.h>
#include <csignal>
#include <cstdio>

#include <axvm/axvm.hpp>

namespace {

/// Collects the number that the guest writes after each test it survives.
struct Progress {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x80, .size = 1});
  struct Config {};
  Progress(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const& access) { reached = access.value; }
  std::uint32_t reached = 0;
};

constexpr const char* steps[] = {"64-bit code", "SSE", "CMPXCHG16B", "FXRSTOR/XRSTOR"};

constexpr std::uint8_t guest[] = {
    0xb0, 0x01, 0xe6, 0x80,                    // mov al, 1; out 0x80, al
    0x0f, 0x20, 0xe0,                          // mov rax, cr4
    0x48, 0x0d, 0x00, 0x06, 0x00, 0x00,        // or rax, OSFXSR | OSXMMEXCPT
    0x0f, 0x22, 0xe0,                          // mov cr4, rax
    0x66, 0x0f, 0xef, 0xc0,                    // pxor xmm0, xmm0
    0x66, 0x0f, 0x6f, 0xc8,                    // movdqa xmm1, xmm0
    0x66, 0x0f, 0xfe, 0xc1,                    // paddd xmm0, xmm1
    0xb0, 0x02, 0xe6, 0x80,                    // mov al, 2; out 0x80, al
    0x48, 0xc7, 0xc7, 0x00, 0x00, 0x02, 0x00,  // mov rdi, 0x20000
    0xf0, 0x48, 0x0f, 0xc7, 0x0f,              // lock cmpxchg16b [rdi]
    0xb0, 0x03, 0xe6, 0x80,                    // mov al, 3; out 0x80, al
    0x0f, 0xae, 0x07,                          // fxsave [rdi]
    0x0f, 0xae, 0x0f,                          // fxrstor [rdi]
    0x31, 0xc0,                                // xor eax, eax
    0xff, 0xc0,                                // inc eax
    0x0f, 0xa2,                                // cpuid
    0x0f, 0xba, 0xe1, 0x1a,                    // bt ecx, 26 (XSAVE)
    0x73, 0x1e,                                // jnc done
    0x0f, 0x20, 0xe0,                          // mov rax, cr4
    0x48, 0x0d, 0x00, 0x00, 0x04, 0x00,        // or rax, OSXSAVE
    0x0f, 0x22, 0xe0,                          // mov cr4, rax
    0xb8, 0x03, 0x00, 0x00, 0x00,              // mov eax, 3
    0x31, 0xd2,                                // xor edx, edx
    0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,        // add edi, 0x1000 (a zeroed area)
    0x0f, 0xae, 0x2f,                          // xrstor [rdi]
    0x90, 0x90,                                // nop; nop
    0xb0, 0x04, 0xe6, 0x80,                    // done: mov al, 4; out 0x80, al
    0xf4,                                      // hlt
};

using Probe = axvm::Machine<axvm::Bare, axvm::Devices<Progress>>;

int no(std::string_view why) {
  std::printf("%.*s\n", static_cast<int>(why.size()), why.data());
  return 1;
}

}  // namespace

int main() {
  ::alarm(10);  // a KVM that hangs on one of these cannot run Linux either
  auto machine = Probe::create({.memory = 2 * axvm::MiB});
  if (!machine) return no(axvm::describe(machine.error()));
  if (auto loaded = machine->load(axvm::FlatCode{guest}); !loaded) return no(axvm::describe(loaded.error()));
  auto end = machine->run();
  const std::uint32_t reached = machine->device<Progress>()->reached;
  if (end && reached == std::size(steps)) return 0;
  return no(std::string("this machine's KVM does not execute ") + steps[reached < std::size(steps) ? reached : 0]);
}
