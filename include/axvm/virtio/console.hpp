#pragma once

#include <string_view>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/console_core.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>

// A console: the virtio console device, [virtio/1.2] 5.3, on the MMIO transport, 4.2. What is modelled and what is left
// out stands at the head of console_core.hpp and of mmio.hpp.

namespace axvm::inline v1 {

/// A console for the guest (/dev/hvc0, /dev/hvc1, ... under Linux, in the order of the machine's list) on a terminal, a
/// pseudo-terminal or a socket of the host. Absent without a port.
class VirtioConsole {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});

  struct Config {
    Path port;                            ///< "stdio", "pty:PATH" or "unix:PATH"; none: there is no such console
    bool exact_interrupt_status = false;  ///< for drivers that are stricter than Linux, see virtio::MmioTransport
  };
  /// Help of the settings.
  static constexpr auto fields = axvm::fields(
      field<&Config::port>{.help = "console hvcN on stdio, pty:PATH (link to a pseudo-terminal) or unix:PATH (socket)"},
      field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  /// What stays open across resets.
  struct Resources {
    CharacterConnection connection;
  };

  struct State {
    virtio::RegisterState<virtio::ConsoleCore::queue_sizes.size()> transport;
    virtio::ConsoleBuffers buffers;
  };

  struct Counters {
    virtio::ConsoleCounters console;
    virtio::TransportCounters transport;
  };

  /// Whether there is the console.
  [[nodiscard]] static bool present(Config const& config) { return !config.port.empty(); }

  /// Connects it. Errors are the host's and name the port.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Config const& config,
                                                         HostWith<HostPart::Characters> const& host) {
    Result<CharacterConnection> connection = host.characters(config.port);
    if (!connection) return std::unexpected(connection.error());
    return Resources{*std::move(connection)};
  }

  VirtioConsole(Config const& config, Resources& resources, DeviceContext& context)
      : core_(core(resources, context)), transport_(transport(config, context)) {}
  VirtioConsole(VirtioConsole const&) = delete;
  VirtioConsole& operator=(VirtioConsole const&) = delete;
  /// What the guest wrote last is not lost when the machine ends: a reader that is slow gets up to a second for it.
  ~VirtioConsole() { core_.finish(); }

  [[AXVM_ONCE]] void read(MmioAccess& access) { transport_.read(access); }
  [[AXVM_ONCE]] void write(MmioAccess const& access) { transport_.write(access); }

  /// The terminal may have another size now: the guest hears of it. For the program, which alone hears of its
  /// terminal's changes; under the device's lock.
  [[AXVM_ONCE]] void terminal_resized() { core_.resized(transport_); }

  /// `state` was assigned: checks it and goes on from there.
  [[AXVM_ONCE]] void restored() {
    transport_.restored();
    core_.restored(transport_);
  }

  /// The device's node in the DSDT.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& placement) {
    virtio::describe_mmio(aml, placement);
  }

  State state;
  Counters counters;

 private:
  static constexpr std::string_view name = "virtio-console";

  [[AXVM_ONCE]] void attend() { core_.attend(transport_); }
  [[AXVM_ONCE]] void give_up() { core_.give_up(transport_); }

  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::ConsoleCore core(Resources& resources, DeviceContext& context) {
    return {resources.connection,
            state.buffers,
            context.events,
            {Callback::to<&VirtioConsole::attend>(*this), Callback::to<&VirtioConsole::give_up>(*this)},
            counters.console};
  }
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::ConsoleCore> transport(Config const& config,
                                                                     DeviceContext const& context) {
    return {core_, state.transport, counters.transport, name, context, config.exact_interrupt_status};
  }

  virtio::ConsoleCore core_;
  virtio::MmioTransport<virtio::ConsoleCore> transport_;
};

static_assert(Device<VirtioConsole> && HasResources<VirtioConsole> && HasMmio<VirtioConsole> &&
              HasPresence<VirtioConsole>);

}  // namespace axvm::inline v1
