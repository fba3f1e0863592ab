// A device that needs what the hypervisor does not have.
// EXPECT: HypervisorLacks<hypervisor_lacks::Card, axvm::fake::Fake, axvm::Feature::Doorbells>
// EXPECT: axvm: the device needs what this hypervisor does not have: use another backend

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

namespace hypervisor_lacks {

/// A hypervisor that has everything.
struct Complete : axvm::fake::Fake {
  static axvm::Result<Complete> open() { return Complete{}; }
  static constexpr bool has(axvm::Feature) { return true; }
};

struct Card {
  static constexpr auto claims = axvm::claims(axvm::Mmio{});
  static constexpr std::array needs{axvm::Feature::Doorbells};
  struct Config {};
  Card(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
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

}  // namespace hypervisor_lacks
