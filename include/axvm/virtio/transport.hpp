#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/virtio/queue.hpp>

namespace axvm::inline v1::virtio {

/// What every transport counts.
struct TransportCounters {
  Counter exits;            ///< accesses that arrived at the device: exits of a guest to the monitor, for its registers
  Counter requests;         ///< chains shown to the driver as used
  Counter notifications;    ///< times the driver said that a queue has something new
  Counter interrupts;       ///< interrupts asked for, used buffers and configuration changes alike
  Counter malformed_rings;  ///< faults that made the device ask for a reset
};

/// What a core may ask of the transport that carries it. A core learns nothing else of it: not how the driver finds the
/// device, not how it is notified, not how an interrupt travels, not whether there is a status to acknowledge.
template <class T>
concept Transport = requires(T& transport, T const& seen, std::size_t index) {
  // The queue with the index. Not running while the driver has not set it up.
  { transport.queue(index) } -> std::same_as<Queue&>;
  // Shows the driver what was pushed, interrupts it if it wants that, and if the queue has a fault asks for a reset.
  transport.completed(index);
  // Shows the driver what was pushed, of a queue without a fault. True when it wants an interrupt: completed() is to
  // follow, soon, and asks it again.
  { transport.shown(index) } -> std::same_as<bool>;
  // Calls notified() once more, soon, after others had their turn. False when nobody could: go on now.
  { transport.again() } -> std::same_as<bool>;
  // The bytes of config() have changed (after the change). They change only with this, in write_config() and in
  // reset(): a driver may be shown a copy.
  transport.configuration_changed();
  // The features that both sides agreed on; 0 until they have.
  { seen.features() } -> std::same_as<std::uint64_t>;
};

/// The smallest transport: one queue that never runs.
class TransportArchetype {
 public:
  Queue& queue(std::size_t) { return queue_; }
  void completed(std::size_t) {}
  bool shown(std::size_t) { return false; }
  bool again() { return false; }
  void configuration_changed() {}
  [[nodiscard]] std::uint64_t features() const { return 0; }

 private:
  QueueState state_;
  GuestMemory memory_;
  Queue queue_{state_, memory_};
};
static_assert(Transport<TransportArchetype>);

/// A device type without a transport: its features, its configuration space and what it does with its queues.
template <class C>
concept Core = requires {
  // Device type, [virtio/1.2] 5.
  { C::device_type } -> std::convertible_to<std::uint32_t>;
  // std::array with the maximum size of each queue: a power of two, at most Queue::max_size.
  { C::queue_sizes.size() } -> std::convertible_to<std::size_t>;
  requires std::same_as<std::remove_cvref_t<decltype(C::queue_sizes[0])>, std::uint32_t>;
} && requires(C& core, C const& seen, TransportArchetype& transport, std::size_t index) {
  // The features of the device type that it offers; those of queues and transports are not its business.
  { seen.features() } -> std::same_as<std::uint64_t>;
  // The configuration space, all of it, as it is now.
  { seen.config() } -> std::same_as<ConstBytes>;
  // The driver has put something into the queue, or may have.
  core.notified(transport, index);
  // The driver has reset the device: no chain may be touched any more when it returns.
  core.reset();
};

/// A core may say how many of the queues in `queue_sizes`, from the first on, there are in its configuration, at least
/// one; the same as long as it lives. The driver finds no others.
template <class C>
concept HasQueueCount = requires(C const& seen) {
  { seen.queue_count() } -> std::same_as<std::size_t>;
};

/// A core may let the driver write its configuration space: bytes as the driver wrote them, all of them within
/// config(), in pieces of any size and alignment that fit it. The core takes what its device type lets a driver write,
/// if it makes sense, and ignores everything else. A transport drops the writes to a core without this, and those to a
/// device that waits for a reset.
template <class C>
concept HasWritableConfig =
    requires(C& core, std::size_t offset, ConstBytes bytes) { core.write_config(offset, bytes); };

/// A core may have something under way beyond its call: requests of a disk that another thread, or the kernel, carries
/// out. It brings all of it to an end before this returns, and answers it: no chain may be touched afterwards. A
/// transport calls it before it takes a queue away; before a reset it does not, there is nobody left to answer.
template <class C>
concept HasQuiescence = requires(C& core, TransportArchetype& transport) { core.quiesce(transport); };

/// How many queues a core has.
template <class C>
constexpr std::size_t queue_count_of([[maybe_unused]] C const& core) {
  constexpr std::size_t most = C::queue_sizes.size();
  if constexpr (HasQueueCount<C>) return core.queue_count() < most ? core.queue_count() : most;
  else return most;
}

/// Whether the sizes are what a Core must give.
template <std::size_t Count>
constexpr bool are_queue_sizes(std::array<std::uint32_t, Count> const& sizes) {
  for (std::uint32_t size : sizes)
    if (!is_power_of_two(size) || size > Queue::max_size) return false;
  return Count != 0;
}

/// The smallest core: one queue, in which it leaves everything.
struct CoreArchetype {
  static constexpr std::uint32_t device_type = 0;
  static constexpr std::array<std::uint32_t, 1> queue_sizes = {1};
  [[nodiscard]] std::uint64_t features() const { return 0; }
  [[nodiscard]] ConstBytes config() const { return {}; }
  template <Transport T>
  void notified(T&, std::size_t) {}
  void reset() {}
};
static_assert(Core<CoreArchetype> && are_queue_sizes(CoreArchetype::queue_sizes));

}  // namespace axvm::inline v1::virtio
