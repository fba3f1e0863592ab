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
#include <axvm/virtio/device_status.hpp>
#include <axvm/virtio/mmio_page.hpp>
#include <axvm/virtio/mmio_registers.hpp>
#include <axvm/virtio/mmio_state.hpp>
#include <axvm/virtio/queue.hpp>
#include <axvm/virtio/transport.hpp>

// Virtio over MMIO, [virtio/1.2] 4.2, register layout version 2.
// Modelled: all control registers, the device status state machine of 2.1 and 3.1, feature negotiation with VERSION_1,
//   INDIRECT_DESC and EVENT_IDX, split virtqueues, doorbells, the interrupt line (edge-triggered, not shared).
// Left out: the legacy layout (version 1), packed rings, QueueReset (VIRTIO_F_RING_RESET is not offered, the register
//   reads 0), shared memory regions (every length and base reads all-ones).
// Departs from 4.2.2: InterruptStatus says that a buffer was used from DRIVER_OK to the reset, unless its exact meaning
//   is asked for (see MmioTransport).
// Ignored: writes to control registers that are not 32 bits wide and aligned, writes to read-only registers and to the
//   configuration space of a core that has no writable one, reserved bits of every register, writes to a queue's
//   registers while it is ready, everything but a reset once the device has DEVICE_NEEDS_RESET or FAILED.
// Reads of any width and alignment give the window's bytes as memory would, little-endian; write-only and unassigned
//   registers and what lies behind the configuration space are all-ones. (4.2.2.2 has drivers read control registers by
//   32 bits only.)

namespace axvm::inline v1::virtio {

/// What a device's settings say of its `exact_interrupt_status`.
inline constexpr std::string_view exact_interrupt_status_help =
    "InterruptStatus exactly as specified, at the price of an exit for each interrupt";

/// Carries a core over MMIO registers. A device owns a core, a state and this, and hands its accesses on. Everything is
/// called under the device's lock.
///
/// **Reads** are the guest's alone where the hypervisor has register pages: the page is kept equal to what read()
/// gives, and a write is answered there before the processor that wrote goes on. A change of the configuration space
/// comes in one stroke with its generation, so that a driver which reads the generation, the fields and the generation
/// again never accepts a mixture.
///
/// **Interrupts** are one edge for each that the driver wants. None is lost: whatever an edge speaks of is in memory
/// and in the registers before it is made; an edge that arrives while the handler runs makes it run again; and a
/// handler looks at the used ring after it has acknowledged. So it does not matter whether an acknowledgement of used
/// buffers comes before or after the next one is used, and there is nothing for a device to do about it:
/// InterruptStatus says that a buffer was used all the time from DRIVER_OK to the reset, which costs a handler one more
/// look at the ring when only the configuration has changed, and writing just that bit to InterruptACK does not leave
/// the kernel. A configuration change is kept count of and its acknowledgement, whatever other bits it has, arrives
/// here: a driver that acknowledges one reads the configuration space afterwards, and a change after that makes an edge
/// of its own. Where the hypervisor has no doorbells, or the exact meaning of InterruptStatus is asked for, used
/// buffers are kept count of as well.
template <Core C>
class MmioTransport {
 public:
  static constexpr std::size_t most_queues = C::queue_sizes.size();
  static_assert(are_queue_sizes(C::queue_sizes), "axvm: a queue's size is a power of two, at most 1024");
  using State = MmioState<most_queues>;

  /// What VendorID reads as: "axvm". Nobody assigns these; drivers look only for quirks.
  static constexpr std::uint32_t vendor_id = 0x6d76'7861;
  /// The registers are in the device's first claim, a window of at least MmioPage::size.
  static constexpr std::size_t window = 0;

