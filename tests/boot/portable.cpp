// portable KERNEL INITRD DISK: a machine with the host's own processor, four times, run to its end. Its kernel names
// the processors that an interrupt is for: what is for all others needs no list and so no hypercall.

#include "boot_to_end.hpp"

using Pc = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::VirtioBlk>>;

int main(int argc, char** argv) {
  return boot_to_end<Pc>({.memory = 256 * axvm::MiB, .vcpus = 4}, argc, argv, "no_ipi_broadcast=1");
}
