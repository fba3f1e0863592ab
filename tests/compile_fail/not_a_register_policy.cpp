// A handler of a register that neither reads nor writes.
// EXPECT: NotAPolicy<not_a_register_policy::Tick, axvm::Lacks::read, axvm::MsrExit ?&>
// EXPECT: axvm: the policy of a register has a public 'axvm::Action read\(axvm::MsrExit&\)', 'write' likewise, or both

#include <axvm/axvm.hpp>

namespace not_a_register_policy {

#ifdef FIXED
struct Tick {
  static axvm::Action read(axvm::MsrExit&) { return axvm::Action::Continue; }
};
#else
struct Tick {
  static void read(axvm::MsrExit&) {}
};
#endif

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<axvm::OnMsr<0x4b564d00, Tick>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_register_policy
