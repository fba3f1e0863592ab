// Something in the device list that does not say what it occupies.
// EXPECT: NotADevice<device_without_claims::Card, axvm::Lacks::claims>
// EXPECT: axvm: a device says what it occupies: 'static constexpr auto claims

#include <axvm/axvm.hpp>

namespace device_without_claims {

struct Card {
#ifdef FIXED
  static constexpr auto claims = axvm::claims();
#endif
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace device_without_claims
