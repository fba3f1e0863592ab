// A monitor as somebody else's project has it: one include, one type, and a guest of two instructions.

#include <axvm/axvm.hpp>
#include <cstdio>

using Monitor = axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit>>;

constexpr std::uint8_t guest[] = {0xe6, 0xf4, 0xf4};  // out 0xf4, al; hlt

int main() {
  auto machine = Monitor::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{guest})) {
    std::puts("no usable KVM on this machine");
    return 77;
  }
  const auto end = machine->run();
  if (!end || !machine->device<axvm::DebugExit>()->written()) return 1;
  std::puts("the guest has ended the run");
  return 0;
}
