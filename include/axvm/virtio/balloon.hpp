#pragma once

#include <cstdint>
#include <string_view>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/balloon_core.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>

// A memory balloon: the virtio memory balloon device, [virtio/1.2] 5.5, on the MMIO transport, 4.2. What is modelled
// and what is left out stands at the head of balloon_core.hpp and of mmio.hpp.

namespace axvm::inline v1 {

/// Gives memory that the guest does not need back to the host: what the host asks for with a size, and, by free page
/// reporting, whatever the guest frees. Absent unless enabled. A machine whose memory is locked, or from a pool of huge
/// pages, cannot be created with it.
class VirtioBalloon {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});
  static constexpr bool discards_memory = true;
  /// Bytes in a page of the balloon, whatever the guest's own are.
  static constexpr std::uint64_t page_size = virtio::BalloonCore::page_size;

  struct Config {
    bool enabled = false;                 ///< whether the guest has a balloon
    std::uint64_t size = 0;               ///< how much of its memory the guest is to give, in bytes
    bool reporting = true;                ///< what the guest frees goes back to the host by itself
    bool deflate_on_oom = true;           ///< the guest may take memory back when it has no other
    bool exact_interrupt_status = false;  ///< for drivers that are stricter than Linux, see virtio::MmioTransport
  };
  /// Help, units and ranges of the settings.
  static constexpr auto fields =
      axvm::fields(field<&Config::enabled>{.help = "whether the guest has a memory balloon"},
                   field<&Config::size>{.help = "how much of its memory the guest gives back through it",
                                        .unit = "bytes",
                                        .min = 0,
                                        .max = 0xffff'ffff * 4096ll,
                                        .multiple_of = page_size},
                   field<&Config::reporting>{.help = "memory that the guest frees goes back to the host"},
                   field<&Config::deflate_on_oom>{.help = "the guest may empty the balloon when it lacks memory"},
                   field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  struct State {
    virtio::RegisterState<virtio::BalloonCore::queue_sizes.size()> transport;
    virtio::BalloonState balloon;
  };

  struct Counters {
    virtio::BalloonCounters balloon;
    virtio::TransportCounters transport;
  };

  /// Whether there is the balloon.
  [[nodiscard]] static bool present(Config const& config) { return config.enabled; }

  VirtioBalloon(Config const& config, DeviceContext& context)
      : state{.transport = {}, .balloon = {.num_pages = pages(config.size)}},
        core_(context.memory, state.balloon, config.reporting, config.deflate_on_oom, counters.balloon),
        transport_(transport(config, context)) {}
  VirtioBalloon(VirtioBalloon const&) = delete;
  VirtioBalloon& operator=(VirtioBalloon const&) = delete;

  [[AXVM_ONCE]] void read(MmioAccess& access) { transport_.read(access); }
  [[AXVM_ONCE]] void write(MmioAccess const& access) { transport_.write(access); }

  /// Asks the guest for so many bytes from now on, less than a page of them ignored; under the device's lock.
  [[AXVM_ONCE]] void resize(std::uint64_t size) {
    state.balloon.num_pages = pages(size);
    core_.changed(transport_);
  }
  /// How many bytes the guest says it has given; under the device's lock.
  [[nodiscard]] std::uint64_t actual() const { return state.balloon.actual * page_size; }

  /// `state` was assigned: checks it and goes on from there.
  [[AXVM_ONCE]] void restored() {
    transport_.restored();
    core_.changed(transport_);
  }

  /// The device's node in the DSDT.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& placement) {
    virtio::describe_mmio(aml, placement);
  }

  State state;
  Counters counters;

 private:
  static constexpr std::uint32_t pages(std::uint64_t size) {
    const std::uint64_t count = size / page_size;
    return count < 0xffff'ffff ? static_cast<std::uint32_t>(count) : 0xffff'ffff;
  }

  static constexpr std::string_view name = "virtio-balloon";

  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::BalloonCore> transport(Config const& config,
                                                                     DeviceContext const& context) {
    return {core_, state.transport, counters.transport, name, context, config.exact_interrupt_status};
  }

  virtio::BalloonCore core_;
  virtio::MmioTransport<virtio::BalloonCore> transport_;
};

static_assert(Device<VirtioBalloon> && HasMmio<VirtioBalloon> && HasPresence<VirtioBalloon>);
static_assert(HasDiscards<VirtioBalloon>);

}  // namespace axvm::inline v1
