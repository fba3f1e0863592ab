// A handler that does not say what happens next.
// EXPECT: NotAPolicy<not_a_policy::Count, axvm::Lacks::handle>
// EXPECT: axvm: a handler's policy has a public 'axvm::Action handle\(Vcpu&\)'

#include <axvm/axvm.hpp>

namespace not_a_policy {

struct Count {
#ifdef FIXED
  static axvm::Action handle(auto&) { return axvm::Action::Continue; }
#else
  static void handle(auto&) {}
#endif
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::OnDebug<Count>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_policy
