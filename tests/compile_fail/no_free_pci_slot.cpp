// More PCI devices than the bus has device numbers.
// EXPECT: NoFreePciSlot<no_free_pci_slot::Card, 32>
// EXPECT: axvm: no PCI device number is left; the number is how many there are

#include <axvm/axvm.hpp>

namespace no_free_pci_slot {

struct Card {
  static constexpr auto claims = axvm::claims(axvm::PciFunction{});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

#ifdef FIXED
constexpr std::size_t cards = 32;
#else
constexpr std::size_t cards = 33;
#endif

using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Repeat<cards, Card>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_free_pci_slot
