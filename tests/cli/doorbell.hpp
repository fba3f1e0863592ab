#pragma once

#include <array>
#include <cstdint>

#include <axvm/axvm.hpp>

/// An invented device that the tests add to xv2_vmm's list: has a setting of every kind, a node in the DSDT, and a
/// state. A guest rings it by writing at offset 0 and reads there how often it rang.
class Doorbell {
 public:
  static constexpr auto claims = axvm::claims(axvm::Mmio{.size = 0x1000}, axvm::Irq{});

  enum class Tone : std::uint8_t { ding, dong, buzz };
  struct Echo {
    std::uint32_t delay = 20;
    bool enabled = false;
  };
  struct Config {
    int volume = 5;
    Tone tone = Tone::dong;
    std::uint64_t buffer = 64 * axvm::KiB;
    std::uint64_t serial = ~0ull;
    axvm::Text<40> label = "front \"door\"";
    std::array<std::int16_t, 3> notes{60, -1, 67};
    Echo echo;
  };
  static constexpr auto fields =
      axvm::fields(axvm::field<&Config::volume>{.help = "how loud", .unit = "dB", .alias = 'b', .min = -10, .max = 10},
                   axvm::field<&Config::buffer>{.help = "recording buffer", .unit = "bytes", .min = 4096});

  struct State {
    std::uint32_t rings = 0;
    Tone tone = Tone::dong;        ///< of the last ring
    std::uint64_t last_value = 0;  ///< what was written to ring it
  };

  Doorbell(Config const& config, axvm::DeviceContext& context) : tone_(config.tone), irq_(context.irq()) {}

  void read(axvm::MmioAccess& access) const {
    if (access.offset == 0) access.value = state.rings;
  }
  void write(axvm::MmioAccess const& access) {
    if (access.offset != 0) return;
    ++state.rings;
    state.tone = tone_;
    state.last_value = access.value;
    irq_.pulse();
  }

  static void describe_acpi(axvm::acpi::Aml& aml, axvm::Placement const& place) {
    axvm::Claim const& window = place.find(axvm::ClaimKind::Mmio);
    axvm::Claim const& line = place.find(axvm::ClaimKind::Irq);
    aml.device(axvm::acpi::device_name("BEL", place.instance), [&] {
      aml.name("_HID", "AXVM0B31");
      aml.name("_UID", place.instance);
      aml.name("_CRS", axvm::acpi::ResourceTemplate{}.memory32_fixed(window.base, window.size).interrupt(line.base));
    });
  }

  State state;

 private:
  Tone tone_;
  axvm::IrqLine irq_;
};

static_assert(axvm::Device<Doorbell> && axvm::HasMmio<Doorbell> && axvm::HasAcpi<Doorbell>);
