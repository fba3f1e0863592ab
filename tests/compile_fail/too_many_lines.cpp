// A device with more interrupt lines than a DeviceContext has.
// EXPECT: TooManyLines<too_many_lines::Card, 5>
// EXPECT: axvm: a device has at most DeviceContext::max_lines interrupt lines

#include <axvm/axvm.hpp>

namespace too_many_lines {

struct Card {
#ifdef FIXED
  static constexpr auto claims = axvm::claims(axvm::Irq{}, axvm::Irq{}, axvm::Irq{}, axvm::Irq{});
#else
  static constexpr auto claims = axvm::claims(axvm::Irq{}, axvm::Irq{}, axvm::Irq{}, axvm::Irq{}, axvm::Irq{});
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

}  // namespace too_many_lines
