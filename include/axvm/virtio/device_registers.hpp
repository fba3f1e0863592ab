#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <axvm/core/guest_memory.hpp>
#include <axvm/core/log.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/context.hpp>
#include <axvm/virtio/bits.hpp>
#include <axvm/virtio/device_status.hpp>
#include <axvm/virtio/queue.hpp>
#include <axvm/virtio/register_state.hpp>
#include <axvm/virtio/transport.hpp>

namespace axvm::inline v1::virtio {

/// What the registers of a device do, wherever a transport has them: the device status state machine of [virtio/1.2]
/// 2.1 and 3.1, feature negotiation with VERSION_1, INDIRECT_DESC and EVENT_IDX, split virtqueues. The base of
/// transports; `Self` is one of them, and has, for this class:
///
///     void tell_used(std::size_t index)  // interrupt: a buffer of the queue was used
///     void tell_configuration()          // interrupt: the configuration has changed, or a reset is needed
///     void show()                        // registers have changed, where a driver reads them by itself
///     void show_configuration()          // the configuration space has, and its generation
///     void show_all()                    // everything may have
///     void forget()                      // the driver has reset the device: what the transport has of its own
template <Core C, class Self>
class DeviceRegisters {
 public:
  static constexpr std::size_t most_queues = C::queue_sizes.size();
  static_assert(are_queue_sizes(C::queue_sizes), "axvm: a queue's size is a power of two, at most 1024");

  DeviceRegisters(DeviceRegisters const&) = delete;
  DeviceRegisters& operator=(DeviceRegisters const&) = delete;

  // What the core sees: the Transport concept.

  Queue& queue(std::size_t index) { return queues_[index]; }

  void completed(std::size_t index) {
    Queue& queue = queues_[index];
    counters_.requests.add(queue.unpublished());
    if (queue.publish() && is_live(state_.status)) {
      counters_.interrupts.add();
      self().tell_used(index);
    }
    if (queue.fault() != RingFault::None) needs_reset(queue.fault());
  }

  bool shown(std::size_t index) {
    Queue& queue = queues_[index];
    counters_.requests.add(queue.unpublished());
    return queue.show() && is_live(state_.status);
  }

  bool again() {
    return events_.arm(Events::max_timers - 1, events_.now() + 1, Callback::to<&DeviceRegisters::notify_all>(*this));
  }

  void configuration_changed() {
    ++state_.config_generation;
    const bool listens = is_live(state_.status);
    if (listens) state_.interrupt_status |= interrupt::configuration_change;
    self().show_configuration();
    if (!listens) return;
    counters_.interrupts.add();
    self().tell_configuration();
  }

  [[nodiscard]] std::uint64_t features() const {
    return (state_.status & status::FEATURES_OK) != 0 ? state_.driver_features : 0;
  }

 protected:
  DeviceRegisters(C& core, RegisterState<most_queues>& state, TransportCounters& counters, std::string_view name,
                  DeviceContext const& context)
      : core_(core),
        state_(state),
        counters_(counters),
        name_(name),
        memory_(context.memory),
        events_(context.events),
        log_(context.log),
        queue_count_(queue_count_of(core)) {}
  ~DeviceRegisters() = default;

  [[nodiscard]] std::uint64_t offered() const {
    return core_.features() | feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX;
  }
  /// A driver must take VERSION_1 from a device without the legacy layout, and nothing that was not offered.
  [[nodiscard]] bool acceptable(std::uint64_t features) const {
    return (features & ~offered()) == 0 && (features & feature::VERSION_1) != 0;
  }

  /// 32 of 64 feature bits; `selector` 2 and above have none.
  static constexpr std::uint32_t half(std::uint64_t features, std::uint32_t selector) {
    return selector > 1 ? 0 : static_cast<std::uint32_t>(features >> (32 * selector));
  }
  static constexpr void set_half(std::uint64_t& whole, bool high, std::uint32_t value) {
    whole = high ? (whole & 0xffff'ffff) | std::uint64_t{value} << 32 : (whole & ~0xffff'ffffull) | value;
  }

  [[nodiscard]] std::uint32_t offered_half() const { return half(offered(), state_.device_features_sel); }
  /// Settled once FEATURES_OK is set ([virtio/1.2] 3.1.1).
  void set_driver_features(std::uint32_t value) {
    if ((state_.status & status::FEATURES_OK) == 0 && state_.driver_features_sel <= 1)
      set_half(state_.driver_features, state_.driver_features_sel == 1, value);
  }

  /// Whether the selected queue is there.
  [[nodiscard]] bool has_queue() const { return state_.queue_sel < queue_count_; }
  /// The selected queue, while a driver may set it up; else null.
  [[nodiscard]] QueueState* queue_to_set() {
    if (!has_queue() || state_.queues[state_.queue_sel].ready) return nullptr;
    return &state_.queues[state_.queue_sel];
  }

  /// Makes the selected queue ready, or no longer. One that is made ready starts at index 0 of fresh rings; one that is
  /// not sound does not become ready.
  void set_queue_ready(bool ready) {
    if (!has_queue()) return;
    QueueState& queue = state_.queues[state_.queue_sel];
    if (ready == queue.ready) return;
    if (!ready) {
      if constexpr (HasQuiescence<C>) core_.quiesce(self());
      queue.ready = false;
      queues_[state_.queue_sel].stop();
      return;
    }
    // Before the features are settled nobody can say what the rings mean.
    if ((state_.status & status::FEATURES_OK) == 0 || is_stuck(state_.status)) return;
    queue.next_available = queue.used_index = 0;
    RingFault fault = queues_[state_.queue_sel].start(C::queue_sizes[state_.queue_sel], features());
    if (fault != RingFault::None) return needs_reset(fault);
    queue.ready = true;
  }

