#pragma once

#include <cstdint>
#include <string_view>

#include <axvm/device/device.hpp>

namespace axvm::inline v1 {

/// A port whose writing ends the run: how a test guest or a unikernel hands its result to the program that runs it. The
/// idea of QEMU's isa-debug-exit, whose port it has by default; the value is the program's to interpret.
///
///     using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::DebugExit>>;
///     // the guest: outl(code, 0xf4); the program, after the run:
///     if (auto const* exit = machine.device<axvm::DebugExit>(); exit->written()) return exit->value();
///
/// Modelled: a write of any width at any of the four ports stops the machine. The first value stays, also where other
/// processors write before they are stopped. Reads are all-ones.
/// `Port` is the first of its ports.
template <std::uint16_t Port>
class DebugExitAt {
 public:
  static constexpr auto claims = axvm::claims(Pio{.base = Port, .size = 4});
  static constexpr std::string_view config_name = "debugexit";

  struct Config {};

  struct State {
    bool written = false;
    std::uint32_t value = 0;
  };

  DebugExitAt(Config const&, DeviceContext& context) : machine_(context.machine) {}

  void read(PioAccess&) const {}
  void write(PioAccess const& access) {
    if (!state.written) state = {.written = true, .value = access.value};
    machine_(Action::Stop);
  }

  /// Whether the guest has ended the run this way.
  [[nodiscard]] bool written() const { return state.written; }
  /// What it wrote; 0 when it has not.
  [[nodiscard]] std::uint32_t value() const { return state.value; }

  State state;

 private:
  MachineControl machine_;
};

/// At the port where guests expect it.
using DebugExit = DebugExitAt<0xf4>;

static_assert(Device<DebugExit>);
static_assert(HasPio<DebugExit>);

}  // namespace axvm::inline v1
