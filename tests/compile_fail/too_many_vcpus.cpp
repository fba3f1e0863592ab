// More processors than the profile takes, as a constant. (A number that is known only when the program runs is
// checked by Machine::create.)
// EXPECT: TooManyVcpus<axvm::IvyBridgeXv2, 21, 20>
// EXPECT: axvm: the last number is how many vCPUs the profile takes

#include <axvm/axvm.hpp>

namespace too_many_vcpus {

using M = axvm::Machine<axvm::IvyBridgeXv2, axvm::Devices<axvm::Uart8250>>;
#ifdef FIXED
constexpr unsigned vcpus = M::vcpus<20>;
#else
constexpr unsigned vcpus = M::vcpus<21>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB, .vcpus = vcpus});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace too_many_vcpus
