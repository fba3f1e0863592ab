#include "doorbell.hpp"

#include <cstdio>

using namespace axvm;
using M = Machine<Bare, Devices<Bell, DebugExit>>;

static_assert(M::layout[0].claim.base == 0xd000'0000);  // where the guest below expects the doorbell
constexpr std::uint8_t guest[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,  // mov edi, 0xd0000000
    0x89, 0x07,                    // mov [rdi], eax
    0x89, 0x07,                    // mov [rdi], eax
    0x8b, 0x07,                    // mov eax, [rdi]
    0xe7, 0xf4,                    // out 0xf4, eax: ends the run
};

int main() {
  auto machine = M::create({.memory = 2_MiB});
  if (!machine) {
    std::puts(describe(machine.error()).c_str());
    return 77;  // no KVM here; ctest reports the test as skipped
  }
  auto loaded = machine->load(FlatCode{guest});
  auto end = loaded ? machine->run() : std::unexpected(loaded.error());
  if (!end) {
    std::puts(describe(end.error()).c_str());
    return 1;
  }
  std::printf("the doorbell rang %u times\n", machine->device<DebugExit>()->value());
  return machine->device<Bell>()->state.rings == 2 && machine->device<DebugExit>()->value() == 2 ? 0 : 1;
}
