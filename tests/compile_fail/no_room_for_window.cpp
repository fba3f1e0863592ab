// Windows that do not all fit between RAM and the interrupt controllers.
// EXPECT: NoRoomForWindow<no_room_for_window::FrameBuffer, (axvm::)?At<11>\{\"0x20000000\"\}>
// EXPECT: axvm: no room is left for a window of this size

#include <axvm/axvm.hpp>

namespace no_room_for_window {

struct FrameBuffer {
  static constexpr auto claims = axvm::claims(axvm::Mmio{.size = 0x2000'0000});
  struct Config {};
  FrameBuffer(Config const&, axvm::DeviceContext&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

#ifdef FIXED
using M = axvm::Machine<axvm::Bare, axvm::Devices<FrameBuffer>>;
#else
using M = axvm::Machine<axvm::Bare, axvm::Devices<FrameBuffer, FrameBuffer>>;
#endif

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace no_room_for_window
