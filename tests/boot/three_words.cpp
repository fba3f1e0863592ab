// three_words KERNEL INITRD DISK: the machine of the README, run to its end.

#include "boot_to_end.hpp"

using Xv2 = axvm::Machine<axvm::IvyBridgeXv2, axvm::Devices<axvm::Uart8250, axvm::Pit8254, axvm::VirtioBlk>>;

int main(int argc, char** argv) {
  return boot_to_end<Xv2>({.memory = 256 * axvm::MiB, .host_check = axvm::HostCheck::warn}, argc, argv);
}