  /// All but the context must outlive it. `name` is for messages. `exact_interrupt_status` makes InterruptStatus and
  /// InterruptACK what 4.2.2 says, at the price of an exit for each interrupt.
  MmioTransport(C& core, State& state, TransportCounters& counters, std::string_view name, DeviceContext const& context,
                bool exact_interrupt_status = false)
      : core_(core),
        state_(state),
        counters_(counters),
        name_(name),
        memory_(context.memory),
        line_(context.irq()),
        events_(context.events),
        log_(context.log),
        page_(context.register_page(window)),
        queue_count_(queue_count_of(core)) {
    // Without doorbells the writes arrive at write().
    for (std::size_t i = 0; i < queue_count_; ++i) {
      bells_[i] = {this, i};
      (void)context.ring_on(doorbell(MmioRegister::QueueNotify, i), Callback::to<&Bell::ring>(bells_[i]));
    }
    exact_ = exact_interrupt_status || !context.swallow(doorbell(MmioRegister::InterruptACK, interrupt::used_buffer));
    show_all();
  }
  MmioTransport(MmioTransport const&) = delete;
  MmioTransport& operator=(MmioTransport const&) = delete;

  void read(MmioAccess& access) const {
    counters_.exits.add();
    if (access.width == 4 && is_aligned(access.offset, 4)) {
      access.value = word_at(access.offset);
      return;
    }
    access.value = 0;
    for (unsigned i = 0; i < access.width; ++i) {
      const std::uint64_t at = access.offset + i;
      access.value |= std::uint64_t{word_at(at & ~3ull) >> 8 * (at % 4) & 0xff} << 8 * i;
    }
  }

  void write(MmioAccess const& access) {
    counters_.exits.add();
    if (access.offset >= mmio_config_offset) {
      write_config(access);
    } else if (access.width == 4 && is_aligned(access.offset, 4)) {
      set_register(static_cast<MmioRegister>(access.offset), static_cast<std::uint32_t>(access.value));
      show();
    }
  }

  /// To be called after the state was assigned: checks it as if a guest had written it and goes on from there.
  void restored() {
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
    // An interrupt or a notification may have been under way when the state was saved, and of used buffers another kind
    // of machine may have kept no count. One too many does no harm.
    const bool listens = (state_.status & status::DRIVER_OK) != 0;
    state_.interrupt_status &= ~interrupt::used_buffer;
    if (listens && exact_) state_.interrupt_status |= interrupt::used_buffer;
    show_all();
    if (listens) line_.pulse();
    (void)again();
  }

  // What the core sees: the Transport concept.

  Queue& queue(std::size_t index) { return queues_[index]; }

  void completed(std::size_t index) {
    Queue& queue = queues_[index];
    counters_.requests.add(queue.unpublished());
    if (queue.publish() && is_live(state_.status)) {
      if (exact_) keep(interrupt::used_buffer);
      interrupt_driver();
    }
    if (queue.fault() != RingFault::None) needs_reset(queue.fault());
  }

  bool again() {
    return events_.arm(Events::max_timers - 1, events_.now() + 1, Callback::to<&MmioTransport::notify_all>(*this));
  }

