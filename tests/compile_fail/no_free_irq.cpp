// More devices that want a line than the I/O APIC has pins: the PC platform has 9, the UART 4.
// EXPECT: NoFreeIrq<no_free_irq::Card, 44>
// EXPECT: axvm: no interrupt line is left; the number is how many there are

#include <axvm/axvm.hpp>

namespace no_free_irq {

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Irq{});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
};

#ifdef FIXED
constexpr std::size_t cards = 44;
#else
constexpr std::size_t cards = 45;
#endif

using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::Repeat<cards, Card>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_free_irq
