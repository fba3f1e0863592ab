#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <axvm/core/bytes.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/access.hpp>
#include <axvm/device/context.hpp>
#include <axvm/virtio/bits.hpp>
#include <axvm/virtio/mmio_registers.hpp>
#include <axvm/virtio/queue.hpp>
#include <axvm/virtio/transport.hpp>

// Virtio over MMIO, [virtio/1.2] 4.2, register layout version 2.
// Modelled: all control registers, the device status state machine of 2.1 and 3.1, feature negotiation with VERSION_1,
//   INDIRECT_DESC and EVENT_IDX, split virtqueues, doorbells, the interrupt line (edge-triggered, not shared).
// Left out: the legacy layout (version 1), packed rings, QueueReset (VIRTIO_F_RING_RESET is not offered, the register
//   reads 0), shared memory regions (every length and base reads all-ones), writable configuration fields.
// Ignored: accesses to control registers that are not 32 bits wide and aligned (reads are all-ones, as those of
//   write-only and unassigned registers are), writes to read-only registers and to the configuration space, reserved
//   bits of every register, writes to a queue's registers while it is ready, everything but a reset once the device has
//   DEVICE_NEEDS_RESET or FAILED.

namespace axvm::inline v1::virtio {

/// The saved registers of a device on MMIO. Plain aggregate.
template <std::size_t Queues>
struct MmioState {
  std::uint32_t status = 0;
  std::uint32_t device_features_sel = 0;
  std::uint32_t driver_features_sel = 0;
  std::uint64_t driver_features = 0;
  std::uint32_t queue_sel = 0;
  std::uint32_t interrupt_status = 0;
  std::uint32_t config_generation = 0;
  std::array<QueueState, Queues> queues{};

  friend constexpr bool operator==(MmioState const&, MmioState const&) = default;
};

/// Carries a core over MMIO registers. A device owns a core, a state and this, and hands its accesses on. Everything is
/// called under the device's lock.
template <Core C>
class MmioTransport {
 public:
  static constexpr std::size_t queue_count = C::queue_sizes.size();
  static_assert(are_queue_sizes(C::queue_sizes), "axvm: a queue's size is a power of two, at most 1024");
  using State = MmioState<queue_count>;

  /// What VendorID reads as: "axvm". Nobody assigns these; drivers look only for quirks.
  static constexpr std::uint32_t vendor_id = 0x6d76'7861;
  /// The doorbells are in the device's first claim, which must be the register window.
  static constexpr std::size_t window = 0;

  /// All but the context must outlive it. `name` is for messages.
  MmioTransport(C& core, State& state, TransportCounters& counters, std::string_view name, DeviceContext const& context)
      : core_(core),
        state_(state),
        counters_(counters),
        name_(name),
        memory_(context.memory),
        line_(context.irq()),
        events_(context.events),
        log_(context.log) {
    for (std::size_t i = 0; i < queue_count; ++i) {
      bells_[i] = {this, i};
      DoorbellAddress doorbell{
          .window = window, .offset = static_cast<std::uint64_t>(MmioRegister::QueueNotify), .width = 4, .value = i};
      // Without doorbells the write arrives at write().
      (void)context.ring_on(doorbell, Callback::to<&Bell::ring>(bells_[i]));
    }
  }
  MmioTransport(MmioTransport const&) = delete;
  MmioTransport& operator=(MmioTransport const&) = delete;

  void read(MmioAccess& access) const {
    access.value = all_ones(access.width);
    if (access.offset >= mmio_config_offset) {
      ConstBytes config = core_.config();
      std::uint64_t offset = access.offset - mmio_config_offset;
      if (offset >= config.size()) return;
      std::uint64_t left = config.size() - offset;
      std::memcpy(&access.value, config.data() + offset, left < access.width ? left : access.width);
    } else if (access.width == 4 && is_aligned(access.offset, 4)) {
      access.value = register_value(static_cast<MmioRegister>(access.offset));
    }
  }

  void write(MmioAccess const& access) {
    if (access.offset < mmio_config_offset && access.width == 4 && is_aligned(access.offset, 4))
      set_register(static_cast<MmioRegister>(access.offset), static_cast<std::uint32_t>(access.value));
  }

  /// To be called after the state was assigned: checks it as if a guest had written it and goes on from there.
  void restored() {
    state_.status &= status::ACKNOWLEDGE | status::DRIVER | status::DRIVER_OK | status::FEATURES_OK |
                     status::DEVICE_NEEDS_RESET | status::FAILED;
    state_.interrupt_status &= interrupt::used_buffer | interrupt::configuration_change;
    for (Queue& queue : queues_) queue.stop();
    if ((state_.status & status::FEATURES_OK) != 0 && !acceptable(state_.driver_features))
      needs_reset(RingFault::BadState);
    for (std::size_t i = 0; i < queue_count; ++i) {
      if (!state_.queues[i].ready) continue;
      if ((state_.status & status::FEATURES_OK) == 0) needs_reset(RingFault::BadState);
      else if (RingFault fault = queues_[i].start(C::queue_sizes[i], features()); fault != RingFault::None)
        needs_reset(fault);
    }
    // An interrupt or a notification may have been under way when the state was saved. One too many does no harm.
    line_.lower();
    line_.set(state_.interrupt_status != 0);
    (void)again();
  }

