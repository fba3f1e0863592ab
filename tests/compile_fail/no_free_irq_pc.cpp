// Devices with a line in a PC without a serial port, 32 disks among them: the count is of the lines that there are,
// whatever is listed.
// EXPECT: NoFreeIrq<no_free_irq_pc::Card, 45>
// EXPECT: axvm: no interrupt line is left; the number is how many there are

#include <axvm/axvm.hpp>

namespace no_free_irq_pc {

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Mmio{}, axvm::Irq{});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

#ifdef FIXED
constexpr std::size_t cards = 13;
#else
constexpr std::size_t cards = 14;
#endif
using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Repeat<32, axvm::VirtioBlk>, axvm::Repeat<cards, Card>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_free_irq_pc
