#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/device/events.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/net_interrupt_delay.hpp>
#include <axvm/virtio/round.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>

// The virtio network device, [virtio/1.2] 5.1, without a transport.
// Modelled: one pair of queues; MAC, STATUS (the link is always up), CSUM, GUEST_CSUM, TSO4 and TSO6 both ways,
//   MRG_RXBUF. Frames go between queue and host as they are, headers and all, without a copy of our own: the host's
//   interface checks the headers that a guest writes, and makes those that a guest reads.
// Left out: the control queue and what needs it (filters, MAC changes, several pairs of queues), UFO, MTU, RSS.
// Ignored: writable buffers of frames to send, readable ones of buffers to fill.
//
// A frame of the host is read only when there is room for the largest that may come, so that none is cut off: chains
// are taken ahead of frames. How many, is in the state, for they are not yet anybody's when that is saved. A frame that
// the host does not take is lost, as on any wire.
//
// What was sent is shown while a round goes on, but the interrupt for it may wait, see InterruptDelay.

namespace axvm::inline v1::virtio {

/// Feature bits of the network device, [virtio/1.2] 5.1.3.
namespace net_feature {
inline constexpr std::uint64_t CSUM = 1ull << 0;        ///< the device fills in checksums
inline constexpr std::uint64_t GUEST_CSUM = 1ull << 1;  ///< the driver takes frames without
inline constexpr std::uint64_t MAC = 1ull << 5;         ///< the configuration space has an address
inline constexpr std::uint64_t GUEST_TSO4 = 1ull << 7;  ///< the driver takes uncut segments
inline constexpr std::uint64_t GUEST_TSO6 = 1ull << 8;  ///< likewise
inline constexpr std::uint64_t HOST_TSO4 = 1ull << 11;  ///< the device takes uncut segments
inline constexpr std::uint64_t HOST_TSO6 = 1ull << 12;  ///< likewise
inline constexpr std::uint64_t MRG_RXBUF = 1ull << 15;  ///< a frame may take several buffers
inline constexpr std::uint64_t STATUS = 1ull << 16;     ///< the configuration space has the link's state
}  // namespace net_feature

/// struct virtio_net_config, [virtio/1.2] 5.1.4, as far as its features are offered.
struct NetConfig {
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t status = 0;  ///< bit 0: the link is up

  static constexpr std::uint16_t LINK_UP = 1;
};
static_assert(sizeof(NetConfig) == 8);

/// struct virtio_net_hdr, [virtio/1.2] 5.1.6, in front of every frame; only its size and last field matter here.
inline constexpr std::size_t net_header_size = 12;
inline constexpr std::size_t net_header_num_buffers = 10;  ///< le16

/// What a network device counts.
struct NetCounters {
  Counter frames_to_guest;  ///< of the host
  Counter bytes_to_guest;   ///< headers of 12 bytes included
  Counter frames_to_host;   ///< of the guest
  Counter bytes_to_host;    ///< likewise
  Counter dropped;          ///< frames that the host did not take, or too short to be one
};

/// Hands frames between two queues and an interface of the host.
class NetCore {
 public:
  static constexpr std::uint32_t device_type = device_type::network;
  static constexpr std::array<std::uint32_t, 2> queue_sizes = {256, 256};
  static constexpr std::size_t receiveq = 0, transmitq = 1;
  /// Bytes of the largest frame with its header: with uncut segments, and without ([virtio/1.2] 5.1.6.3.1).
  static constexpr std::size_t largest_uncut = 65562, largest_cut = 1526;
  /// How many bytes one round may move before others get their turn.
  static constexpr std::uint64_t round_budget = 4 * MiB;

  /// After how many sent frames they are shown, in a round that goes on: a driver whose queue is full need not wait for
  /// its end.
  static constexpr std::uint16_t shown_together = 8;
  static constexpr unsigned tell_timer = 0;

  /// What is to be called back for the core; the device hands these on to attend() and tell() with its transport.
  struct Calls {
    Callback attend;  ///< the host has frames
    Callback tell;    ///< an interrupt has waited for long enough
  };
  /// Of the driver's interface.
  struct Setup {
    std::array<std::uint8_t, 6> mac{};
    std::uint64_t patience = 0;  ///< for so long an interrupt for sent frames waits at most, in nanoseconds
  };

