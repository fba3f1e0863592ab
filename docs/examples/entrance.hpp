#pragma once

#include <axvm/axvm.hpp>

/// A doorbell beside a brass plate: everything a device may have. Writing 1 to the button rings; reading it gives the
/// number of rings. The plate is a file of the host that the guest reads byte by byte; writing starts over.
class Entrance {
 public:
  static constexpr auto claims =
      axvm::claims(axvm::Mmio<"button">{.size = 0x1000}, axvm::Pio<"plate">{.size = 1}, axvm::Irq{});

  struct Config {
    axvm::Path plate;  ///< the file with the text; without one there is no entrance
  };

  struct Resources {
    axvm::BlockImage plate;
  };

  struct State {
    std::uint32_t rings = 0;
    std::uint64_t next = 0;  ///< the byte of the plate that is read next
  };

  static bool present(Config const& config) { return !config.plate.empty(); }

  static axvm::Result<Resources> open(Config const& config, axvm::HostWith<axvm::HostPart::Images> const& host) {
    auto plate = host.image(config.plate, {.read_only = true});
    if (!plate) return std::unexpected(plate.error());
    if (plate->size() == 0)
      return axvm::failure(axvm::ErrorCode::BadImage,
                           axvm::text<1023>("read the plate ", config.plate, ": it is empty"),
                           "write a text into the file");
    return Resources{std::move(*plate)};
  }

  Entrance(Config const&, Resources& resources, axvm::DeviceContext& context)
      : plate_(resources.plate), irq_(context.irq()) {
    in_kernel_ =
        context.ring_on({.window = 0, .offset = 0, .width = 4, .value = 1}, axvm::Callback::to<&Entrance::ring>(*this));
  }

  void read(axvm::In<"button">, axvm::MmioAccess& access) const { access.value = state.rings; }
  void write(axvm::In<"button">, axvm::MmioAccess const& access) {
    if (access.value == 1) ring();  // never reached for this value where the hypervisor has doorbells
  }

  void read(axvm::In<"plate">, axvm::PioAccess& access) {
    std::byte byte{};
    const axvm::Segment segment{&byte, 1};
    if (state.next >= plate_.size() || plate_.read(state.next, {&segment, 1}) != 0) return;
    access.value = std::to_integer<std::uint8_t>(byte);
    ++state.next;
  }
  void write(axvm::In<"plate">, axvm::PioAccess const&) { state.next = 0; }

  static void describe_acpi(axvm::acpi::Aml& aml, axvm::Placement const& place) {
    using axvm::ClaimKind;
    aml.device(axvm::acpi::device_name("BEL", place.instance), [&] {
      aml.name("_HID", "AXVM0001");
      aml.name("_UID", place.instance);
      aml.name("_CRS", axvm::acpi::ResourceTemplate{}
                           .memory32_fixed(place.find(ClaimKind::Mmio).base, place.find(ClaimKind::Mmio).size)
                           .io(place.find(ClaimKind::Pio).base, 1)
                           .interrupt(place.find(ClaimKind::Irq).base));
    });
  }

  /// Whether rings come without an exit to the monitor.
  [[nodiscard]] bool in_kernel() const { return in_kernel_; }

  State state;

 private:
  void ring() {
    ++state.rings;
    irq_.pulse();
  }

  axvm::BlockImage& plate_;
  axvm::IrqLine irq_;
  bool in_kernel_ = false;
};

static_assert(axvm::Device<Entrance> && axvm::HasResources<Entrance> && axvm::HasPresence<Entrance>);