  // What the core sees: the Transport concept.

  Queue& queue(std::size_t index) { return queues_[index]; }

  void completed(std::size_t index) {
    Queue& queue = queues_[index];
    if (queue.publish() && is_live()) interrupt_driver(interrupt::used_buffer);
    if (queue.fault() != RingFault::None) needs_reset(queue.fault());
  }

  bool again() {
    return events_.arm(Events::max_timers - 1, events_.now() + 1, Callback::to<&MmioTransport::notify_all>(*this));
  }

  void configuration_changed() {
    ++state_.config_generation;
    if (is_live()) interrupt_driver(interrupt::configuration_change);
  }

  [[nodiscard]] std::uint64_t features() const {
    return (state_.status & status::FEATURES_OK) != 0 ? state_.driver_features : 0;
  }

 private:
  struct Bell {
    MmioTransport* transport = nullptr;
    std::size_t index = 0;
    void ring() { transport->notify(index); }
  };

  [[nodiscard]] std::uint64_t offered() const {
    return core_.features() | feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX;
  }
  /// A driver must take VERSION_1 from a device with this register layout, and nothing that was not offered.
  [[nodiscard]] bool acceptable(std::uint64_t features) const {
    return (features & ~offered()) == 0 && (features & feature::VERSION_1) != 0;
  }
  [[nodiscard]] bool is_stuck() const { return (state_.status & (status::DEVICE_NEEDS_RESET | status::FAILED)) != 0; }
  [[nodiscard]] bool is_live() const { return (state_.status & status::DRIVER_OK) != 0 && !is_stuck(); }

  /// 32 of 64 feature bits; `selector` 2 and above have none.
  static constexpr std::uint32_t half(std::uint64_t features, std::uint32_t selector) {
    return selector > 1 ? 0 : static_cast<std::uint32_t>(features >> (32 * selector));
  }
  static constexpr void set_half(std::uint64_t& whole, bool high, std::uint32_t value) {
    whole = high ? (whole & 0xffff'ffff) | std::uint64_t{value} << 32 : (whole & ~0xffff'ffffull) | value;
  }

  [[nodiscard]] std::uint32_t register_value(MmioRegister which) const {
    bool has_queue = state_.queue_sel < queue_count;
    switch (which) {
      case MmioRegister::MagicValue: return mmio_magic;
      case MmioRegister::Version: return 2;
      case MmioRegister::DeviceID: return C::device_type;
      case MmioRegister::VendorID: return vendor_id;
      case MmioRegister::DeviceFeatures: return half(offered(), state_.device_features_sel);
      case MmioRegister::QueueNumMax: return has_queue ? C::queue_sizes[state_.queue_sel] : 0;
      case MmioRegister::QueueReady: return has_queue && state_.queues[state_.queue_sel].ready ? 1 : 0;
      case MmioRegister::QueueReset: return 0;
      case MmioRegister::InterruptStatus: return state_.interrupt_status;
      case MmioRegister::Status: return state_.status;
      case MmioRegister::ConfigGeneration: return state_.config_generation;
      default: return 0xffff'ffff;
    }
  }

  void set_register(MmioRegister which, std::uint32_t value) {
    switch (which) {
      case MmioRegister::Status: return set_status(value);
      case MmioRegister::InterruptACK: return acknowledge(value);
      case MmioRegister::QueueNotify: return notify(value);
      case MmioRegister::QueueSel: state_.queue_sel = value; return;
      case MmioRegister::QueueReady: return set_queue_ready(value);
      case MmioRegister::DeviceFeaturesSel: state_.device_features_sel = value; return;
      case MmioRegister::DriverFeaturesSel: state_.driver_features_sel = value; return;
      case MmioRegister::DriverFeatures:
        // Settled once FEATURES_OK is set (3.1.1).
        if ((state_.status & status::FEATURES_OK) == 0 && state_.driver_features_sel <= 1)
          set_half(state_.driver_features, state_.driver_features_sel == 1, value);
        return;
      default: set_queue_register(which, value);
    }
  }

  void set_queue_register(MmioRegister which, std::uint32_t value) {
    if (state_.queue_sel >= queue_count || state_.queues[state_.queue_sel].ready) return;
    QueueState& queue = state_.queues[state_.queue_sel];
    switch (which) {
      case MmioRegister::QueueNum: queue.size = value; return;
      case MmioRegister::QueueDescLow: return set_half(queue.descriptor_area, false, value);
      case MmioRegister::QueueDescHigh: return set_half(queue.descriptor_area, true, value);
      case MmioRegister::QueueDriverLow: return set_half(queue.driver_area, false, value);
      case MmioRegister::QueueDriverHigh: return set_half(queue.driver_area, true, value);
      case MmioRegister::QueueDeviceLow: return set_half(queue.device_area, false, value);
      case MmioRegister::QueueDeviceHigh: return set_half(queue.device_area, true, value);
      default: return;
    }
  }

