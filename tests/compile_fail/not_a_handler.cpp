// A policy in the handler list that does not say which exit it is for.
// EXPECT: NotAHandler<not_a_handler::Stop>
// EXPECT: axvm: handlers are written OnHalt<Policy>, On<ExitReason, Policy>, OnHypercall<Number, Policy>, OnMsr<Index,
// Policy> or Observe<Policy>

#include <axvm/axvm.hpp>

namespace not_a_handler {

struct Stop {
  static axvm::Action handle(auto&) { return axvm::Action::Stop; }
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::OnShutdown<Stop>>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<Stop>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_handler
