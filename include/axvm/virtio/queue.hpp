#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <axvm/core/guest_memory.hpp>
#include <axvm/virtio/bits.hpp>
#include <axvm/virtio/chain.hpp>
#include <axvm/virtio/ring.hpp>

namespace axvm::inline v1::virtio {

/// What of a virtqueue is saved. Plain aggregate.
struct QueueState {
  std::uint32_t size = 0;             ///< entries, as the driver wrote it
  bool ready = false;                 ///< the driver has set the queue up and it was found sound
  std::uint64_t descriptor_area = 0;  ///< guest-physical addresses, as the driver wrote them
  std::uint64_t driver_area = 0;
  std::uint64_t device_area = 0;
  std::uint16_t next_available = 0;  ///< index of the next available entry to take; counts modulo 2^16
  std::uint16_t used_index = 0;      ///< the used index as last published; counts modulo 2^16

  friend constexpr bool operator==(QueueState const&, QueueState const&) = default;
};

/// A split virtqueue from the device's side, [virtio/1.2] 2.7. It trusts nothing in the rings: addresses are checked
/// when it starts, every field is read once, every chain is bounded by the queue's size, and a head is not taken again
/// before it was handed back. The first fault stops it until it is started anew.
///
/// A device works in rounds: look() or refresh(), then pop() chains and push() them back, in any order and at any time,
/// then publish(), or show() and some time later publish(). Round has the first two in one. Not for several threads at
/// once.
class Queue {
 public:
  static constexpr std::uint32_t max_size = 1024;

  /// A stopped queue over `state` and `memory`, which must outlive it.
  Queue(QueueState& state, GuestMemory const& memory) : state_(&state), memory_(&memory) {}

  /// Checks what the state says of the rings and starts from its indices. `maximum` is a number of entries, at most
  /// max_size; of the features INDIRECT_DESC and EVENT_IDX count. On a fault the queue stays stopped.
  RingFault start(std::uint32_t maximum, std::uint64_t features) {
    stop();
    fault_ = check(maximum);
    if (fault_ != RingFault::None) return fault_;
    layout_ = {state_->size};
    descriptors_ = memory_->at(state_->descriptor_area, layout_.descriptor_area());
    driver_ = memory_->at(state_->driver_area, layout_.driver_area());
    device_ = memory_->at(state_->device_area, layout_.device_area());
    indirect_ = (features & feature::INDIRECT_DESC) != 0;
    event_idx_ = (features & feature::EVENT_IDX) != 0;
    told_index_ = state_->used_index;
    running_ = true;
    return RingFault::None;
  }

  /// Stops it, forgets what is in flight and any fault. Guest memory is not touched.
  void stop() {
    running_ = false;
    fault_ = RingFault::None;
    waiting_ = unpublished_ = 0;
    in_flight_ = {};
    returned_ = {};
    returned_words_ = 0;
  }

  /// Whether chains can be taken.
  [[nodiscard]] bool running() const { return running_ && fault_ == RingFault::None; }
  /// The first fault since it was started.
  [[nodiscard]] RingFault fault() const { return fault_; }
  /// Stops taking chains because of a fault; only the first one counts.
  void fail(RingFault fault) {
    if (fault_ == RingFault::None) fault_ = fault;
    waiting_ = 0;
  }

  /// Entries: a power of two while it runs.
  [[nodiscard]] std::uint32_t size() const { return state_->size; }
  /// How many chains pop() will hand out, by the last look.
  [[nodiscard]] std::uint32_t waiting() const { return waiting_; }

  /// Looks at the available index and returns how many chains pop() will hand out: at most the queue size. The driver
  /// is not asked to notify of what comes after it, so this is for a device that looks once more before it waits.
  std::uint32_t look() {
    if (std::uint16_t index = 0; running()) (void)see(index);
    return waiting_;
  }

