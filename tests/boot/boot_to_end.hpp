#pragma once

#include <axvm/axvm.hpp>
#include <cstdio>
#include <string>
#include <string_view>

/// main of a program whose arguments are KERNEL INITRD DISK: runs the commands on the disk in a machine of type `M`,
/// and prints how the run ended. `words` are more of the kernel's command line.
template <class M>
int boot_to_end(typename M::Config config, int argc, char** argv, std::string_view words = "") {
  if (argc != 4) return 2;
  auto fail = [](axvm::Error const& error) {
    std::fprintf(stderr, "%s\n", axvm::describe(error).c_str());
    return 1;
  };
  config.template of<axvm::VirtioBlk>().path = std::string_view(argv[3]);
  auto machine = M::create(config);
  if (!machine) return fail(machine.error());
  const std::string cmdline =
      "console=ttyS0 panic=1 pci=off quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1 " + std::string(words);
  auto linux_boot = axvm::LinuxBoot::open(
      {.kernel = std::string_view(argv[1]), .initrd = std::string_view(argv[2]), .cmdline = cmdline});
  if (!linux_boot) return fail(linux_boot.error());
  if (auto loaded = machine->load(std::move(*linux_boot)); !loaded) return fail(loaded.error());
  auto end = machine->run();
  if (!end) return fail(end.error());
  const std::string_view name = axvm::name_of(*end);
  std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
  return 0;
}
