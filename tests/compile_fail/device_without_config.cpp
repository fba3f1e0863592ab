// A device without settings: an empty struct says so.
// EXPECT: NotADevice<device_without_config::Card, axvm::Lacks::Config>
// EXPECT: axvm: a device has a public 'struct Config'

#include <axvm/axvm.hpp>

namespace device_without_config {

struct Card {
  static constexpr auto claims = axvm::claims();
#ifdef FIXED
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
#else
  explicit Card(axvm::DeviceContext&) {}
#endif
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace device_without_config
