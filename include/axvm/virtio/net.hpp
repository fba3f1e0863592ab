#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <axvm/core/field.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>
#include <axvm/virtio/net_core.hpp>

// A network interface: the virtio network device, [virtio/1.2] 5.1, on the MMIO transport, 4.2. What is modelled and
// what is left out stands at the head of net_core.hpp and of mmio.hpp.

namespace axvm::inline v1 {

/// Reads "52:54:00:12:34:56", the address of one interface (not of a group). Nothing for anything else.
constexpr std::optional<std::array<std::uint8_t, 6>> parse_mac(std::string_view text) {
  std::array<std::uint8_t, 6> mac{};
  if (text.size() != 17) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i % 3 == 2) {
      if (c != ':') return std::nullopt;
      continue;
    }
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    mac[i / 3] = static_cast<std::uint8_t>(mac[i / 3] << 4 | digit);
  }
  if ((mac[0] & 1) != 0 || mac == std::array<std::uint8_t, 6>{}) return std::nullopt;
  return mac;
}
static_assert(parse_mac("52:54:00:12:34:fE")->at(5) == 0xfe && !parse_mac("53:54:00:12:34:56") && !parse_mac(""));

/// A network interface for the guest (eth0, ...) on a TAP interface of the host. Absent without one.
class VirtioNet {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});

  struct Config {
    Text<15> tap;                         ///< the host's interface; none: there is no such device
    Text<17> mac;                         ///< the guest's address; none: made of the interface's name
    std::uint16_t tx_usecs = 1000;        ///< microseconds that an interrupt for sent frames waits at most
    bool exact_interrupt_status = false;  ///< for drivers that are stricter than Linux, see virtio::MmioTransport
  };
  /// Help of the settings.
  static constexpr auto fields =
      axvm::fields(field<&Config::tap>{.help = "TAP interface of the host; none: no such network interface"},
                   field<&Config::mac>{.help = "the guest's address, 52:54:00:12:34:56; none: made of the TAP's name"},
                   field<&Config::tx_usecs>{
                       .help = "an interrupt for sent frames waits at most so long for further ones; 0: not at all",
                       .unit = "us",
                       .max = 10'000},
                   field<&Config::exact_interrupt_status>{.help = virtio::exact_interrupt_status_help});

  /// What stays open across resets.
  struct Resources {
    FramePort port;
    std::array<std::uint8_t, 6> mac{};
  };

  struct State {
    virtio::RegisterState<virtio::NetCore::queue_sizes.size()> transport;
    std::uint16_t held = 0;  ///< chains taken ahead of frames
  };

  struct Counters {
    virtio::NetCounters net;
    virtio::TransportCounters transport;
  };

  /// Whether there is the interface.
  [[nodiscard]] static bool present(Config const& config) { return !config.tap.empty(); }

  /// Attaches to the TAP. Errors: InvalidArgument for an address that is none; else the host's, which name the TAP.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Config const& config, HostWith<HostPart::Frames> const& host) {
    using namespace std::string_view_literals;
    std::array<std::uint8_t, 6> mac = mac_of(config.tap);
    if (!config.mac.empty() || config.mac.truncated()) {
      const auto given = parse_mac(config.mac);
      if (!given)
        return failure(ErrorCode::InvalidArgument,
                       text<1023>("give the interface on "sv, config.tap, " the address "sv, config.mac),
                       "an address is written 52:54:00:12:34:56, and is not that of a group"sv);
      mac = *given;
    }
    Result<FramePort> port = host.frames(config.tap);
    if (!port) return std::unexpected(port.error());
    return Resources{*std::move(port), mac};
  }

  VirtioNet(Config const& config, Resources& resources, DeviceContext& context)
      : core_(core(config, resources, context)), transport_(transport(config, context)) {}
  VirtioNet(VirtioNet const&) = delete;
  VirtioNet& operator=(VirtioNet const&) = delete;

  [[AXVM_ONCE]] void read(MmioAccess& access) { transport_.read(access); }
  [[AXVM_ONCE]] void write(MmioAccess const& access) {
    transport_.write(access);
    // A queue that the driver has stopped starts anew, and chains taken from it are nobody's.
    if (!receive_queue().ready) core_.forget();
  }

  /// `state` was assigned: checks it and goes on from there. Chains that were taken ahead are taken again.
  [[AXVM_ONCE]] void restored() {
    receive_queue().next_available = virtio::NetCore::rewound(receive_queue().next_available, state.held);
    core_.forget();
    transport_.restored();
  }

  /// The device's node in the DSDT.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& placement) {
    virtio::describe_mmio(aml, placement);
  }

  /// The address of a guest's interface for which none is given: the same for the same TAP at all times.
  [[nodiscard]] static constexpr std::array<std::uint8_t, 6> mac_of(std::string_view tap) {
    std::uint32_t hash = 0x811c'9dc5;
    for (char c : tap) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x0100'0193;
    return {0x52,
            0x54,
            static_cast<std::uint8_t>(hash >> 24),
            static_cast<std::uint8_t>(hash >> 16),
            static_cast<std::uint8_t>(hash >> 8),
            static_cast<std::uint8_t>(hash)};
  }

  State state;
  Counters counters;

 private:
  static constexpr std::string_view name = "virtio-net";

  [[nodiscard]] virtio::QueueState& receive_queue() { return state.transport.queues[virtio::NetCore::receiveq]; }
  [[AXVM_ONCE]] void attend() { core_.attend(transport_); }
  [[AXVM_ONCE]] void tell() { core_.tell(transport_); }

  // What the constructor does, in functions for AXVM_ONCE.
  [[AXVM_ONCE]] virtio::NetCore core(Config const& config, Resources& resources, DeviceContext& context) {
    return {
        resources.port, {.mac = resources.mac, .patience = std::uint64_t{config.tx_usecs} * 1000},        state.held,
        context.events, {Callback::to<&VirtioNet::attend>(*this), Callback::to<&VirtioNet::tell>(*this)}, counters.net};
  }
  [[AXVM_ONCE]] virtio::MmioTransport<virtio::NetCore> transport(Config const& config, DeviceContext const& context) {
    return {core_, state.transport, counters.transport, name, context, config.exact_interrupt_status};
  }

  virtio::NetCore core_;
  virtio::MmioTransport<virtio::NetCore> transport_;
};

static_assert(Device<VirtioNet> && HasResources<VirtioNet> && HasMmio<VirtioNet> && HasPresence<VirtioNet>);

}  // namespace axvm::inline v1
