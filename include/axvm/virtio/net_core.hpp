#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/device/events.hpp>
#include <axvm/device/host.hpp>
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
// What was sent is shown at once, but the interrupt for it waits until there are several frames, or would be by now: a
// driver that goes on sending finds it then anyway, and one that is interrupted for each frame sends slower than the
// host takes them, so that each is a round of its own. One that waits for the interrupt sends nothing meanwhile: then
// the next ones do not wait, first one of them, then three, up to 63, until waiting is tried again.

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

  /// For how many sent buffers an interrupt waits, as a part of what the queue has room for.
  static constexpr std::uint32_t told_together = 4;
  /// How many interrupts at most do not wait, after one that waited in vain.
  static constexpr std::uint32_t most_prompt = 63;
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
        calls_(calls),
        counters_(counters),
        patience_(setup.patience),
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
    if (telling_) events_.disarm(tell_timer);
    telling_ = false;
    waited_in_vain(false);
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
    telling_ = false;
    waited_in_vain(untold_ == put_off_at_);
    if (transport.shown(transmitq)) interrupt(transport);
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
    (void)events_.watch(port_.descriptor(), wanted ? Interest::Readable : Interest::Nothing, calls_.attend);
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
      untold_ += static_cast<std::uint32_t>(sent_.readable().size());
      moved += size;
      if (moved > round_budget && transport.again()) break;
    }
    if (queue.fault() != RingFault::None) return transport.completed(transmitq);
    const std::uint32_t together = queue.size() / told_together;
    if (!transport.shown(transmitq)) return;
    if (untold_ >= together) waited_in_vain(false);
    else if (put_off(together)) return;
    interrupt(transport);
  }

  /// Has tell() called when so many buffers would have been sent as an interrupt waits for, if they go on coming as
  /// they came since the last one. False when nothing is to be gained by that.
  [[nodiscard]] bool put_off(std::uint32_t together) {
    if (telling_) return true;
    const std::uint64_t elapsed = events_.now() - told_at_;
    if (elapsed >= patience_ || untold_ == 0) return false;
    if (prompt_left_ != 0) return --prompt_left_, false;
    // So soon after the last one there is no telling how they come.
    std::uint64_t wait = elapsed * together / untold_;
    if (wait < patience_ / 16) wait = patience_ / 16;
    if (wait > patience_) wait = patience_;
    telling_ = events_.arm(tell_timer, told_at_ + wait, calls_.tell);
    put_off_at_ = untold_;
    return telling_;
  }

  /// Whether nothing was sent while an interrupt waited.
  void waited_in_vain(bool in_vain) {
    prompt_ = !in_vain ? 0 : prompt_ < most_prompt ? 2 * prompt_ + 1 : most_prompt;
    prompt_left_ = prompt_;
  }

  template <Transport T>
  void interrupt(T& transport) {
    told_at_ = events_.now();
    untold_ = 0;
    telling_ = false;
    transport.completed(transmitq);
  }

  static constexpr std::size_t longest_chain = queue_sizes[receiveq] + GuestMemory::max_regions;

  FramePort& port_;
  std::uint16_t& held_;
  Events events_;
  Calls calls_;
  NetCounters& counters_;
  std::uint64_t patience_;
  std::uint64_t told_at_ = 0;      ///< when the driver was last interrupted for what was sent
  std::uint32_t untold_ = 0;       ///< buffers sent since then
  std::uint32_t put_off_at_ = 0;   ///< how many there were when the interrupt began to wait
  std::uint32_t prompt_ = 0;       ///< how many interrupts do not wait after one that waited in vain
  std::uint32_t prompt_left_ = 0;  ///< of these
  bool telling_ = false;           ///< an interrupt waits
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
