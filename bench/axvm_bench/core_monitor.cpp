// The Xv2 machine without what xv2_vmm has beside it: no command line but a few words, no files of settings, no
// unpacking of kernels. What bench/memory measures as a core monitor; with NO_DISK, without the disk, too.
//
//   core_monitor KERNEL MEMORY VCPUS [DISK]    MEMORY in bytes
#include <unistd.h>

#include <cstdlib>
#include <exception>

#include <axvm/axvm.hpp>

// What happens to an exception that nobody catches. libstdc++'s own handler prints its type's name; statically linked,
// the code to read C++ names and to print them is 44 KiB.
namespace __cxxabiv1 {
extern std::terminate_handler __terminate_handler;
std::terminate_handler __terminate_handler = std::abort;
}  // namespace __cxxabiv1

namespace {

#ifdef NO_DISK
using Core = axvm::Machine<axvm::IvyBridgeXv2, axvm::Devices<axvm::Uart8250, axvm::Pit8254>>;
#else
using Core = axvm::Machine<axvm::IvyBridgeXv2, axvm::Devices<axvm::Uart8250, axvm::Pit8254, axvm::VirtioBlk>>;
#endif

int fail(axvm::Error const& error) {
  const auto text = axvm::describe(error);
  (void)!::write(STDERR_FILENO, text.data(), text.size());
  (void)!::write(STDERR_FILENO, "\n", 1);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  Core::Config config{.memory = std::strtoull(argv[2], nullptr, 10), .host_check = axvm::HostCheck::warn};
  config.vcpus = static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10));
#ifndef NO_DISK
  if (argc > 4) config.of<axvm::VirtioBlk>().path = argv[4];
#endif
  auto machine = Core::create(config);
  if (!machine) return fail(machine.error());
  auto linux_boot = axvm::LinuxBoot::open({.kernel = argv[1]});
  if (!linux_boot) return fail(linux_boot.error());
  if (auto loaded = machine->load(std::move(*linux_boot)); !loaded) return fail(loaded.error());
  if (auto end = machine->run(); !end) return fail(end.error());
}
