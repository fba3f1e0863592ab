#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/exit.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/log.hpp>
#include <axvm/device/claims.hpp>
#include <axvm/device/events.hpp>
#include <axvm/device/irq_line.hpp>
#include <axvm/device/message.hpp>
#include <axvm/device/register_page.hpp>

namespace axvm::inline v1 {

/// A guest write that the hypervisor turns into a callback without leaving the kernel on the vCPU's side.
struct DoorbellAddress {
  std::size_t window = 0;    ///< index of the claim among the device's claims
  std::uint64_t offset = 0;  ///< within the window
  std::uint8_t width = 4;    ///< bytes
  std::uint64_t value = 0;   ///< only this value rings
};

/// How a device asks the whole machine for something.
struct MachineControl {
  void* self = nullptr;
  void (*request)(void* self, Action action) = nullptr;

  /// Asks for a stop, a power-off or a reset; takes effect after the access that caused it.
  void operator()(Action action) const {
    if (request != nullptr) request(self, action);
  }
};

/// Everything a device gets to work with. Copy what is needed; all parts are small values that stay valid as long as
/// the device lives. A default-constructed context works: nothing is connected (tests, freestanding images).
struct DeviceContext {
  static constexpr std::size_t max_lines = 4;

  GuestMemory memory;                      ///< guest RAM, checked
  std::span<const Claim> claims;           ///< where the device's claims are, in order; empty without a machine
  std::array<IrqLine, max_lines> lines{};  ///< the device's interrupt claims, in order
  Events events;                           ///< descriptors and timers
  MessageSink messages;                    ///< to the local APICs, of a hypervisor that takes messages
  Log log;
  MachineControl machine;  ///< power-off, reset
  /// Registers doorbells; see ring_on() and swallow(), whose callback is empty. Null when there never are any.
  bool (*add_doorbell)(void* self, DoorbellAddress const& doorbell, Callback callback) = nullptr;
  /// Makes a register page; see register_page(). Null when there never are any.
  RegisterPage (*add_register_page)(void* self, std::size_t window) = nullptr;
  void* window_owner = nullptr;  ///< the `self` of both

  /// The device's first (mostly only) interrupt line, or the one with the index.
  [[nodiscard]] IrqLine irq(std::size_t index = 0) const { return lines[index]; }

  /// Turns a guest's write into a callback, like an event. False when the hypervisor cannot: then the write arrives as
  /// an ordinary access.
  [[nodiscard]] bool ring_on(DoorbellAddress const& doorbell, Callback callback) const {
    return add_doorbell != nullptr && add_doorbell(window_owner, doorbell, callback);
  }
  /// Makes nothing of a guest's write: it does not arrive anywhere and costs the guest no exit to the monitor. False
  /// when the hypervisor cannot: then the write arrives as an ordinary access.
  [[nodiscard]] bool swallow(DoorbellAddress const& doorbell) const { return ring_on(doorbell, {}); }
  /// The bytes of a window as the guest reads them without the device; `window` is the index of the claim among the
  /// device's claims. Once for a window, in the constructor. Without a page under it when the hypervisor has none: then
  /// reads arrive as ordinary accesses.
  [[nodiscard]] RegisterPage register_page(std::size_t window) const {
    return add_register_page != nullptr ? add_register_page(window_owner, window) : RegisterPage{};
  }
};

}  // namespace axvm::inline v1
