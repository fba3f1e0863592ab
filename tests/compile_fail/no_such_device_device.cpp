// State of a device that is not in the list.
// EXPECT: NoSuchDevice<axvm::Uart8250, 0>
// EXPECT: axvm: the machine has no such device

#include <axvm/axvm.hpp>

namespace no_such_device_device {

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit, axvm::Uart8250>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() && machine->device<axvm::Uart8250>()->state.ier == 0 ? 0 : 1;
}

}  // namespace no_such_device_device
