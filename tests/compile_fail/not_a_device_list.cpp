// A device without Devices<> around it.
// EXPECT: NotADeviceList<axvm::Uart8250>
// EXPECT: axvm: the second argument is the list of devices: write Devices<\.\.\.> around them

#include <axvm/axvm.hpp>

namespace not_a_device_list {

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Uart8250>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_device_list
