// A State with a pointer in it, in a machine whose state is saved.
// EXPECT: NotSaveable<not_saveable::Clock, (axvm::)?Name<6>\{"where"\}, long (int)?\*>
// EXPECT: axvm: a field of a State is a bool, an integer, an enumeration, a Text<N>

#include <axvm/axvm.hpp>

namespace not_saveable {

struct Clock {
  static constexpr auto claims = axvm::claims();
  struct Config {};
  struct Hands {
#ifdef FIXED
    long where = 0;
#else
    long* where = nullptr;
#endif
  };
  struct State {
    bool running = false;
    Hands hands;
  };
  Clock(Config const&, axvm::DeviceContext&) {}
  State state;
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250, Clock>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  auto states = axvm::save_states(*machine);
  if (!states || states->settings().size() == 0) return 1;
  return axvm::restore_states(*machine, *states) ? 0 : 1;
}

}  // namespace not_saveable
