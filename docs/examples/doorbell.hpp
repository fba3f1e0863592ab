#pragma once

#include <axvm/axvm.hpp>

/// A doorbell with a counter. A guest rings it by writing at offset 0 and reads there how often it rang; every ring is
/// an interrupt.
class Bell {
 public:
  static constexpr auto claims = axvm::claims(axvm::Mmio{.size = 0x1000}, axvm::Irq{});

  struct Config {
    std::uint32_t initial = 0;  ///< where the counter starts
  };

  struct State {
    std::uint32_t rings = 0;
  };

  Bell(Config const& config, axvm::DeviceContext& context) : state{.rings = config.initial}, irq_(context.irq()) {}

  void read(axvm::MmioAccess& access) const {
    if (access.offset == 0) access.value = state.rings;  // what is not set reads all-ones
  }
  void write(axvm::MmioAccess const& access) {
    if (access.offset != 0) return;
    ++state.rings;
    irq_.pulse();
  }

  State state;

 private:
  axvm::IrqLine irq_;
};

static_assert(axvm::Device<Bell> && axvm::HasMmio<Bell>);