  void configuration_changed() {
    ++state_.config_generation;
    const bool listens = is_live(state_.status);
    if (listens) state_.interrupt_status |= interrupt::configuration_change;
    page_.swap_all(end_of_words(), [this](std::uint64_t offset) { return word_at(offset); });
    if (listens) interrupt_driver();
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

  static constexpr DoorbellAddress doorbell(MmioRegister which, std::uint64_t value) {
    return {.window = window, .offset = static_cast<std::uint64_t>(which), .width = 4, .value = value};
  }

  [[nodiscard]] std::uint64_t offered() const {
    return core_.features() | feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX;
  }
  /// A driver must take VERSION_1 from a device with this register layout, and nothing that was not offered.
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

  [[nodiscard]] std::uint32_t register_value(MmioRegister which) const {
    bool has_queue = state_.queue_sel < queue_count_;
    switch (which) {
      case MmioRegister::MagicValue: return mmio_magic;
      case MmioRegister::Version: return 2;
      case MmioRegister::DeviceID: return C::device_type;
      case MmioRegister::VendorID: return vendor_id;
      case MmioRegister::DeviceFeatures: return half(offered(), state_.device_features_sel);
      case MmioRegister::QueueNumMax: return has_queue ? C::queue_sizes[state_.queue_sel] : 0;
      case MmioRegister::QueueReady: return has_queue && state_.queues[state_.queue_sel].ready ? 1 : 0;
      case MmioRegister::QueueReset: return 0;
      case MmioRegister::InterruptStatus:
        return state_.interrupt_status |
               (!exact_ && (state_.status & status::DRIVER_OK) != 0 ? interrupt::used_buffer : 0);
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
    if (state_.queue_sel >= queue_count_ || state_.queues[state_.queue_sel].ready) return;
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
    if (state_.queue_sel >= queue_count_) return;
    QueueState& queue = state_.queues[state_.queue_sel];
    bool ready = (value & 1) != 0;
    if (ready == queue.ready) return;
    if (!ready) {
      if constexpr (HasQuiescence<C>) core_.quiesce(*this);
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
    // Before the first edge: a handler that found nothing in InterruptStatus would not look at the rings.
    show();
    // A driver may have filled its queues before, and notifications were not heeded then.
    notify_all();
  }

  void reset() {
    core_.reset();
    for (Queue& queue : queues_) queue.stop();
    std::uint32_t generation = state_.config_generation;  // a driver that compares across a reset sees no going back
    state_ = State{};
    state_.config_generation = generation;
    show_all();
  }

  void notify(std::size_t index) {
    if (index >= queue_count_) return;
    counters_.notifications.add();
    if (is_live(state_.status) && queues_[index].running()) core_.notified(*this, index);
  }

  void notify_all() {
    for (std::size_t i = 0; i < queue_count_; ++i)
      if (is_live(state_.status) && queues_[i].running()) core_.notified(*this, i);
  }

  void write_config(MmioAccess const& access) {
    if constexpr (HasWritableConfig<C>) {
      const std::uint64_t offset = access.offset - mmio_config_offset;
      if (is_stuck(state_.status) || !range_fits(offset, access.width, core_.config().size())) return;
      core_.write_config(static_cast<std::size_t>(offset), bytes_of(access.value).first(access.width));
      show_all();
    }
  }

  /// Notes what the driver is to acknowledge, where it finds it.
  void keep(std::uint32_t cause) {
    state_.interrupt_status |= cause;
    show();
  }

  /// An edge. What it speaks of is there already.
  void interrupt_driver() {
    counters_.interrupts.add();
    line_.pulse();
  }

  void acknowledge(std::uint32_t causes) { state_.interrupt_status &= ~causes; }

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
    show();
    if (listens) interrupt_driver();
  }

  /// The four bytes at an offset into the window, a multiple of 4, as the guest reads them.
  [[nodiscard]] std::uint32_t word_at(std::uint64_t offset) const {
    if (offset < mmio_config_offset) return register_value(static_cast<MmioRegister>(offset));
    std::uint32_t word = 0xffff'ffff;
    const ConstBytes config = core_.config();
    offset -= mmio_config_offset;
    if (offset >= config.size()) return word;
    const std::uint64_t left = config.size() - offset;
    std::memcpy(&word, config.data() + offset, left < sizeof word ? left : sizeof word);
    return word;
  }

  [[nodiscard]] std::uint64_t end_of_words() const { return mmio_config_offset + core_.config().size(); }

  // Brings what the guest reads by itself into step.
  void show() const {
    page_.show_registers([this](std::uint64_t offset) { return word_at(offset); });
  }
  void show_all() const {
    page_.show_all(end_of_words(), [this](std::uint64_t offset) { return word_at(offset); });
  }

  template <std::size_t... Index>
  static std::array<Queue, most_queues> make_queues(State& state, GuestMemory const& memory,
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
  MmioPage page_;
  std::size_t queue_count_;
  bool exact_ = true;  ///< whether used buffers are kept count of
  std::array<Queue, most_queues> queues_ = make_queues(state_, memory_, std::make_index_sequence<most_queues>{});
  std::array<Bell, most_queues> bells_{};
};

static_assert(Transport<MmioTransport<CoreArchetype>>);

}  // namespace axvm::inline v1::virtio
