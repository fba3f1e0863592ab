// A handler for HLT in a machine where a device claims an interrupt.
// EXPECT: HaltNeverExits<halt_never_exits::CountHalts, axvm::Uart8250>
// EXPECT: axvm: with an in-kernel interrupt controller HLT never exits: drop OnHalt

#include <axvm/axvm.hpp>

namespace halt_never_exits {

struct CountHalts {
  static axvm::Action handle(auto&) { return axvm::Action::Stop; }
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit>, axvm::Handlers<axvm::OnHalt<CountHalts>>>;
#else
using M =
    axvm::Machine<axvm::Bare, axvm::Devices<axvm::DebugExit, axvm::Uart8250>, axvm::Handlers<axvm::OnHalt<CountHalts>>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace halt_never_exits
