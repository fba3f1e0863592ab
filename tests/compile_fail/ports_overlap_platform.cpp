// A device on a port that the profile's own platform has.
// EXPECT: PortsOverlap<axvm::I8042, ports_overlap_platform::Keyboard, (axvm::)?At<5>\{\"0x60\"\}>
// EXPECT: axvm: two devices claim the same I/O port

#include <axvm/axvm.hpp>

namespace ports_overlap_platform {

struct Keyboard {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x60, .size = 5});
  struct Config {};
  Keyboard(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) {}
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<Keyboard>>;
#else
using M = axvm::Machine<axvm::Portable, axvm::Devices<Keyboard>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace ports_overlap_platform
