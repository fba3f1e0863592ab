// A device that claims a port and takes MMIO accesses.
// EXPECT: NotADevice<device_without_read::Card, axvm::Lacks::read, axvm::PioAccess&>
// EXPECT: axvm: a device that claims a window has a public 'void read\(\.\.\.\)' that takes these

#include <axvm/axvm.hpp>

namespace device_without_read {

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x300});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
#ifdef FIXED
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) {}
#else
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
#endif
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace device_without_read