  /// A queue that is made ready starts at index 0 of fresh rings; one that is not sound does not become ready.
  void set_queue_ready(std::uint32_t value) {
    if (state_.queue_sel >= queue_count) return;
    QueueState& queue = state_.queues[state_.queue_sel];
    bool ready = (value & 1) != 0;
    if (ready == queue.ready) return;
    if (!ready) {
      queue.ready = false;
      queues_[state_.queue_sel].stop();
      return;
    }
    // Before the features are settled nobody can say what the rings mean.
    if ((state_.status & status::FEATURES_OK) == 0 || is_stuck()) return;
    queue.next_available = queue.used_index = 0;
    RingFault fault = queues_[state_.queue_sel].start(C::queue_sizes[state_.queue_sel], features());
    if (fault != RingFault::None) return needs_reset(fault);
    queue.ready = true;
  }

  /// [virtio/1.2] 2.1.1 and 3.1.1: bits are set in order and cleared only all together. A write that would clear one
  /// is ignored; a bit whose forerunner is missing stays clear, and so does FEATURES_OK for features not to be had.
  void set_status(std::uint32_t value) {
    if (value == 0) return reset();
    constexpr std::uint32_t driver_bits =
        status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK | status::FAILED;
    std::uint32_t now = state_.status;
    if ((value & status::FAILED) != 0) {
      state_.status |= status::FAILED;
      return;
    }
    if (is_stuck() || (now & driver_bits & ~value) != 0) return;
    if ((value & status::ACKNOWLEDGE) != 0) now |= status::ACKNOWLEDGE;
    if ((value & status::DRIVER) != 0 && (now & status::ACKNOWLEDGE) != 0) now |= status::DRIVER;
    if ((value & status::FEATURES_OK) != 0 && (now & status::DRIVER) != 0 && acceptable(state_.driver_features))
      now |= status::FEATURES_OK;
    if ((value & status::DRIVER_OK) != 0 && (now & status::FEATURES_OK) != 0) now |= status::DRIVER_OK;
    bool starts = ((now & ~state_.status) & status::DRIVER_OK) != 0;
    state_.status = now;
    // A driver may have filled its queues before, and notifications were not heeded then.
    if (starts) notify_all();
  }

  void reset() {
    core_.reset();
    for (Queue& queue : queues_) queue.stop();
    std::uint32_t generation = state_.config_generation;  // a driver that compares across a reset sees no going back
    state_ = State{};
    state_.config_generation = generation;
    line_.lower();
  }

  void notify(std::size_t index) {
    if (index >= queue_count) return;
    counters_.notifications.add();
    if (is_live() && queues_[index].running()) core_.notified(*this, index);
  }

  void notify_all() {
    for (std::size_t i = 0; i < queue_count; ++i)
      if (is_live() && queues_[i].running()) core_.notified(*this, i);
  }

  /// The line follows InterruptStatus, but its edges are what arrives: one for the first bit set. Bits set while it is
  /// high are seen by the driver's read, or are still there after its acknowledgement, which then makes a new edge. A
  /// used buffer that arrives between the two is found by the driver, which acknowledges first and looks afterwards.
  void interrupt_driver(std::uint32_t cause) {
    counters_.interrupts.add();
    state_.interrupt_status |= cause;
    line_.raise();
  }

  void acknowledge(std::uint32_t causes) {
    state_.interrupt_status &= ~causes;
    line_.lower();
    if (state_.interrupt_status != 0) line_.raise();
  }

  /// [virtio/1.2] 2.1.2: the driver hears of it as a configuration change, if it is listening.
  void needs_reset(RingFault fault) {
    if (is_stuck()) return;
    bool listens = is_live();
    state_.status |= status::DEVICE_NEEDS_RESET;
    // Only the first is worth a line: a guest can make as many as it likes.
    using namespace std::string_view_literals;
    if (counters_.malformed_rings.value() == 0)
      log_(Severity::Warning,
           text<127>(name_, ": "sv, name_of(fault), "; the device waits for the guest to reset it"sv));
    counters_.malformed_rings.add();
    if (listens) interrupt_driver(interrupt::configuration_change);
  }

  template <std::size_t... Index>
  static std::array<Queue, queue_count> make_queues(State& state, GuestMemory const& memory,
                                                    std::index_sequence<Index...>) {
    return {Queue(state.queues[Index], memory)...};
  }

  C& core_;
  State& state_;
  TransportCounters& counters_;
  std::string_view name_;
  GuestMemory memory_;
  IrqLine line_;
  Events events_;
  Log log_;
  std::array<Queue, queue_count> queues_ = make_queues(state_, memory_, std::make_index_sequence<queue_count>{});
  std::array<Bell, queue_count> bells_{};
};

static_assert(Transport<MmioTransport<CoreArchetype>>);

}  // namespace axvm::inline v1::virtio
