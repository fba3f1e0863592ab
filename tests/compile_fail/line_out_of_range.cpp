// A line that the I/O APIC does not have.
// EXPECT: LineOutOfRange<line_out_of_range::Card, 48>
// EXPECT: axvm: interrupt lines are the I/O APIC's pins 0 to 47

#include <axvm/axvm.hpp>

namespace line_out_of_range {

#ifdef FIXED
constexpr std::uint64_t line = 47;
#else
constexpr std::uint64_t line = 48;
#endif

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Irq{.line = line});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace line_out_of_range
