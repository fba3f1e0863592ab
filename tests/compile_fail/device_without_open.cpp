// A device with resources that nothing opens.
// EXPECT: NotADevice<device_without_open::Card, axvm::Lacks::open>
// EXPECT: axvm: a device with Resources .* has 'static axvm::Result<Resources> open\(const Config&\)'

#include <axvm/axvm.hpp>

namespace device_without_open {

struct Card {
  static constexpr auto claims = axvm::claims();
  struct Config {};
  struct Resources {
    int descriptor = -1;
  };
#ifdef FIXED
  static axvm::Result<Resources> open(Config const&) { return Resources{}; }
#endif
  Card(Config const&, Resources&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace device_without_open
