// A fixed window where guest RAM can be.
// EXPECT: WindowOutsideHole<window_outside_hole::Card, (axvm::)?At<11>\{\"0xa0000000\"\}>
// EXPECT: axvm: a fixed window lies in the profile's device hole

#include <axvm/axvm.hpp>

namespace window_outside_hole {

#ifdef FIXED
constexpr std::uint64_t base = 0xe000'0000;
#else
constexpr std::uint64_t base = 0xa000'0000;
#endif

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Mmio{.base = base, .size = 0x1000});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace window_outside_hole
