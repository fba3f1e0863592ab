// A device that takes a part of the system whose header is not included.
// EXPECT: HostPartMissing<host_part_missing::Uplink, axvm::HostPart::Frames>
// EXPECT: axvm: this part of the system is in a header of its own

#include <axvm/axvm.hpp>
#ifdef FIXED
#include <axvm/virtio_net.hpp>
#endif

namespace host_part_missing {

struct Uplink {
  static constexpr auto claims = axvm::claims();
  struct Config {};
  struct Resources {
    axvm::FramePort port;
  };
  static axvm::Result<Resources> open(Config const&, axvm::HostWith<axvm::HostPart::Frames> const& host) {
    auto port = host.frames("tap0");
    if (!port) return std::unexpected(port.error());
    return Resources{*std::move(port)};
  }
  Uplink(Config const&, Resources&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Uplink>>;

inline int user() {
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace host_part_missing
