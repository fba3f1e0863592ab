// A profile that does not say how many processors it takes.
// EXPECT: NotACpuProfile<not_a_profile::Atom, axvm::Lacks::max_vcpus>
// EXPECT: axvm: a CPU profile has name, max_vcpus, platform, address_map, host_requirements and guest_cpuid

#include <axvm/axvm.hpp>

namespace not_a_profile {

struct Atom {
  static constexpr std::string_view name = "atom";
#ifdef FIXED
  static constexpr unsigned max_vcpus = 2;
#endif
  static constexpr axvm::Platform platform = axvm::Platform::Bare;
  static constexpr axvm::AddressMap address_map{};
  static constexpr std::span<const axvm::HostRequirement> host_requirements{};
  static constexpr void guest_cpuid(axvm::CpuidTable&, axvm::GuestCpu const&) {}
};

using M = axvm::Machine<Atom, axvm::Devices<axvm::Uart8250>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_profile
