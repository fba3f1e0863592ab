#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// A device's work that a hypervisor may be able to do by itself. A device says `static constexpr Offload offload`; on
/// a backend that can, the machine asks it to and never builds the device's class; on any other the class runs.
enum class Offload : std::uint8_t {
  Pit,  ///< the 8254 interval timer with port 0x61 (KVM_CREATE_PIT2)
};

}  // namespace axvm::inline v1
