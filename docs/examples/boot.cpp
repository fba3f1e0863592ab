// boot KERNEL INITRD DISK CMDLINE: a monitor that boots Linux.
#include <axvm/axvm.hpp>
#include <cstdio>

using namespace axvm;
using Xv2 = Machine<IvyBridgeXv2, Devices<Uart8250, Pit8254, VirtioBlk>>;

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  Xv2::Config config{.memory = 256_MiB, .vcpus = 2, .host_check = HostCheck::warn};
  config.of<VirtioBlk>().path = argv[3];
  Result<Xv2> machine = Xv2::create(config);
  Result<LinuxBoot> kernel = LinuxBoot::open({.kernel = argv[1], .initrd = argv[2], .cmdline = argv[4]});
  Result<> ready = !machine  ? std::unexpected(machine.error())
                   : !kernel ? std::unexpected(kernel.error())
                             : machine->load(std::move(*kernel));
  Result<End> end = ready ? machine->run() : std::unexpected(ready.error());
  std::puts(end ? name_of(*end).data() : describe(end.error()).c_str());
  return end ? 0 : 1;
}
