// Two handlers for one exit.
// EXPECT: TwoHandlersForOneExit<two_handlers::Stop, two_handlers::Restart>
// EXPECT: axvm: an exit has one handler only

#include <axvm/axvm.hpp>

namespace two_handlers {

struct Stop {
  static axvm::Action handle(auto&) { return axvm::Action::Stop; }
};
struct Restart {
  static axvm::Action handle(auto&) { return axvm::Action::Reset; }
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>,
                        axvm::Handlers<axvm::OnShutdown<Restart>, axvm::OnDebug<Stop>>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>,
                        axvm::Handlers<axvm::OnShutdown<Stop>, axvm::OnDebug<Stop>, axvm::OnShutdown<Restart>>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace two_handlers
