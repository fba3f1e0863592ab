#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "virtio_driver.hpp"

/// What tests of virtio devices other than disks share: a transport made of nothing, for cores by themselves, and the
/// world around a whole device.
namespace guest {

/// A transport that records: queues that are set up by hand and no registers.
class FakeTransport {
 public:
  struct Line {
    axvm::virtio::QueueState state;
    Ring ring;
    axvm::virtio::Queue queue;
    Line(Ram& ram, std::uint16_t size, std::uint64_t base, std::uint64_t features)
        : state{size, true, base, base + 0x4000, base + 0x5000, 0, 0}, ring(ram, size, base), queue(state, ram.memory) {
      if (queue.start(size, features) != axvm::virtio::RingFault::None) throw "not a ring";
    }
  };
  static constexpr std::uint64_t rings = 0x8000, ring_step = 0x8000;

  /// Queues of `size` entries, each with its ring in memory; of `agreed` only the cores hear.
  FakeTransport(Ram& ram, std::size_t queues, std::uint64_t agreed = ~0ull, std::uint64_t of_queues = 0,
                std::uint16_t size = 16)
      : features_(agreed) {
    for (std::size_t i = 0; i < queues; ++i) lines.emplace_back(ram, size, rings + i * ring_step, of_queues);
    completions.resize(queues);
    interrupts.resize(queues);
  }

  axvm::virtio::Queue& queue(std::size_t index) { return lines.at(index).queue; }
  void completed(std::size_t index) {
    if (lines.at(index).queue.publish()) ++interrupts.at(index);
    ++completions.at(index);
  }
  bool shown(std::size_t index) { return lines.at(index).queue.show(); }
  bool again() {
    ++agains;
    return allow_again;
  }
  void configuration_changed() { ++configuration_changes; }
  [[nodiscard]] std::uint64_t features() const { return features_; }

  Ring& ring(std::size_t index) { return lines.at(index).ring; }
  axvm::virtio::RingFault fault(std::size_t index) { return lines.at(index).queue.fault(); }

  std::deque<Line> lines;
  std::vector<unsigned> completions, interrupts;
  unsigned agains = 0, configuration_changes = 0;
  bool allow_again = true;

 private:
  std::uint64_t features_;
};
static_assert(axvm::virtio::Transport<FakeTransport>);

/// Memory, interrupt line, event loop and log, and a context connected to them.
class World {
 public:
  Ram ram;
  fakes::InterruptRecorder interrupt;
  fakes::EventLoop events;
  std::vector<std::string> log;

  axvm::DeviceContext context() { return connected_context(ram, interrupt, events, log); }
};

/// Brings a device of `queues` queues to DRIVER_OK with all features but EVENT_IDX; its rings of `size` entries are
/// where those of a FakeTransport are.
template <class Device>
std::vector<Ring> start(Driver<Device>& driver, Ram& ram, std::size_t queues, std::uint16_t size = 16,
                        std::uint64_t features = ~feature::EVENT_IDX) {
  std::vector<Ring> rings;
  if (!driver.negotiate(features)) throw "features refused";
  for (std::size_t i = 0; i < queues; ++i) {
    rings.emplace_back(ram, size, FakeTransport::rings + i * FakeTransport::ring_step);
    if (!driver.enable_queue(static_cast<std::uint32_t>(i), rings.back())) throw "queue refused";
  }
  driver.add_status(status::DRIVER_OK);
  if ((driver.in(MmioRegister::Status)&status::DRIVER_OK) == 0) throw "not started";
  return rings;
}

/// Whether the acknowledgement of a used buffer arrives at a device made with this setting, in a machine that could
/// keep it away.
template <class Device, class... Resources>
bool counts_used_buffers(typename Device::Config config, bool exact, Resources&... resources) {
  World world;
  axvm::DeviceContext context = world.context();
  unsigned swallowed = 0;
  context.window_owner = &swallowed;
  context.add_doorbell = [](void* self, axvm::DoorbellAddress const&, axvm::Callback callback) {
    if (callback.call == nullptr) ++*static_cast<unsigned*>(self);
    return true;
  };
  config.exact_interrupt_status = exact;
  const auto device = std::make_unique<Device>(config, resources..., context);
  return swallowed == 0;
}

}  // namespace guest