  void set_status(std::uint32_t value) {
    if (value == 0) return reset();
    const std::uint32_t before =
        std::exchange(state_.status, next_status(state_.status, value, acceptable(state_.driver_features)));
    if ((state_.status & ~before & status::DRIVER_OK) == 0) return;
    // Before the first interrupt: a handler that found no reason for it would not look at the rings.
    self().show();
    // A driver may have filled its queues before, and notifications were not heeded then.
    notify_all();
  }

  /// Has the driver's notifications, each queue's index written to `address`, come without an exit; where they cannot,
  /// they arrive as accesses, and go to notify().
  void listen(DeviceContext const& context, DoorbellAddress address) {
    for (std::size_t i = 0; i < queue_count_; ++i) {
      bells_[i] = {this, i};
      address.value = i;
      (void)context.ring_on(address, Callback::to<&Bell::ring>(bells_[i]));
    }
  }
  void notify(std::size_t index) {
    if (index >= queue_count_) return;
    counters_.notifications.add();
    if (is_live(state_.status) && queues_[index].running()) core_.notified(self(), index);
  }

  void notify_all() {
    for (std::size_t i = 0; i < queue_count_; ++i)
      if (is_live(state_.status) && queues_[i].running()) core_.notified(self(), i);
  }

  /// Bytes that the driver writes to the configuration space; they need not lie in it.
  void write_configuration(std::uint64_t offset, ConstBytes bytes) {
    if constexpr (HasWritableConfig<C>) {
      if (is_stuck(state_.status) || !range_fits(offset, bytes.size(), core_.config().size())) return;
      core_.write_config(static_cast<std::size_t>(offset), bytes);
      self().show_all();
    }
  }
  /// The four bytes at an offset into the configuration space, all-ones behind its end.
  [[nodiscard]] std::uint32_t configuration_word(std::uint64_t offset) const {
    std::uint32_t word = 0xffff'ffff;
    const ConstBytes config = core_.config();
    if (offset >= config.size()) return word;
    const std::uint64_t left = config.size() - offset;
    std::memcpy(&word, config.data() + offset, left < sizeof word ? left : sizeof word);
    return word;
  }

  /// Bytes of the registers as memory would give them, at any offset and of any width up to 8: of `word_at(offset)`,
  /// which Self has for multiples of 4.
  [[nodiscard]] std::uint64_t bytes_at(std::uint64_t offset, unsigned width) const {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
      const std::uint64_t at = offset + i;
      const std::uint32_t word = static_cast<Self const&>(*this).word_at(at & ~3ull);
      value |= std::uint64_t{word >> 8 * (at % 4) & 0xff} << 8 * i;
    }
    return value;
  }

  /// The state was assigned: checks it as if a guest had written it and starts the queues again. What the transport has
  /// of its own, and what may have been under way, is its own business.
  void restore() {
    state_.status &= status::ACKNOWLEDGE | status::DRIVER | status::DRIVER_OK | status::FEATURES_OK |
                     status::DEVICE_NEEDS_RESET | status::FAILED;
    state_.interrupt_status &= interrupt::used_buffer | interrupt::configuration_change;
    for (Queue& queue : queues_) queue.stop();
    if ((state_.status & status::FEATURES_OK) != 0 && !acceptable(state_.driver_features))
      needs_reset(RingFault::BadState);
    for (std::size_t i = 0; i < most_queues; ++i) {
      if (!state_.queues[i].ready) continue;
      if ((state_.status & status::FEATURES_OK) == 0 || i >= queue_count_) needs_reset(RingFault::BadState);
      else if (RingFault fault = queues_[i].start(C::queue_sizes[i], features()); fault != RingFault::None)
        needs_reset(fault);
    }
  }

  C& core_;
  RegisterState<most_queues>& state_;
  TransportCounters& counters_;
  std::string_view name_;
  GuestMemory memory_;
  Events events_;
  Log log_;
  std::size_t queue_count_;

 private:
  struct Bell {
    DeviceRegisters* device = nullptr;
    std::size_t index = 0;
    void ring() { device->notify(index); }
  };

  [[nodiscard]] Self& self() { return static_cast<Self&>(*this); }

  void reset() {
    core_.reset();
    for (Queue& queue : queues_) queue.stop();
    std::uint32_t generation = state_.config_generation;  // a driver that compares across a reset sees no going back
    state_ = RegisterState<most_queues>{};
    state_.config_generation = generation;
    self().forget();
    self().show_all();
  }

  /// [virtio/1.2] 2.1.2: the driver hears of it as a configuration change, if it is listening.
  void needs_reset(RingFault fault) {
    if (is_stuck(state_.status)) return;
    const bool listens = is_live(state_.status);
    state_.status |= status::DEVICE_NEEDS_RESET;
    // Only the first is worth a line: a guest can make as many as it likes.
    using namespace std::string_view_literals;
    if (counters_.malformed_rings.value() == 0)
      log_(Severity::Warning,
           text<127>(name_, ": "sv, name_of(fault), "; the device waits for the guest to reset it"sv));
    counters_.malformed_rings.add();
    if (listens) state_.interrupt_status |= interrupt::configuration_change;
    self().show();
    if (!listens) return;
    counters_.interrupts.add();
    self().tell_configuration();
  }

  template <std::size_t... Index>
  static std::array<Queue, most_queues> make_queues(RegisterState<most_queues>& state, GuestMemory const& memory,
                                                    std::index_sequence<Index...>) {
    return {Queue(state.queues[Index], memory)...};
  }

  std::array<Queue, most_queues> queues_ = make_queues(state_, memory_, std::make_index_sequence<most_queues>{});
  std::array<Bell, most_queues> bells_{};
};

}  // namespace axvm::inline v1::virtio
