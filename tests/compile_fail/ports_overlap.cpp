// Two devices at one port; the second one begins within the first.
// EXPECT: PortsOverlap<axvm::Uart8250, ports_overlap::Modem, (axvm::)?At<6>\{\"0x3fb\"\}>
// EXPECT: axvm: two devices claim the same I/O port: give one of them another \.base

#include <axvm/axvm.hpp>

namespace ports_overlap {

#ifdef FIXED
constexpr std::uint64_t base = 0x2f8;
#else
constexpr std::uint64_t base = 0x3fb;
#endif

struct Modem {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = base, .size = 8});
  struct Config {};
  Modem(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250, Modem>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace ports_overlap
