#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// A device's work that a hypervisor may be able to do by itself. A device says `static constexpr Offload offload`; on
/// a backend that can, the machine asks it to and never builds the device's class; on any other the class runs.
enum class Offload : std::uint8_t {
  Pit,  ///< the 8254 interval timer with port 0x61
};

/// A hypervisor with local APICs only: `static constexpr bool lacks_io_apic = true`. Its machines have one of their
/// own.
template <class H>
concept LacksIoApic = requires { requires H::lacks_io_apic; };

}  // namespace axvm::inline v1
