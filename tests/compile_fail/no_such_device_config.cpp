// Settings of a device that is not in the list.
// EXPECT: NoSuchDevice<axvm::Uart8250, 0>
// EXPECT: axvm: the machine has no such device

#include <axvm/axvm.hpp>

namespace no_such_device_config {

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit, axvm::Uart8250>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit>>;
#endif

inline int user() {
  M::Config config{.memory = 2 * axvm::MiB};
  config.of<axvm::Uart8250>().enabled = false;
  auto machine = M::create(config);
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_such_device_config
