#pragma once

#include <array>
#include <utility>
#include <vector>

#include "pci_driver.hpp"
#include "virtio_echo.hpp"

namespace guest {

/// An echo device on PCI, and the guest that drives it.
template <class Core = EchoCore>
struct PciEchoMachineOf : EchoGuest {
  using Transport = virtio::PciTransport<Core>;

  explicit PciEchoMachineOf(bool doorbells = false) : context(connect(doorbells)) {}

  axvm::DeviceContext connect(bool doorbells) {
    axvm::DeviceContext made;
    made.memory = ram.memory;
    made.claims = claims;
    made.events = events.events();
    made.messages = apics.sink();
    made.window_owner = this;
    if (doorbells)
      made.add_doorbell = [](void* self, axvm::DoorbellAddress const& bell, axvm::Callback callback) {
        static_cast<PciEchoMachineOf*>(self)->bells.push_back({bell, callback});
        return true;
      };
    return made;
  }
  /// To DRIVER_OK with both queues and, unless it does without, all vectors.
  bool start(std::uint64_t features = ~0ull, bool vectors = true) {
    small = Ring(ram, 8, 0x8000);
    large = Ring(ram, 1024, 0x1'0000);
    if (!driver.negotiate(features)) return false;
    if (vectors) driver.enable_vectors();
    if (!driver.enable_queue(0, small) || !driver.enable_queue(1, large)) return false;
    driver.add_status(status::DRIVER_OK);
    return (driver.status_bits() & status::DRIVER_OK) != 0;
  }

  static constexpr std::array<axvm::Claim, 4> claims{
      axvm::Claim{axvm::ClaimKind::Mmio, "function", 0xe000'8000, 0x1000, axvm::Trigger::Edge},
      axvm::Claim{axvm::ClaimKind::Mmio, "bar", 0xd000'4000, 0x4000, axvm::Trigger::Edge},
      axvm::Claim{axvm::ClaimKind::Pio, "doorbell", 0xc010, 4, axvm::Trigger::Edge},
      axvm::Claim{axvm::ClaimKind::Msi, "", axvm::floating, 3, axvm::Trigger::Edge}};

  fakes::EventLoop events;
  fakes::MessageRecorder apics;
  std::vector<std::pair<axvm::DoorbellAddress, axvm::Callback>> bells;
  axvm::DeviceContext context;
  Core core;
  typename Transport::State state;
  virtio::TransportCounters counters;
  Transport device{core, state, counters, "echo", 0x07'8000, context};
  PciDriver<Transport> driver{device};
};
using PciEchoMachine = PciEchoMachineOf<>;

using Sent = std::vector<axvm::Message>;
/// The message of a vector that PciDriver has set up.
inline axvm::Message message(std::uint32_t n) { return PciDriver<PciEchoMachine::Transport>::message(n); }

}  // namespace guest
