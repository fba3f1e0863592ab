// A handler without Handlers<> around it.
// EXPECT: NotAHandlerList<axvm::On<axvm::ExitReason::Shutdown, not_a_handler_list::Stop>>
// EXPECT: axvm: the third argument is the list of handlers: write Handlers<\.\.\.> around them

#include <axvm/axvm.hpp>

namespace not_a_handler_list {

struct Stop {
  static axvm::Action handle(auto&) { return axvm::Action::Stop; }
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::OnShutdown<Stop>>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::OnShutdown<Stop>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_handler_list
