// A handler for what is no exit reason.
// EXPECT: UnknownExit<unknown_exit::Stop, (\(axvm::ExitReason\))?(77|axvm::ExitReason::Other)>
// EXPECT: axvm: no exit that a handler can be for: use one of axvm::ExitReason but Other

#include <axvm/axvm.hpp>

namespace unknown_exit {

struct Stop {
  static axvm::Action handle(auto&) { return axvm::Action::Stop; }
};

#ifdef FIXED
using M =
    axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::On<axvm::ExitReason::Io, Stop>>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>,
                        axvm::Handlers<axvm::On<static_cast<axvm::ExitReason>(77), Stop>>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace unknown_exit
