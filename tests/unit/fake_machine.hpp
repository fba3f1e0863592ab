#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

/// What tests of whole machines on the scripted hypervisor share.
namespace on_fake {

/// Calls the test back in the middle of a run; has no State.
struct Poke {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x80, .size = 1});
  struct Config {
    axvm::Callback callback{};
  };
  Poke(Config const& config, axvm::DeviceContext&) : callback_(config.callback) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) { callback_(); }

 private:
  axvm::Callback callback_;
};

/// A machine that is loaded.
template <class M>
M make(axvm::fake::Fake const& hypervisor, typename M::Config const& config = {.memory = 2 * axvm::MiB}) {
  auto machine = M::create(config, axvm::Host{}, hypervisor);
  REQUIRE(machine);
  static constexpr std::uint8_t halt[] = {0xf4};
  REQUIRE(machine->load(axvm::FlatCode{halt}));
  return std::move(*machine);
}

}  // namespace on_fake
