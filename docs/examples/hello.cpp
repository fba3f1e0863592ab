// A guest that speaks: 64-bit code of its own, on a machine with a serial port.

#include <axvm/axvm.hpp>
#include <cstdio>

using namespace axvm;
using M = Machine<Bare, Devices<Uart8250, DebugExit>>;

constexpr std::uint8_t guest[] = {
    0x48, 0x8d, 0x35, 0x11, 0x00, 0x00, 0x00,  // lea rsi, [rip + text]
    0x66, 0xba, 0xf8, 0x03,                    // mov dx, 0x3f8
    0xac,                                      // next: lodsb
    0x84, 0xc0,                                // test al, al
    0x74, 0x03,                                // jz done
    0xee,                                      // out dx, al
    0xeb, 0xf8,                                // jmp next
    0xb0, 0x2a,                                // done: mov al, 42
    0xe6, 0xf4,                                // out 0xf4, al
    0xf4,                                      // hlt
    'H',  'e',  'l',  'l',  'o',  '\n', 0,     // text
};

int main() {
  auto machine = M::create({.memory = 2_MiB});
  auto loaded = machine ? machine->load(FlatCode{guest}) : std::unexpected(machine.error());
  auto end = loaded ? machine->run() : std::unexpected(loaded.error());
  if (!end) {
    std::fprintf(stderr, "%s\n", describe(end.error()).c_str());
    return machine ? 1 : 77;
  }
  std::printf("the guest ended with %u\n", machine->device<DebugExit>()->value());
  return 0;
}
