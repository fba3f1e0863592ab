// More devices than a machine has room for: 256, of which a PC brings two along, and the I/O APIC is one.
// EXPECT: TooManyDevices<254, 253>
// EXPECT: axvm: the last number is how many devices can be listed

#include <axvm/axvm.hpp>

namespace too_many_devices {

struct Card {
  static constexpr auto claims = axvm::claims();
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
};

#ifdef FIXED
constexpr std::size_t cards = 253;
#else
constexpr std::size_t cards = 254;
#endif

using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Repeat<cards, Card>>>;

inline int user() {
  if (M::description().devices.empty()) return 1;
  auto machine = M::create();
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace too_many_devices
