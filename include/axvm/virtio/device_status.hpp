#pragma once

#include <cstdint>

#include <axvm/virtio/bits.hpp>

namespace axvm::inline v1::virtio {

/// Whether only a reset gets the device going again.
constexpr bool is_stuck(std::uint32_t device_status) {
  return (device_status & (status::DEVICE_NEEDS_RESET | status::FAILED)) != 0;
}
/// Whether the device may use its queues and interrupt the driver.
constexpr bool is_live(std::uint32_t device_status) {
  return (device_status & status::DRIVER_OK) != 0 && !is_stuck(device_status);
}

/// What the device status field becomes when a driver writes `written`, which is not 0: that resets the device.
/// Bits are set in order and cleared only all together ([virtio/1.2] 2.1.1, 3.1.1). A write that would clear one is
/// ignored; a bit whose forerunner is missing stays clear, and so does FEATURES_OK unless the features are
/// `acceptable`.
constexpr std::uint32_t next_status(std::uint32_t now, std::uint32_t written, bool acceptable) {
  constexpr std::uint32_t driver_bits =
      status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK | status::FAILED;
  if ((written & status::FAILED) != 0) return now | status::FAILED;
  if (is_stuck(now) || (now & driver_bits & ~written) != 0) return now;
  if ((written & status::ACKNOWLEDGE) != 0) now |= status::ACKNOWLEDGE;
  if ((written & status::DRIVER) != 0 && (now & status::ACKNOWLEDGE) != 0) now |= status::DRIVER;
  if ((written & status::FEATURES_OK) != 0 && (now & status::DRIVER) != 0 && acceptable) now |= status::FEATURES_OK;
  if ((written & status::DRIVER_OK) != 0 && (now & status::FEATURES_OK) != 0) now |= status::DRIVER_OK;
  return now;
}
static_assert(next_status(0, status::DRIVER, true) == 0 && next_status(3, 0xb, false) == 3);
static_assert(next_status(0xb, 0xf, true) == 0xf && next_status(0xf, 3, true) == 0xf);

}  // namespace axvm::inline v1::virtio
