#pragma once

#include <cstdint>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/device/access.hpp>
#include <axvm/device/device.hpp>
#include <axvm/virtio/blk_core.hpp>
#include <axvm/virtio/blk_parts.hpp>
#include <axvm/virtio/pci.hpp>

// A disk: the virtio block device, [virtio/1.2] 5.2, on the PCI transport, 4.1. What is modelled and what is left out
// stands at the head of blk_core.hpp and of pci.hpp.

namespace axvm::inline v1 {

/// A disk for the guest, like VirtioBlk, as a PCI function: an interrupt is a message, which the guest need not
/// acknowledge, so that a request costs it one exit instead of two; finding it costs some hundred when the guest
/// starts. Absent without a path. The guest's kernel must look for PCI: default_linux_cmdline_with_pci.
class VirtioBlkPci {
 public:
  static constexpr auto claims = axvm::claims(PciFunction<"function">{}, Mmio<"bar">{.size = virtio::pci_bar::size},
                                              Pio<"doorbell">{.size = virtio::pci_bar::ports},
                                              Msi{.vectors = virtio::PciTransport<virtio::BlkCore>::vectors});

  struct Config {
    Path path;               ///< the disk image; none: there is no such disk
    bool read_only = false;  ///< the guest may not write, and the image is opened for reading only
    bool direct = false;     ///< the image is read and written past the host's page cache
    unsigned queues = 4;     ///< request queues, 1 to 4; a guest takes one for each of its processors
  };
  /// Help, units and limits of the settings.
  static constexpr auto fields = axvm::fields(
      field<&Config::path>{.help = virtio::BlkParts::path_help, .unit = "file"},
      field<&Config::read_only>{.help = virtio::BlkParts::read_only_help},
      field<&Config::direct>{.help = virtio::BlkParts::direct_help},
      field<&Config::queues>{.help = virtio::BlkParts::queues_help, .min = 1, .max = virtio::BlkCore::max_queues});

  using Resources = virtio::BlkParts::Resources;

  struct State {
    virtio::PciState<virtio::BlkCore::queue_sizes.size()> transport;
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
  VirtioBlkPci(Config const& config, Resources& resources, DeviceContext& context)
      : core_(core(config, resources)), transport_(transport(context)) {
    virtio::BlkParts::start(core_, config.path, resources.image, context, Callback::to<&VirtioBlkPci::finished>(*this));
  }

  [[AXVM_ONCE]] void read(In<"function">, MmioAccess& access) { transport_.read_function(access); }
  [[AXVM_ONCE]] void write(In<"function">, MmioAccess const& access) {
    transport_.write_function(access);
    state.writeback = core_.writeback();
  }
  [[AXVM_ONCE]] void read(In<"bar">, MmioAccess& access) { transport_.read_bar(access); }
  [[AXVM_ONCE]] void write(In<"bar">, MmioAccess const& access) {
    transport_.write_bar(access);
    state.writeback = core_.writeback();
  }
  /// Nothing: a doorbell is written to.
  void read(In<"doorbell">, PioAccess&) {}
  [[AXVM_ONCE]] void write(In<"doorbell">, PioAccess const& access) { transport_.write_doorbell(access); }

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

  State state;
  Counters counters;

 private:
  static constexpr std::uint32_t mass_storage = 0x01'8000;  // [pci/3.0] D: base class 1, other

  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::BlkCore core(Config const& config, Resources& resources) {
    return {resources.image, config.read_only, virtio::BlkParts::file_name(config.path), counters.disk, config.queues};
  }
  [[AXVM_ONCE]] virtio::PciTransport<virtio::BlkCore> transport(DeviceContext const& context) {
    return {core_, state.transport, counters.transport, virtio::BlkParts::name, mass_storage, context};
  }

  void finished() { core_.finished(transport_); }

  virtio::BlkCore core_;
  virtio::PciTransport<virtio::BlkCore> transport_;
};

static_assert(virtio::PciTransport<virtio::BlkCore>::are_claims(VirtioBlkPci::claims));
static_assert(Device<VirtioBlkPci> && HasResources<VirtioBlkPci> && HasPresence<VirtioBlkPci> &&
              HasQuiesce<VirtioBlkPci>);

}  // namespace axvm::inline v1
