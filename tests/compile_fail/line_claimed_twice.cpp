// Two owners of one interrupt line.
// EXPECT: LineClaimedTwice<axvm::Uart8250, line_claimed_twice::Mouse, 4>
// EXPECT: axvm: two devices claim the same interrupt line: leave \.line out

#include <axvm/axvm.hpp>

namespace line_claimed_twice {

struct Mouse {
#ifdef FIXED
  static constexpr auto claims = axvm::claims(axvm::Irq{});
#else
  static constexpr auto claims = axvm::claims(axvm::Irq{.line = 4});
#endif
  struct Config {};
  Mouse(Config const&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250, Mouse>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace line_claimed_twice
