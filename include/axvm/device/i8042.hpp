#pragma once

#include <cstdint>

#include <axvm/device/device.hpp>

namespace axvm::inline v1 {

/// What a PC without a keyboard still needs of the keyboard controller: the ports 0x60 and 0x64, and the reset line
/// ([ibm/at] "Keyboard Controller", commands written to port 0x64).
///
/// Modelled: the commands 0xf0 to 0xff with bit 0 clear (0xfe above all), which pulse the processor's reset line. The
/// status register reads zero: no output, and the input buffer is never full, so that nobody waits before a command.
/// Left out: everything else, so that nothing answers a probe; the FADT says that there is no 8042. Data reads zero.
/// Ignored: all other commands and all data written.
class I8042 {
 public:
  static constexpr auto claims =
      axvm::claims(Pio<"data">{.base = 0x60, .size = 1}, Pio<"command">{.base = 0x64, .size = 1});
  /// Has no state to lock.
  static constexpr bool concurrent = true;

  struct Config {};

  /// The command that resets the processor: pulses bit 0 of the output port.
  static constexpr std::uint8_t PULSE_RESET = 0xfe;

  I8042(Config const&, DeviceContext& context) : machine_(context.machine) {}

  void read(In<"data">, PioAccess& access) const { access.value = 0; }
  void write(In<"data">, PioAccess const&) const {}

  void read(In<"command">, PioAccess& access) const { access.value = 0; }
  void write(In<"command">, PioAccess const& access) const {
    if ((access.value & 0xf1) == 0xf0) machine_(Action::Reset);
  }

 private:
  MachineControl machine_;
};

static_assert(Device<I8042>);
static_assert(HasPio<I8042, In<"data">> && HasPio<I8042, In<"command">>);

}  // namespace axvm::inline v1
