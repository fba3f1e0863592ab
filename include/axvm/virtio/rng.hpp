#pragma once

#include <string_view>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>
#include <axvm/virtio/rng_core.hpp>

// A source of random numbers: the virtio entropy device, [virtio/1.2] 5.4, on the MMIO transport, 4.2. What is modelled
// and what is left out stands at the head of rng_core.hpp and of mmio.hpp.

namespace axvm::inline v1 {

/// Random numbers of the host for the guest (/dev/hwrng under Linux, which stirs them into its own).
class VirtioRng {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});

  struct Config {
    bool enabled = true;                  ///< false: the guest has no such device
    bool exact_interrupt_status = false;  ///< for drivers that are stricter than Linux, see virtio::MmioTransport
  };
  /// Help of the settings.
  static constexpr auto fields =
      axvm::fields(field<&Config::enabled>{.help = "whether the guest gets random numbers of the host (/dev/hwrng)"},
                   field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  /// What stays open across resets.
  struct Resources {
    EntropySource source;
  };

  using State = virtio::RegisterState<virtio::RngCore::queue_sizes.size()>;

  struct Counters {
    virtio::RngCounters entropy;
    virtio::TransportCounters transport;
  };

  /// Whether there is the device.
  [[nodiscard]] static bool present(Config const& config) { return config.enabled; }

  /// Finds the host's random numbers. Errors are the host's.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Config const&, HostWith<HostPart::Entropy> const& host) {
    Result<EntropySource> source = host.entropy();
    if (!source) return std::unexpected(source.error());
    return Resources{*source};
  }

  VirtioRng(Config const& config, Resources& resources, DeviceContext& context)
      : core_(resources.source, counters.entropy), transport_(transport(config, context)) {}

  [[AXVM_ONCE]] void read(MmioAccess& access) { transport_.read(access); }
  [[AXVM_ONCE]] void write(MmioAccess const& access) { transport_.write(access); }

  /// `state` was assigned: checks it and goes on from there; the queue is looked at again once the machine runs.
  [[AXVM_ONCE]] void restored() { transport_.restored(); }

  /// The device's node in the DSDT.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& placement) {
    virtio::describe_mmio(aml, placement);
  }

  State state;
  Counters counters;

 private:
  static constexpr std::string_view name = "virtio-rng";

  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::RngCore> transport(Config const& config, DeviceContext const& context) {
    return {core_, state, counters.transport, name, context, config.exact_interrupt_status};
  }

  virtio::RngCore core_;
  virtio::MmioTransport<virtio::RngCore> transport_;
};

static_assert(Device<VirtioRng> && HasResources<VirtioRng> && HasMmio<VirtioRng> && HasPresence<VirtioRng>);

}  // namespace axvm::inline v1
