// Two handlers for one hypercall.
// EXPECT: TwoHandlersForOneExit<two_hypercalls::Greet, two_hypercalls::Part>
// EXPECT: axvm: an exit has one handler only

#include <axvm/axvm.hpp>

namespace two_hypercalls {

struct Greet {
  static axvm::Action handle(axvm::HypercallExit&) { return axvm::Action::Continue; }
};
struct Part : Greet {};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>,
                        axvm::Handlers<axvm::OnHypercall<7, Greet>, axvm::OnHypercall<8, Part>>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>,
                        axvm::Handlers<axvm::OnHypercall<7, Greet>, axvm::OnHypercall<7, Part>>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace two_hypercalls