  /// `port`, `held` and `counters` must outlive it. `held` is the number of chains taken ahead.
  NetCore(FramePort& port, Setup const& setup, std::uint16_t& held, Events events, Calls calls, NetCounters& counters)
      : port_(port),
        held_(held),
        events_(events),
        attend_(calls.attend),
        counters_(counters),
        delay_(events, tell_timer, setup.patience, calls.tell),
        config_{.mac = setup.mac, .status = NetConfig::LINK_UP} {
    port_.set_offloads({});
  }
  NetCore(NetCore const&) = delete;
  NetCore& operator=(NetCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const {
    using namespace net_feature;
    return CSUM | GUEST_CSUM | MAC | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6 | MRG_RXBUF | STATUS;
  }
  [[nodiscard]] ConstBytes config() const { return bytes_of(config_); }

  template <Transport T>
  void notified(T& transport, std::size_t index) {
    live_ = true;
    index == receiveq ? attend(transport) : send(transport);
  }

  /// The driver starts anew: the chains that were taken ahead are not there any more.
  void reset() {
    forget();
    if (agreed_ != 0) port_.set_offloads({});
    agreed_ = 0;
    live_ = false;
    most_given_ = 0;
    watch(false);
    delay_.reset();
  }

  /// The host has frames, or the guest has room for some.
  template <Transport T>
  void attend(T& transport) {
    if (!live_) return;
    settle(transport.features());
    Queue& queue = transport.queue(receiveq);
    (void)queue.look();
    count_given(queue);
    std::uint64_t moved = 0;
    bool room = true;
    while (moved <= round_budget && (room = take_ahead(queue))) {
      const std::size_t size = port_.read(usable());
      if (size == 0) break;
      moved += size;
      deliver(queue, size);
    }
    transport.completed(receiveq);
    watch(room && queue.running());
  }

  /// The driver is interrupted for what was sent, if it still wants to be.
  template <Transport T>
  void tell(T& transport) {
    if (delay_.is_over() && transport.shown(transmitq)) interrupt(transport);
  }

  /// How many chains a restored queue has to go back: those that were taken ahead when its state was saved.
  [[nodiscard]] static std::uint16_t rewound(std::uint16_t next_available, std::uint16_t& held) {
    const auto before = static_cast<std::uint16_t>(next_available - (held <= queue_sizes[receiveq] ? held : 0));
    held = 0;
    return before;
  }
  /// Forgets what was taken ahead of frames.
  void forget() {
    held_ = 0;
    segment_count_ = 0;
    held_bytes_ = 0;
  }

 private:
  /// A chain that was taken ahead: its segments follow those of the one before.
  struct Ahead {
    std::uint16_t head = 0;
    std::uint16_t segments = 0;
    std::uint32_t size = 0;
  };

  /// Has the host make frames such as the driver takes.
  void settle(std::uint64_t features) {
    using namespace net_feature;
    if (features == agreed_) return;
    agreed_ = features;
    const bool checksum = (features & GUEST_CSUM) != 0;
    port_.set_offloads({.checksum = checksum,
                        .tso4 = checksum && (features & GUEST_TSO4) != 0,
                        .tso6 = checksum && (features & GUEST_TSO6) != 0});
  }

  [[nodiscard]] bool merges() const { return (agreed_ & net_feature::MRG_RXBUF) != 0; }
  [[nodiscard]] std::size_t largest() const {
    return (agreed_ & (net_feature::GUEST_TSO4 | net_feature::GUEST_TSO6)) != 0 ? largest_uncut : largest_cut;
  }

  // ---- to the guest

  void count_given(Queue const& queue) {
    const std::uint32_t given = queue.waiting() + held_;
    if (given > most_given_) most_given_ = given;
  }

  /// Takes chains until the largest frame has room; asks to be notified of more only where there are none left. False
  /// when there are not enough; a driver that gives less than that at all times gets what fits.
  bool take_ahead(Queue& queue) {
    while (held_ == 0 || (merges() && held_bytes_ < largest())) {
      Chain chain{std::span(segments_).subspan(segment_count_)};
      if (held_ == ahead_.size() || segment_count_ > segments_.size() - longest_chain) return true;
      if (queue.waiting() == 0 && (queue.look() != 0 || queue.refresh() != 0)) count_given(queue);
      if (!queue.pop(chain)) return queue.running() && held_ != 0 && held_ == most_given_;
      if (chain.writable_size() <= net_header_size || chain.readable_size() != 0) {
        queue.fail(RingFault::BadRequest);
        return false;
      }
      const auto count = static_cast<std::uint16_t>(chain.writable().size());
      const auto size = static_cast<std::uint32_t>(chain.writable_size());
      ahead_[held_++] = {chain.head(), count, size};
      segment_count_ += count;
      held_bytes_ += size;
    }
    return true;
  }

  /// What the next frame may fill.
  [[nodiscard]] std::span<const Segment> usable() const {
    return std::span(segments_).first(merges() ? segment_count_ : ahead_[0].segments);
  }

  /// A frame of `size` bytes was read: its chains are the driver's.
  void deliver(Queue& queue, std::size_t size) {
    const std::uint64_t room = merges() ? held_bytes_ : ahead_[0].size;
    if (size > room || (size == room && room < largest()))
      return counters_.dropped.add();  // cut off, or not to be told from one that is
    std::uint16_t count = 0;
    std::size_t used_segments = 0;
    for (std::uint64_t covered = 0; covered < size; ++count) covered += ahead_[count].size;
    if (!scatter(std::span(segments_).first(ahead_[0].segments), net_header_num_buffers, bytes_of(count))) return;
    std::uint64_t left = size;
    for (std::uint16_t i = 0; i < count; ++i) {
      const std::uint64_t here = left < ahead_[i].size ? left : ahead_[i].size;
      queue.push(ahead_[i].head, static_cast<std::uint32_t>(here));
      left -= here;
      held_bytes_ -= ahead_[i].size;
      used_segments += ahead_[i].segments;
    }
    for (std::size_t i = count; i < held_; ++i) ahead_[i - count] = ahead_[i];
    for (std::size_t i = used_segments; i < segment_count_; ++i) segments_[i - used_segments] = segments_[i];
    held_ = static_cast<std::uint16_t>(held_ - count);
    segment_count_ -= used_segments;
    counters_.frames_to_guest.add();
    counters_.bytes_to_guest.add(size);
  }

  void watch(bool wanted) {
    if (wanted == watching_) return;
    watching_ = wanted;
    (void)events_.watch(port_.descriptor(), wanted ? Interest::Readable : Interest::Nothing, attend_);
  }

  // ---- to the host

  template <Transport T>
  void send(T& transport) {
    settle(transport.features());
    Queue& queue = transport.queue(transmitq);
    Round round(queue);
    std::uint64_t moved = 0;
    while (round.pop(sent_)) {
      const std::uint64_t size = sent_.readable_size();
      if (size <= net_header_size) {
        queue.fail(RingFault::BadRequest);
        break;
      }
      if (size <= largest_uncut && port_.write(sent_.readable())) {
        counters_.frames_to_host.add();
        counters_.bytes_to_host.add(size);
      } else {
        counters_.dropped.add();
      }
      queue.push(sent_.head(), 0);
      delay_.used(static_cast<std::uint32_t>(sent_.readable().size()));
      moved += size;
      if (queue.unpublished() >= shown_together && transport.shown(transmitq) && delay_.enough(queue.size()))
        interrupt(transport);
      if (moved > round_budget && transport.again()) break;
    }
    if (queue.fault() != RingFault::None) return transport.completed(transmitq);
    if (transport.shown(transmitq) && !delay_.waits(queue.size())) interrupt(transport);
  }

  template <Transport T>
  void interrupt(T& transport) {
    delay_.interrupted();
    transport.completed(transmitq);
  }

  static constexpr std::size_t longest_chain = queue_sizes[receiveq] + GuestMemory::max_regions;

  FramePort& port_;
  std::uint16_t& held_;
  Events events_;
  Callback attend_;
  NetCounters& counters_;
  InterruptDelay delay_;
  NetConfig config_;
  std::uint64_t agreed_ = 0;      ///< the features that the host's side is set to
  std::uint32_t most_given_ = 0;  ///< chains that the driver has given at a time
  bool live_ = false;             ///< the driver works with its queues
  bool watching_ = false;
  std::size_t segment_count_ = 0;  ///< of the chains taken ahead
  std::uint64_t held_bytes_ = 0;
  std::array<Ahead, queue_sizes[receiveq]> ahead_{};
  std::array<Segment, 2 * longest_chain> segments_{};
  std::array<Segment, longest_chain> sent_segments_{};
  Chain sent_{sent_segments_};
};

static_assert(Core<NetCore> && are_queue_sizes(NetCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
