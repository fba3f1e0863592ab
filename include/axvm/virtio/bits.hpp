#pragma once

#include <cstdint>

namespace axvm::inline v1::virtio {

/// Bits of the device status field, [virtio/1.2] 2.1.
namespace status {
inline constexpr std::uint32_t ACKNOWLEDGE = 0x01;         ///< driver: it has noticed the device
inline constexpr std::uint32_t DRIVER = 0x02;              ///< driver: it knows how to drive it
inline constexpr std::uint32_t DRIVER_OK = 0x04;           ///< driver: it is set up; the device may work
inline constexpr std::uint32_t FEATURES_OK = 0x08;         ///< driver asks, device keeps it if it agrees
inline constexpr std::uint32_t DEVICE_NEEDS_RESET = 0x40;  ///< device: it has met an error only a reset ends
inline constexpr std::uint32_t FAILED = 0x80;              ///< driver: it has given up
}  // namespace status

/// Feature bits that do not depend on the device type, [virtio/1.2] 6; each as a mask over all 64.
namespace feature {
inline constexpr std::uint64_t INDIRECT_DESC = 1ull << 28;  ///< descriptors may refer to tables of descriptors, 2.7.5.3
inline constexpr std::uint64_t EVENT_IDX = 1ull << 29;  ///< used_event and avail_event fields are valid, 2.7.7, 2.7.10
inline constexpr std::uint64_t VERSION_1 = 1ull << 32;  ///< the device follows virtio 1.0 or later
}  // namespace feature

/// Why a driver is interrupted: bits of InterruptStatus and InterruptACK, [virtio/1.2] 4.2.2, and of the ISR
/// status, 4.1.4.5.
namespace interrupt {
inline constexpr std::uint32_t used_buffer = 1;
inline constexpr std::uint32_t configuration_change = 2;
}  // namespace interrupt

/// Device type identifiers, [virtio/1.2] 5.
namespace device_type {
inline constexpr std::uint32_t network = 1;
inline constexpr std::uint32_t block = 2;
inline constexpr std::uint32_t console = 3;
inline constexpr std::uint32_t entropy = 4;
inline constexpr std::uint32_t memory_ballooning = 5;
inline constexpr std::uint32_t socket = 19;
}  // namespace device_type

}  // namespace axvm::inline v1::virtio
