// A device with two named windows that takes writes to one of them only.
// EXPECT: NotADevice<device_without_write::Card, axvm::Lacks::write, axvm::In<.*\"index\".*>, const axvm::MmioAccess&>
// EXPECT: axvm: a device that claims a window has a public 'void write\(\.\.\.\)' that takes these

#include <axvm/axvm.hpp>

namespace device_without_write {

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Mmio<"data">{}, axvm::Mmio<"index">{});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
  void read(axvm::In<"data">, axvm::MmioAccess&) {}
  void write(axvm::In<"data">, axvm::MmioAccess const&) {}
  void read(axvm::In<"index">, axvm::MmioAccess&) {}
#ifdef FIXED
  void write(axvm::In<"index">, axvm::MmioAccess const&) {}
#else
  void write(axvm::In<"index">, axvm::MmioAccess&) {}
#endif
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace device_without_write
