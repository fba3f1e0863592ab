// A device whose constructor does not take its settings.
// EXPECT: NotADevice<device_without_constructor::Card, axvm::Lacks::constructor>
// EXPECT: axvm: a device is built from \(const Config&, axvm::DeviceContext&\)

#include <axvm/axvm.hpp>

namespace device_without_constructor {

struct Card {
  static constexpr auto claims = axvm::claims();
  struct Config {};
#ifdef FIXED
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

}  // namespace device_without_constructor
