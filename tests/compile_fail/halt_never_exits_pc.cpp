// A handler for HLT in a PC, which has interrupt controllers whatever is listed.
// EXPECT: HaltNeverExits<halt_never_exits_pc::CountHalts, axvm::Portable>
// EXPECT: axvm: with an in-kernel interrupt controller HLT never exits

#include <axvm/axvm.hpp>

namespace halt_never_exits_pc {

struct CountHalts {
  static axvm::Action handle(auto&) { return axvm::Action::Stop; }
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<>, axvm::Handlers<axvm::OnHalt<CountHalts>>>;
#else
using M = axvm::Machine<axvm::Portable, axvm::Devices<>, axvm::Handlers<axvm::OnHalt<CountHalts>>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace halt_never_exits_pc
