// portable KERNEL INITRD DISK: a machine with the host's own processor, four times, run to its end.

#include <axvm/axvm.hpp>
#include <cstdio>

using Pc = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::VirtioBlk>>;

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  auto fail = [](axvm::Error const& error) {
    std::fprintf(stderr, "%s\n", axvm::describe(error).c_str());
    return 1;
  };
  Pc::Config config{.memory = 256 * axvm::MiB, .vcpus = 4};
  config.of<axvm::VirtioBlk>().path = std::string_view(argv[3]);
  auto machine = Pc::create(config);
  if (!machine) return fail(machine.error());
  auto linux_boot = axvm::LinuxBoot::open(
      {.kernel = std::string_view(argv[1]),
       .initrd = std::string_view(argv[2]),
       .cmdline = "console=ttyS0 panic=1 pci=off quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1"});
  if (!linux_boot) return fail(linux_boot.error());
  if (auto loaded = machine->load(std::move(*linux_boot)); !loaded) return fail(loaded.error());
  auto end = machine->run();
  if (!end) return fail(end.error());
  const std::string_view name = axvm::name_of(*end);
  std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
  return 0;
}
