#pragma once

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/blk_core.hpp>
#include <axvm/virtio/blk_parts.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>

// A disk: the virtio block device, [virtio/1.2] 5.2, on the MMIO transport, 4.2. What is modelled and what is left out
// stands at the head of blk_core.hpp and of mmio.hpp.

namespace axvm::inline v1 {

/// A disk for the guest (/dev/vda, /dev/vdb, ... under Linux, in the order of the machine's list), backed by an image
/// file or a block device of the host. Absent without a path.
class VirtioBlk {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});

  struct Config {
    Path path;                            ///< the disk image; none: there is no such disk
    bool read_only = false;               ///< the guest may not write, and the image is opened for reading only
    bool direct = false;                  ///< the image is read and written past the host's page cache
    unsigned queues = 4;                  ///< request queues, 1 to 4; a guest takes one for each of its processors
    bool exact_interrupt_status = false;  ///< for drivers that are stricter than Linux, see virtio::MmioTransport
  };
  /// Help, units and short flags of the settings.
  static constexpr auto fields = axvm::fields(
      field<&Config::path>{.help = virtio::BlkParts::path_help, .unit = "file", .alias = 'd'},
      field<&Config::read_only>{.help = virtio::BlkParts::read_only_help},
      field<&Config::direct>{.help = virtio::BlkParts::direct_help},
      field<&Config::queues>{.help = virtio::BlkParts::queues_help, .min = 1, .max = virtio::BlkCore::max_queues},
      field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  using Resources = virtio::BlkParts::Resources;

  struct State {
    virtio::RegisterState<virtio::BlkCore::queue_sizes.size()> transport;
    bool writeback = true;  ///< of the configuration space

    friend constexpr bool operator==(State const&, State const&) = default;
  };

  using Counters = virtio::BlkParts::Counters;

  /// Whether there is a disk.
  [[nodiscard]] static bool present(Config const& config) { return !config.path.empty(); }

  /// Opens the image; see virtio::BlkParts::open.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Config const& config, HostWith<HostPart::Images> const& host) {
    return virtio::BlkParts::open(config.path, {.read_only = config.read_only, .direct = config.direct}, config.queues,
                                  host);
  }

  /// The image must stay open, and where it is, as long as the device lives.
  VirtioBlk(Config const& config, Resources& resources, DeviceContext& context)
      : core_(core(config, resources)), transport_(transport(config, context)) {
    virtio::BlkParts::start(core_, config.path, resources.image, context, Callback::to<&VirtioBlk::finished>(*this));
  }

  [[AXVM_ONCE]] void read(MmioAccess& access) { transport_.read(access); }
  [[AXVM_ONCE]] void write(MmioAccess const& access) {
    transport_.write(access);
    state.writeback = core_.writeback();
  }

  /// The image may have another size now: the guest hears of it. For the program, which is told of that by whoever
  /// changed it; under the device's lock.
  [[AXVM_ONCE]] void image_resized() { core_.resized(transport_); }

  /// `state` was assigned: checks it and goes on from there; queues are looked at again once the machine runs.
  [[AXVM_ONCE]] void restored() {
    core_.set_writeback(state.writeback);
    transport_.restored();
  }

  /// The machine has stopped: what is under way ends, so that `state` and guest memory have all of it.
  [[AXVM_ONCE]] void quiesce() { core_.quiesce(transport_); }

  /// The device's node in the DSDT.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& placement) {
    virtio::describe_mmio(aml, placement);
  }

  State state;
  Counters counters;

 private:
  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::BlkCore core(Config const& config, Resources& resources) {
    return {resources.image, config.read_only, virtio::BlkParts::file_name(config.path), counters.disk, config.queues};
  }
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::BlkCore> transport(Config const& config, DeviceContext const& context) {
    return {core_, state.transport, counters.transport, virtio::BlkParts::name, context, config.exact_interrupt_status};
  }

  void finished() { core_.finished(transport_); }

  virtio::BlkCore core_;
  virtio::MmioTransport<virtio::BlkCore> transport_;
};

static_assert(Device<VirtioBlk> && HasResources<VirtioBlk> && HasMmio<VirtioBlk> && HasPresence<VirtioBlk> &&
              HasQuiesce<VirtioBlk>);

}  // namespace axvm::inline v1
