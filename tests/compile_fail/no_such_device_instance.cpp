// The third of two devices.
// EXPECT: NoSuchDevice<no_such_device_instance::Card, 2>
// EXPECT: axvm: the machine has no such device, or fewer of it \(they count from 0\)

#include <axvm/axvm.hpp>

namespace no_such_device_instance {

struct Card {
  static constexpr auto claims = axvm::claims();
  struct Config {
    unsigned volume = 3;
  };
  Card(Config const&, axvm::DeviceContext&) {}
};

#ifdef FIXED
constexpr std::size_t cards = 3;
#else
constexpr std::size_t cards = 2;
#endif

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Repeat<cards, Card>>>;

inline int user() {
  M::Config config{.memory = 2 * axvm::MiB};
  config.of<Card, 2>().volume = 7;
  auto machine = M::create(config);
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_such_device_instance
