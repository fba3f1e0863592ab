// A machine with the host's own processor in place of the profile's. What bench/scale has beside xv2_vmm: where the
// host is no Intel, a guest that sees a Xeon cannot make hypercalls, and without them it waits for locks in loops.
//
//   portable_monitor KERNEL INITRD MEMORY VCPUS CMDLINE    MEMORY in bytes
#include <cstdio>
#include <cstdlib>

#include <axvm/axvm.hpp>

namespace {

using Pc = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::Pit8254>>;

int fail(axvm::Error const& error) {
  std::fprintf(stderr, "%s\n", axvm::describe(error).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  Pc::Config config{.memory = std::strtoull(argv[3], nullptr, 10)};
  config.vcpus = static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10));
  auto machine = Pc::create(config);
  if (!machine) return fail(machine.error());
  auto linux_boot = axvm::LinuxBoot::open({.kernel = argv[1], .initrd = argv[2], .cmdline = argv[5]});
  if (!linux_boot) return fail(linux_boot.error());
  if (auto loaded = machine->load(std::move(*linux_boot)); !loaded) return fail(loaded.error());
  if (auto end = machine->run(); !end) return fail(end.error());
}
