#pragma once

#include <cstdint>
#include <string_view>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>
#include <axvm/virtio/vsock_core.hpp>

// Sockets between programs of the host and of the guest: the virtio socket device, [virtio/1.2] 5.10, on the MMIO
// transport, 4.2. What is modelled and what is left out stands at the head of vsock_core.hpp and of mmio.hpp.

namespace axvm::inline v1 {

/// Sockets (AF_VSOCK) for the guest, without a network. A program of the host connects to the socket at `path`, writes
/// "CONNECT PORT\n" and reads "OK PORT\n" when a program of the guest has accepted; one of the guest that connects to
/// port N of CID 2 gets the program that listens at `path` with "_N" behind it. Absent without a path.
class VirtioVsock {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});

  struct Config {
    Path path;              ///< of the socket that programs of the host connect to; none: there is no such device
    std::uint32_t cid = 3;  ///< the guest's address, 3 to 4294967294
    bool exact_interrupt_status = false;  ///< for drivers that are stricter than Linux, see virtio::MmioTransport
  };
  /// Help and ranges of the settings.
  static constexpr auto fields = axvm::fields(
      field<&Config::path>{.help = "socket for programs of the host that talk to the guest; none: no vsock",
                           .unit = "file"},
      field<&Config::cid>{
          .help = "the guest's vsock address (CID)", .min = virtio::vsock_first_guest_cid, .max = 0xffff'fffe},
      field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  /// What stays open across resets.
  struct Resources {
    StreamHub hub;
  };

  using State = virtio::RegisterState<virtio::VsockCore::queue_sizes.size()>;

  struct Counters {
    virtio::VsockCounters sockets;
    virtio::TransportCounters transport;
  };

  /// Whether there is the device.
  [[nodiscard]] static bool present(Config const& config) { return !config.path.empty(); }

  /// Listens at the path. Errors are the host's and name it.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Config const& config,
                                                         HostWith<HostPart::Streams> const& host) {
    Result<StreamHub> hub = host.streams(config.path);
    if (!hub) return std::unexpected(hub.error());
    return Resources{*std::move(hub)};
  }

  VirtioVsock(Config const& config, Resources& resources, DeviceContext& context)
      : core_(core(config, resources, context)), transport_(transport(config, context)) {}
  VirtioVsock(VirtioVsock const&) = delete;
  VirtioVsock& operator=(VirtioVsock const&) = delete;

  [[AXVM_ONCE]] void read(MmioAccess& access) { transport_.read(access); }
  [[AXVM_ONCE]] void write(MmioAccess const& access) { transport_.write(access); }

  /// `state` was assigned: checks it and goes on from there. Connections do not survive: the guest is told so.
  [[AXVM_ONCE]] void restored() {
    core_.restored();
    transport_.restored();
  }

  /// The device's node in the DSDT.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& placement) {
    virtio::describe_mmio(aml, placement);
  }

  State state;
  Counters counters;

 private:
  static constexpr std::string_view name = "virtio-vsock";

  [[AXVM_ONCE]] void attend() { core_.attend(transport_); }

  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::VsockCore core(Config const& config, Resources& resources, DeviceContext& context) {
    return {resources.hub, config.cid, context.events, Callback::to<&VirtioVsock::attend>(*this), counters.sockets};
  }
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::VsockCore> transport(Config const& config, DeviceContext const& context) {
    return {core_, state, counters.transport, name, context, config.exact_interrupt_status};
  }

  virtio::VsockCore core_;
  virtio::MmioTransport<virtio::VsockCore> transport_;
};

static_assert(Device<VirtioVsock> && HasResources<VirtioVsock> && HasMmio<VirtioVsock> && HasPresence<VirtioVsock>);

}  // namespace axvm::inline v1
