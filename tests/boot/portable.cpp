// portable KERNEL INITRD DISK: a machine with the host's own processor, four times, run to its end.

#include "boot_to_end.hpp"

using Pc = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::VirtioBlk>>;

int main(int argc, char** argv) { return boot_to_end<Pc>({.memory = 256 * axvm::MiB, .vcpus = 4}, argc, argv); }
