// A handler of a hypercall that does not take one.
// EXPECT: NotAPolicy<not_a_hypercall_policy::Greet, axvm::Lacks::handle, axvm::HypercallExit ?&>
// EXPECT: axvm: the policy of a hypercall has a public 'axvm::Action handle\(axvm::HypercallExit&\)'

#include <axvm/axvm.hpp>

namespace not_a_hypercall_policy {

#ifdef FIXED
struct Greet {
  static axvm::Action handle(axvm::HypercallExit&) { return axvm::Action::Continue; }
};
#else
struct Greet {
  static axvm::Action handle(unsigned long) { return axvm::Action::Continue; }
};
#endif

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::OnHypercall<7, Greet>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_hypercall_policy
