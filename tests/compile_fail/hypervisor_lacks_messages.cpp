// A claim of message interrupts needs a hypervisor that delivers them; nobody has to say so.
// EXPECT: HypervisorLacks<hypervisor_lacks_messages::Card, axvm::fake::Fake, axvm::Feature::MessageInterrupts>
// EXPECT: axvm: the device needs what this hypervisor does not have

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

namespace hypervisor_lacks_messages {

/// A hypervisor that has everything.
struct Complete : axvm::fake::Fake {
  static axvm::Result<Complete> open() { return Complete{}; }
  static constexpr bool has(axvm::Feature) { return true; }
};

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Msi{.vectors = 2});
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>, axvm::Handlers<>, Complete>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>, axvm::Handlers<>, axvm::fake::Fake>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace hypervisor_lacks_messages
