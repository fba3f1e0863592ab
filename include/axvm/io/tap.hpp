#pragma once

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/frame_port.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/system_part.hpp>

namespace axvm::inline v1 {

/// A TAP interface of the host. An interface that was there before stays when it is closed; one that was made for it
/// goes. Addresses, bridges and whether it is up are the administrator's business.
class Tap {
 public:
  [[nodiscard, gnu::cold, AXVM_ONCE]] static Result<FramePort> open(std::string_view interface) {
    ifreq request{};
    if (interface.empty() || interface.size() >= sizeof request.ifr_name ||
        interface.find_first_of("/% \t") != std::string_view::npos)
      return failure(ErrorCode::InvalidArgument, text<1023>("attach to the TAP ", interface),
                     "an interface's name has 1 to 15 bytes, none of them a slash, a space or %");
    auto failed = [&] {
      const int number = errno;
      const bool denied = number == EPERM || number == EACCES;
      return failure(denied ? ErrorCode::PermissionDenied : ErrorCode::HostIo,
                     text<1023>("attach to the TAP ", interface), advice(number, interface), number);
    };
    auto made = std::make_unique<Tap>();
    made->descriptor_ = Descriptor(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!made->descriptor_) return failed();
    std::memcpy(request.ifr_name, interface.data(), interface.size());
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int header = header_size;
    if (::ioctl(made->descriptor_.get(), TUNSETIFF, &request) != 0 ||
        ::ioctl(made->descriptor_.get(), TUNSETVNETHDRSZ, &header) != 0 ||
        ::ioctl(made->descriptor_.get(), TUNSETOFFLOAD, 0ul) != 0)
      return failed();
    return FramePort(made.release(), &operations);
  }

 private:
  static constexpr int header_size = 12;  ///< virtio_net_hdr with num_buffers
  static constexpr std::size_t most_segments = 1024;

  [[gnu::cold]] static Text<511> advice(int number, std::string_view interface) {
    switch (number) {
      case EPERM:
      case EACCES:
        return text<511>("as root: ip tuntap add ", interface, " mode tap user NAME; ip link set ", interface,
                         " up; or give the monitor CAP_NET_ADMIN");
      case ENOENT:
      case ENODEV: return text<511>("load the module tun (/dev/net/tun)");
      case EBUSY: return text<511>("another program is attached to it: stop that, or choose another one");
      case EINVAL: return text<511>("there is an interface of this name that is no TAP, or one with several queues");
      default: return {};
    }
  }

  static Tap& of(void* self) { return *static_cast<Tap*>(self); }

  /// As the system calls want it; the number of vectors.
  static int vectors_of(std::span<const Segment> segments, std::array<iovec, most_segments>& into) {
    int count = 0;
    for (Segment const& segment : segments) {
      if (static_cast<std::size_t>(count) == into.size()) break;
      into[static_cast<std::size_t>(count++)] = {segment.data, segment.size};
    }
    return count;
  }

  static std::size_t read(void* self, std::span<const Segment> into) {
    std::array<iovec, most_segments> vectors;
    const int count = vectors_of(into, vectors);
    const ssize_t got = retry_interrupted([&] { return ::readv(of(self).descriptor_.get(), vectors.data(), count); });
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  static bool write(void* self, std::span<const Segment> frame) {
    std::array<iovec, most_segments> vectors;
    const int count = vectors_of(frame, vectors);
    return retry_interrupted([&] { return ::writev(of(self).descriptor_.get(), vectors.data(), count); }) > 0;
  }
  static void set_offloads(void* self, FrameOffloads offloads) {
    const unsigned long flags =
        !offloads.checksum ? 0ul : TUN_F_CSUM | (offloads.tso4 ? TUN_F_TSO4 : 0) | (offloads.tso6 ? TUN_F_TSO6 : 0);
    ::ioctl(of(self).descriptor_.get(), TUNSETOFFLOAD, flags);
  }

  static const FramePort::Operations operations;

  Descriptor descriptor_;
};

inline constexpr FramePort::Operations Tap::operations{
    .descriptor = [](void* self) { return of(self).descriptor_.get(); },
    .read = read,
    .write = write,
    .set_offloads = set_offloads,
    .close = [](void* self) { delete static_cast<Tap*>(self); },
};

template <>
struct SystemPart<HostPart::Frames> {
  static constexpr void add(Host::Operations& to) {
    to.frames = [](void*, std::string_view interface) { return Tap::open(interface); };
  }
};

}  // namespace axvm::inline v1
