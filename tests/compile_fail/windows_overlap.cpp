// Two devices at one guest-physical address.
// EXPECT: WindowsOverlap<windows_overlap::First, windows_overlap::Second, (axvm::)?At<11>\{\"0xd0001000\"\}>
// EXPECT: axvm: two devices claim the same MMIO address: leave \.base out

#include <axvm/axvm.hpp>

namespace windows_overlap {

struct First {
  static constexpr auto claims = axvm::claims(axvm::Mmio{.base = 0xd000'0000, .size = 0x2000});
  struct Config {};
  First(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

struct Second {
#ifdef FIXED
  static constexpr auto claims = axvm::claims(axvm::Mmio{.size = 0x1000});
#else
  static constexpr auto claims = axvm::claims(axvm::Mmio{.base = 0xd000'1000, .size = 0x1000});
#endif
  struct Config {};
  Second(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<First, Second>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace windows_overlap
