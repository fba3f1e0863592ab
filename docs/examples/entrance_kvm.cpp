#include "entrance.hpp"

#include <cstdio>
#include <fstream>

using namespace axvm;
using M = Machine<Bare, Devices<Entrance, DebugExit>>;

static_assert(M::layout[0].claim.base == 0xd000'0000);
constexpr std::uint8_t guest[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,        // mov edi, 0xd0000000
    0xc7, 0x07, 0x01, 0x00, 0x00, 0x00,  // mov dword [rdi], 1: rings, and does not leave the kernel
    0x8b, 0x07,                          // again: mov eax, [rdi]
    0x85, 0xc0,                          // test eax, eax
    0x74, 0xfa,                          // jz again
    0xe7, 0xf4,                          // out 0xf4, eax
};

int main() {
  std::ofstream("kvm-plate.txt") << "Smith";
  M::Config config{.memory = 2_MiB};
  config.of<Entrance>().plate = "kvm-plate.txt";
  auto machine = M::create(config);
  std::remove("kvm-plate.txt");  // it is open already
  if (!machine) {
    std::puts(describe(machine.error()).c_str());
    return 77;
  }
  auto loaded = machine->load(FlatCode{guest});
  auto end = loaded ? machine->run() : std::unexpected(loaded.error());
  if (!end) {
    std::puts(describe(end.error()).c_str());
    return 1;
  }
  const bool in_kernel = machine->device<Entrance>()->in_kernel();
  std::printf("%u ring, %s\n", machine->device<DebugExit>()->value(), in_kernel ? "by a callback" : "by an exit");
  return in_kernel && machine->device<DebugExit>()->value() == 1 ? 0 : 1;
}
