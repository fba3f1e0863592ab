// A handler's policy that only its author can make.
// EXPECT: NotAPolicy<policy_without_constructor::Count, axvm::Lacks::constructor>
// EXPECT: axvm: a machine makes a handler's policy itself: it needs a public default constructor

#include <axvm/axvm.hpp>

namespace policy_without_constructor {

#ifdef FIXED
struct Count {
  static axvm::Action handle(auto&) { return axvm::Action::Continue; }
};
#else
struct Count {
  explicit Count(int) {}
  static axvm::Action handle(auto&) { return axvm::Action::Continue; }
};
#endif

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::OnDebug<Count>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace policy_without_constructor
