// More devices that want a line than the I/O APIC has pins: the PC platform has 9, the UART 4.
// EXPECT: NoFreeIrq<axvm::VirtioBlk, 20>
// EXPECT: axvm: no interrupt line is left; the number is how many there are

#include <axvm/axvm.hpp>

namespace no_free_irq {

#ifdef FIXED
constexpr std::size_t disks = 20;
#else
constexpr std::size_t disks = 21;
#endif

using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::Repeat<disks, axvm::VirtioBlk>>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_free_irq
