// A State and no member of that type, in a machine whose state is saved.
// EXPECT: NotADevice<device_without_state::Clock, axvm::Lacks::state>
// EXPECT: axvm: a device with a State has a public 'State state;'

#include <axvm/axvm.hpp>

namespace device_without_state {

struct Clock {
  static constexpr auto claims = axvm::claims();
  struct Config {};
  struct State {
    bool running = false;
  };
  Clock(Config const&, axvm::DeviceContext&) {}
#ifdef FIXED
  State state;
#else
  bool running = false;
#endif
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250, Clock>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  auto states = axvm::save_states(*machine);
  if (!states || states->settings().size() == 0) return 1;
  return axvm::restore_states(*machine, *states) ? 0 : 1;
}

}  // namespace device_without_state
