// A hypervisor that cannot be opened.
// EXPECT: NotAHypervisor<not_a_hypervisor::Xen>
// EXPECT: axvm: not a hypervisor backend; see the concept axvm::Hypervisor

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

namespace not_a_hypervisor {

struct Xen {
  using Vm = axvm::fake::Vm;
#ifdef FIXED
  static axvm::Result<Xen> open() { return Xen{}; }
#endif
  axvm::Result<Vm> create_vm(axvm::VmPlan const& plan) { return axvm::fake::Fake().create_vm(plan); }
  axvm::Result<axvm::CpuidTable> supported_cpuid() { return axvm::fake::Fake().supported_cpuid(); }
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::Uart8250>, axvm::Handlers<>, Xen>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_hypervisor
