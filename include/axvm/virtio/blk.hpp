#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/blk_core.hpp>
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
      field<&Config::path>{.help = "disk image or block device; none: no disk", .unit = "file", .alias = 'd'},
      field<&Config::read_only>{.help = "the guest may not write to it"},
      field<&Config::direct>{.help = "past the host's page cache (O_DIRECT)"},
      field<&Config::queues>{.help = "request queues", .min = 1, .max = virtio::BlkCore::max_queues},
      field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  /// What is open for it as long as the machine exists.
  struct Resources {
    BlockImage image;
  };

  struct State {
    virtio::MmioState<virtio::BlkCore::queue_sizes.size()> transport;
    bool writeback = true;  ///< of the configuration space

    friend constexpr bool operator==(State const&, State const&) = default;
  };

  struct Counters {
    virtio::BlkCounters disk;
    virtio::TransportCounters transport;
  };

  /// Whether there is a disk.
  [[nodiscard]] static bool present(Config const& config) { return !config.path.empty(); }

  /// Opens the image. Errors name its path: InvalidArgument for one that is too long, else what the host says.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Config const& config, HostWith<HostPart::Images> const& host) {
    using namespace std::string_view_literals;
    if (config.path.truncated())
      return failure(ErrorCode::InvalidArgument, text<1023>("open disk image "sv, config.path),
                     text<511>("a path has at most "sv, Path::capacity(), " bytes"sv));
    if (config.queues < 1 || config.queues > virtio::BlkCore::max_queues)
      return failure(ErrorCode::OutOfRange, text<1023>("give disk "sv, config.path, " "sv, config.queues, " queues"sv),
                     text<511>("it has 1 to "sv, virtio::BlkCore::max_queues));
    Result<BlockImage> image = host.image(config.path, {.read_only = config.read_only, .direct = config.direct});
    if (!image) return std::unexpected(image.error());
    return Resources{*std::move(image)};
  }

  /// The image must stay open, and where it is, as long as the device lives.
  VirtioBlk(Config const& config, Resources& resources, DeviceContext& context)
      : core_(core(config, resources)), transport_(transport(config, context)) {
    start(config, resources.image, context);
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
    return {resources.image, config.read_only, file_name(config.path), counters.disk, config.queues};
  }
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::BlkCore> transport(Config const& config, DeviceContext const& context) {
    return {core_, state.transport, counters.transport, name, context, config.exact_interrupt_status};
  }
  [[AXVM_ONCE]] void start(Config const& config, BlockImage const& image, DeviceContext& context) {
    using namespace std::string_view_literals;
    if (image.has_queue())
      core_.set_asynchronous(
          context.events.watch(image.descriptor(), Interest::Readable, Callback::to<&VirtioBlk::finished>(*this)));
    else if (image.queue_error() != 0)
      context.log(Severity::Info, text<1151>(name, ": one request after the other for "sv, config.path,
                                             ": no io_uring here (errno "sv, image.queue_error(), ")"sv));
  }

  void finished() { core_.finished(transport_); }

  /// The path's last component: the disk's serial number, by which the guest can tell its disks apart.
  static constexpr std::string_view file_name(std::string_view path) {
    std::size_t begin = path.size();
    while (begin != 0 && path[begin - 1] != '/') --begin;
    path.remove_prefix(begin);
    return path;
  }

  static constexpr std::string_view name = "virtio-blk";

  virtio::BlkCore core_;
  virtio::MmioTransport<virtio::BlkCore> transport_;
};

static_assert(Device<VirtioBlk> && HasResources<VirtioBlk> && HasMmio<VirtioBlk> && HasPresence<VirtioBlk> &&
              HasQuiesce<VirtioBlk>);

}  // namespace axvm::inline v1
