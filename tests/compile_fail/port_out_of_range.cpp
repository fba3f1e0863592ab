// A port claim that runs over the last port there is.
// EXPECT: PortOutOfRange<port_out_of_range::Card, (axvm::)?At<7>\{\"0xfff9\"\}>
// EXPECT: axvm: ports are 0 to 0xffff and a claim has at least one

#include <axvm/axvm.hpp>

namespace port_out_of_range {

#ifdef FIXED
constexpr std::uint64_t base = 0xfff8;
#else
constexpr std::uint64_t base = 0xfff9;
#endif

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = base, .size = 8});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace port_out_of_range
