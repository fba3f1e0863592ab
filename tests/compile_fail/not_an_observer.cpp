// An observer that never sees anything.
// EXPECT: NotAPolicy<not_an_observer::Profile, axvm::Lacks::before>
// EXPECT: axvm: an observer has a public 'void before\(axvm::ExitReason, Vcpu&\)'

#include <axvm/axvm.hpp>

namespace not_an_observer {

#ifdef FIXED
struct Profile {
  static void before(axvm::ExitReason, auto&) {}
};
#else
struct Profile {
  static void seen(axvm::ExitReason, auto&) {}
};
#endif

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::Observe<Profile>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_an_observer