  /// Looks at the available index, asks to be notified of whatever comes after it, and returns how many chains pop()
  /// will hand out: at most the queue size. A chain made available later causes a notification, so that none is
  /// forgotten.
  std::uint32_t refresh() {
    if (!running()) return 0;
    // A driver adds to the ring first and then compares with avail_event: once the index stands still over the store
    // and the fence, whoever adds later sees the store. Each turn but the first and the last sees the index move on, so
    // there are at most size + 2 of them.
    for (bool announced = false;; announced = true) {
      const std::uint16_t before = waiting_;
      std::uint16_t index = 0;
      if (!see(index) || !event_idx_ || (announced && waiting_ == before)) break;
      store_relaxed(device_ + layout_.avail_event(), index);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return waiting_;
  }

  /// Takes the next chain of this round. False when there is none, or when it is faulty: see fault().
  [[nodiscard]] bool pop(Chain& chain) {
    if (waiting_ == 0) return false;
    std::uint32_t slot = state_->next_available & (state_->size - 1);
    std::uint16_t head = load_relaxed<std::uint16_t>(driver_ + RingLayout::ring + 2 * std::size_t{slot});
    RingFault fault = collect(chain, head);
    if (fault != RingFault::None) {
      fail(fault);
      return false;
    }
    in_flight_[head / 64] |= bit(head);
    ++state_->next_available;
    --waiting_;
    return true;
  }

  /// Hands a chain back: at least `written` bytes of it were written, from its first writable byte on, and never more
  /// than it has writable ones. The driver sees it after publish(). A head that is not in flight is ignored.
  void push(std::uint16_t head, std::uint32_t written) {
    if (!running_ || head >= state_->size || head / 64 >= in_flight_.size()) return;
    if ((in_flight_[head / 64] & ~returned_[head / 64] & bit(head)) == 0) return;
    auto index = static_cast<std::uint16_t>(state_->used_index + unpublished_);
    std::byte* element = device_ + RingLayout::ring + sizeof(UsedElement) * (index & (state_->size - 1));
    store_relaxed(element + offsetof(UsedElement, id), std::uint32_t{head});
    store_relaxed(element + offsetof(UsedElement, len), written);
    returned_[head / 64] |= bit(head);
    returned_words_ |= static_cast<std::uint16_t>(1u << head / 64);
    ++unpublished_;
  }

  /// How many chains publish() or show() will show.
  [[nodiscard]] std::uint16_t unpublished() const { return unpublished_; }

  /// Shows the driver all that was pushed, at once. True when it wants an interrupt for that ([virtio/1.2] 2.7.7), or
  /// for what show() has shown before.
  [[nodiscard]] bool publish() {
    const bool wanted = show();
    told_index_ = state_->used_index;
    return wanted;
  }

  /// Shows the driver all that was pushed, at once. True when it wants an interrupt, which is put off: publish() has to
  /// follow, with or without anything more, and asks whether the driver still wants it.
  [[nodiscard]] bool show() {
    if (unpublished_ != 0) show_pushed();
    const std::uint16_t index = state_->used_index;
    if (!running_ || index == told_index_) return false;
    bool wanted = false;
    if (event_idx_) {
      const auto used_event = load_relaxed<std::uint16_t>(driver_ + layout_.used_event());
      wanted = static_cast<std::uint16_t>(index - used_event - 1) < static_cast<std::uint16_t>(index - told_index_);
    } else {
      wanted = (load_relaxed<std::uint16_t>(driver_ + RingLayout::flags) & VIRTQ_AVAIL_NO_INTERRUPT) == 0;
    }
    if (!wanted) told_index_ = index;
    return wanted;
  }

 private:
  using HeadSet = std::array<std::uint64_t, max_size / 64>;

  struct Table {
    std::byte const* first;
    std::uint32_t size;
  };

  void show_pushed() {
    const auto new_index = static_cast<std::uint16_t>(state_->used_index + unpublished_);
    state_->used_index = new_index;
    unpublished_ = 0;
    // Before the driver can see them: from then on it may use the heads again.
    for (unsigned left = std::exchange(returned_words_, std::uint16_t{0}); left != 0; left &= left - 1) {
      const auto i = static_cast<unsigned>(std::countr_zero(left));
      in_flight_[i] &= ~returned_[i];
      returned_[i] = 0;
    }
    __atomic_store_n(reinterpret_cast<std::uint16_t*>(device_ + RingLayout::idx), new_index, __ATOMIC_RELEASE);
    // A driver that goes to sleep stores its wish first and then looks at the index once more.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }

  /// Reads the available index and counts what waits by it. False where it cannot be.
  [[nodiscard]] bool see(std::uint16_t& index) {
    index = load_acquire<std::uint16_t>(driver_ + RingLayout::idx);
    const auto waiting = static_cast<std::uint16_t>(index - state_->next_available);
    if (waiting > state_->size || waiting < waiting_) {
      fail(RingFault::IndexJump);
      return false;
    }
    waiting_ = waiting;
    return true;
  }

  [[nodiscard]] RingFault check(std::uint32_t maximum) const {
    if (!is_power_of_two(state_->size) || state_->size > maximum || maximum > max_size) return RingFault::BadQueueSize;
    RingLayout layout{state_->size};
    if (!is_aligned(state_->descriptor_area, RingLayout::descriptor_alignment) ||
        !is_aligned(state_->driver_area, RingLayout::driver_alignment) ||
        !is_aligned(state_->device_area, RingLayout::device_alignment))
      return RingFault::MisalignedRing;
    if (memory_->at(state_->descriptor_area, layout.descriptor_area()) == nullptr ||
        memory_->at(state_->driver_area, layout.driver_area()) == nullptr ||
        memory_->at(state_->device_area, layout.device_area()) == nullptr)
      return RingFault::RingOutsideMemory;
    return RingFault::None;
  }

  /// Follows a chain, through at most one indirect table, which may only be its end (2.7.5.3.2).
  [[nodiscard]] RingFault collect(Chain& chain, std::uint16_t head) const {
    const std::uint32_t size = state_->size;
    if (head >= size) return RingFault::HeadOutOfRange;
    if ((in_flight_[head / 64] & bit(head)) != 0) return RingFault::HeadInFlight;
    chain.start(head);
    Table table{descriptors_, size};
    bool in_indirect_table = false;
    std::uint32_t index = head;
    for (std::uint32_t buffers = 0; buffers < size;) {
      if (index >= table.size) return RingFault::NextOutOfRange;
      Descriptor descriptor = read_once(table.first + sizeof(Descriptor) * index);
      if ((descriptor.flags & Descriptor::INDIRECT) != 0) {
        if (in_indirect_table) return RingFault::IndirectNested;
        if (RingFault fault = enter(descriptor, table); fault != RingFault::None) return fault;
        in_indirect_table = true;
        index = 0;
        continue;
      }
      if (RingFault fault = chain.append(*memory_, descriptor); fault != RingFault::None) return fault;
      if ((descriptor.flags & Descriptor::NEXT) == 0) return RingFault::None;
      index = descriptor.next;
      ++buffers;
    }
    return RingFault::ChainTooLong;
  }

  /// WRITE has no meaning in a descriptor that refers to a table (2.7.5.3.2).
  [[nodiscard]] RingFault enter(Descriptor const& descriptor, Table& table) const {
    if (!indirect_) return RingFault::IndirectNotNegotiated;
    if ((descriptor.flags & Descriptor::NEXT) != 0) return RingFault::IndirectWithNext;
    if (descriptor.len == 0 || descriptor.len % sizeof(Descriptor) != 0 || !is_aligned(descriptor.addr, 8) ||
        descriptor.len / sizeof(Descriptor) > state_->size)
      return RingFault::IndirectBadTable;
    std::byte const* first = memory_->at(descriptor.addr, descriptor.len);
    if (first == nullptr) return RingFault::IndirectOutsideMemory;
    table = {first, static_cast<std::uint32_t>(descriptor.len / sizeof(Descriptor))};
    return RingFault::None;
  }

  static Descriptor read_once(std::byte const* from) {
    return {load_relaxed<std::uint64_t>(from), load_relaxed<std::uint32_t>(from + offsetof(Descriptor, len)),
            load_relaxed<std::uint16_t>(from + offsetof(Descriptor, flags)),
            load_relaxed<std::uint16_t>(from + offsetof(Descriptor, next))};
  }

  static constexpr std::uint64_t bit(std::uint16_t head) { return 1ull << (head % 64); }

  // Atomic, so that the compiler neither repeats nor splits an access to memory that the guest changes meanwhile.
  template <class T>
  static T load_relaxed(std::byte const* from) {
    return __atomic_load_n(reinterpret_cast<T const*>(from), __ATOMIC_RELAXED);
  }
  template <class T>
  static T load_acquire(std::byte const* from) {
    return __atomic_load_n(reinterpret_cast<T const*>(from), __ATOMIC_ACQUIRE);
  }
  template <class T>
  static void store_relaxed(std::byte* to, T value) {
    __atomic_store_n(reinterpret_cast<T*>(to), value, __ATOMIC_RELAXED);
  }

  QueueState* state_;
  GuestMemory const* memory_;
  RingLayout layout_{};
  std::byte* descriptors_ = nullptr;  // these three are valid while it runs
  std::byte* driver_ = nullptr;
  std::byte* device_ = nullptr;
  bool running_ = false;
  bool indirect_ = false;
  bool event_idx_ = false;
  RingFault fault_ = RingFault::None;
  std::uint16_t waiting_ = 0;         // entries that were seen and are not taken yet
  std::uint16_t told_index_ = 0;      // the used index up to which nothing is owed to the driver's wish for interrupts
  std::uint16_t unpublished_ = 0;     // elements pushed since the last publish() or show()
  HeadSet in_flight_{};               // heads taken and not yet shown as used
  HeadSet returned_{};                // of those, the ones pushed
  std::uint16_t returned_words_ = 0;  // which words of that set are not empty, one bit each
};

}  // namespace axvm::inline v1::virtio
