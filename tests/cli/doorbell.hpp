#pragma once

#include <array>
#include <cstdint>

#include <axvm/axvm.hpp>

/// An invented device that the tests add to xv2_vmm's list: has a setting of every kind.
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

  Doorbell(Config const&, axvm::DeviceContext& context) : irq_(context.irq()) {}
  void read(axvm::MmioAccess& access) { access.value = 0; }
  void write(axvm::MmioAccess const&) { irq_.pulse(); }

 private:
  axvm::IrqLine irq_;
};
