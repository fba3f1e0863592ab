#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/device/byte_ring.hpp>
#include <axvm/device/events.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/round.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>

// The virtio console device, [virtio/1.2] 5.3, without a transport.
// Modelled: one port, its two queues; SIZE with changes where the host knows a size, EMERG_WRITE. The first output is
//   answered with a change of the size, for Linux does not look at it before there is one.
// Left out: MULTIPORT and its control queues.
// Ignored: writable bytes of output buffers and readable ones of input buffers, all but the lowest byte of emerg_wr.
//
// A guest's console driver spins, with interrupts off, until its output has been taken. So output waits in a ring, and
// where that is full the queue waits for the host for `patience` at most; then output is lost until the host takes some
// again. Input is taken from the host as long as its ring has room, whatever the guest does, so that a console's escape
// keys work.

namespace axvm::inline v1::virtio {

/// Feature bits of the console device, [virtio/1.2] 5.3.3.
namespace console_feature {
inline constexpr std::uint64_t SIZE = 1ull << 0;         ///< cols and rows are valid
inline constexpr std::uint64_t MULTIPORT = 1ull << 1;    ///< never offered
inline constexpr std::uint64_t EMERG_WRITE = 1ull << 2;  ///< emerg_wr is there
}  // namespace console_feature

/// struct virtio_console_config, [virtio/1.2] 5.3.4.
struct ConsoleConfig {
  std::uint16_t cols = 0;          ///< SIZE: columns of characters
  std::uint16_t rows = 0;          ///< SIZE
  std::uint32_t max_nr_ports = 0;  ///< MULTIPORT
  std::uint32_t emerg_wr = 0;      ///< EMERG_WRITE: the driver writes one character of output; reads as zero
};
static_assert(sizeof(ConsoleConfig) == 12 && offsetof(ConsoleConfig, emerg_wr) == 8);

/// What is on its way between guest and host. Plain aggregate.
struct ConsoleBuffers {
  ByteRing<1024> input;    ///< for the guest
  ByteRing<16384> output;  ///< for the host
};

/// What a console counts.
struct ConsoleCounters {
  Counter received;     ///< bytes given to the guest
  Counter sent;         ///< bytes the host took
  Counter lost_output;  ///< bytes of the guest that the host would not take in time
};

/// Moves bytes between a character port and two queues.
class ConsoleCore {
 public:
  static constexpr std::uint32_t device_type = device_type::console;
  static constexpr std::array<std::uint32_t, 2> queue_sizes = {64, 64};
  static constexpr std::size_t receiveq = 0, transmitq = 1;
  /// How much output of one chain, and about how much of one round, is looked at: more than drivers send.
  static constexpr std::size_t largest_output = 64 * KiB;
  /// The queue of output waits while the ring has less room than this, in bytes.
  static constexpr std::size_t low_room = 8 * KiB;
  /// For so long at most, in nanoseconds.
  static constexpr std::uint64_t patience = 100'000'000;
  /// Where the host's room cannot be watched it is asked again after so long, in nanoseconds.
  static constexpr std::uint64_t output_retry = 20'000'000;
  static constexpr unsigned retry_timer = 0, patience_timer = 1;

  /// What is to be called back for the core; the device hands these on to attend() and give_up() with its transport.
  struct Calls {
    Callback attend;   ///< there is input, or room for output
    Callback give_up;  ///< patience is over
  };

  /// All but the events must outlive it.
  ConsoleCore(CharacterConnection& connection, ConsoleBuffers& buffers, Events events, Calls calls,
              ConsoleCounters& counters)
      : connection_(connection), buffers_(buffers), events_(events), calls_(calls), counters_(counters) {
    take_size();
    sized_ = config_.cols != 0 && config_.rows != 0;
    attend_input();
  }
  ConsoleCore(ConsoleCore const&) = delete;
  ConsoleCore& operator=(ConsoleCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const {
    return console_feature::EMERG_WRITE | (sized_ ? console_feature::SIZE : 0);
  }
  [[nodiscard]] ConstBytes config() const { return bytes_of(config_); }

  /// The driver writes its configuration space: a character at emerg_wr goes out at once.
  void write_config(std::size_t offset, ConstBytes bytes) {
    if (offset == offsetof(ConsoleConfig, emerg_wr) && !bytes.empty()) send(bytes.first(1));
    wait_for_room();
  }

  template <Transport T>
  void notified(T& transport, std::size_t index) {
    live_ = true;
    index == receiveq ? deliver(transport) : transmit(transport);
  }

  /// The driver starts anew. What is on its way stays on its way.
  void reset() {
    stop_waiting();
    announced_ = live_ = false;
  }

  /// The host has input or room, or may have.
  template <Transport T>
  void attend(T& transport) {
    retrying_ = false;
    if (!buffers_.output.empty() && !drain() && watching_output_) {
      // Announced as writable, perhaps, and takes nothing: ask again later instead of for ever.
      events_.watch(port().output(), Interest::Nothing, {});
      watching_output_ = false;
      retrying_ = events_.arm(retry_timer, events_.now() + output_retry, calls_.attend);
    }
    take_input();
    if (live_) {
      transmit(transport);
      deliver(transport);
    }
    resized(transport);
  }

  /// The host has taken nothing for too long.
  template <Transport T>
  void give_up(T& transport) {
    impatient_ = true;
    stop_waiting();
    transmit(transport);
  }

  /// The terminal may have another size.
  template <Transport T>
  void resized(T& transport) {
    if (sized_ && take_size()) transport.configuration_changed();
  }

  /// The buffers were assigned, and the guest may know another size than the host's.
  template <Transport T>
  void restored(T& transport) {
    buffers_.input.make_valid();
    buffers_.output.make_valid();
    if (sized_) {
      take_size();
      transport.configuration_changed();
    }
    drain();
    wait_for_room();
    attend_input();
  }

  /// The guest's last words: what is in the ring goes out as far as the host takes it within a second.
  void finish() {
    drain();
    for (unsigned i = 0; i < 20 && !buffers_.output.empty() && port().wait(50); ++i) drain();
  }

 private:
  [[nodiscard]] CharacterPort const& port() const { return connection_.port(); }

  /// Whether the size is another one. A terminal that has lost its own keeps the last.
  bool take_size() {
    const TerminalSize size = connection_.size();
    if (size.columns == 0 || size.rows == 0 || size == TerminalSize{config_.cols, config_.rows}) return false;
    config_.cols = size.columns;
    config_.rows = size.rows;
    return true;
  }

  // ---- input

  /// Reads what has arrived, as far as the ring has room.
  void take_input() {
    while (buffers_.input.room() != 0) {
      const Bytes space = buffers_.input.space();
      const std::size_t got = port().read(space);
      if (got == 0) break;
      buffers_.input.added(got < space.size() ? got : space.size());
    }
    attend_input();
  }

  /// Gives the guest what is in the ring, as far as it has buffers for it.
  template <Transport T>
  void deliver(T& transport) {
    Queue& queue = transport.queue(receiveq);
    queue.refresh();
    for (std::uint32_t round = 0; queue.running() && round < queue_sizes[receiveq]; ++round) {
      // What cannot be watched, like a file, is always ready: read when the guest could use it.
      if (buffers_.input.empty() && !watching_input_) take_input();
      if (buffers_.input.empty() || !queue.pop(chain_)) break;
      if (chain_.writable_size() == 0) {
        queue.fail(RingFault::BadRequest);
        break;
      }
      queue.push(chain_.head(), static_cast<std::uint32_t>(fill()));
    }
    transport.completed(receiveq);
    attend_input();
  }

  std::size_t fill() {
    std::size_t done = 0;
    while (!buffers_.input.empty()) {
      const ConstBytes waiting = buffers_.input.front();
      const std::uint64_t left = chain_.writable_size() - done;
      const std::size_t count = waiting.size() < left ? waiting.size() : static_cast<std::size_t>(left);
      if (count == 0 || !scatter(chain_.writable(), done, waiting.first(count))) break;
      buffers_.input.drop(count);
      done += count;
    }
    counters_.received.add(done);
    return done;
  }

  /// Watches for input while there is room for some.
  void attend_input() {
    const int descriptor = port().input();
    const bool wanted = descriptor >= 0 && buffers_.input.room() != 0;
    if (watching_input_ && (!wanted || descriptor != input_)) {
      events_.watch(input_, Interest::Nothing, {});
      watching_input_ = false;
    }
    input_ = descriptor;
    if (wanted && !watching_input_) watching_input_ = events_.watch(input_, Interest::Readable, calls_.attend);
  }

  // ---- output

  [[nodiscard]] bool has_room() const { return impatient_ || buffers_.output.room() >= low_room; }

  template <Transport T>
  void transmit(T& transport) {
    Queue& queue = transport.queue(transmitq);
    Round round(queue);
    std::size_t taken = 0;
    while (has_room() && round.pop(chain_)) {
      taken += send_all(chain_.readable());
      queue.push(chain_.head(), 0);
      if (taken > largest_output && transport.again()) break;
    }
    transport.completed(transmitq);
    if (taken != 0 && sized_ && !announced_) {
      // Linux looks at the size only when it changes, and when its console is up.
      announced_ = true;
      transport.configuration_changed();
    }
    if (!has_room() && !waiting_) waiting_ = events_.arm(patience_timer, events_.now() + patience, calls_.give_up);
    wait_for_room();
  }

  std::size_t send_all(std::span<const Segment> segments) {
    std::size_t taken = 0;
    for (Segment const& segment : segments) {
      const std::size_t left = largest_output - taken;
      const std::size_t count = segment.size < left ? segment.size : left;
      send({segment.data, count});
      counters_.lost_output.add(segment.size - count);
      taken += count;
    }
    return taken;
  }

  /// To the host, or where that does not take it to the ring, or nowhere.
  void send(ConstBytes bytes) {
    if (!buffers_.output.empty() && !watching_output_ && !retrying_) drain();
    while (buffers_.output.empty() && !bytes.empty()) {
      const std::size_t sent = write(bytes);
      if (sent == 0) break;
      bytes = bytes.subspan(sent);
    }
    while (!bytes.empty() && buffers_.output.room() != 0) {
      const Bytes space = buffers_.output.space();
      const std::size_t count = bytes.size() < space.size() ? bytes.size() : space.size();
      // Once out of guest memory: what the host is to see is what was in the ring.
      std::memcpy(space.data(), bytes.data(), count);
      buffers_.output.added(count);
      bytes = bytes.subspan(count);
    }
    counters_.lost_output.add(bytes.size());
  }

  std::size_t write(ConstBytes bytes) {
    std::size_t sent = port().write(bytes);
    if (sent > bytes.size()) sent = bytes.size();
    counters_.sent.add(sent);
    if (sent != 0) {
      stop_waiting();
      impatient_ = false;
    }
    return sent;
  }

  /// Gives the host what it takes of the ring; whether it took anything.
  bool drain() {
    bool any = false;
    while (!buffers_.output.empty()) {
      const std::size_t sent = write(buffers_.output.front());
      if (sent == 0) break;
      buffers_.output.drop(sent);
      any = true;
    }
    return any;
  }

  /// Has attend() called when the host has room, by a timer where that cannot be watched; not at all without need.
  void wait_for_room() {
    const int descriptor = port().output();
    if (buffers_.output.empty()) {
      if (watching_output_) events_.watch(descriptor, Interest::Nothing, {});
      watching_output_ = false;
    } else if (!watching_output_ && !retrying_) {
      watching_output_ = descriptor >= 0 && events_.watch(descriptor, Interest::Writable, calls_.attend);
      if (!watching_output_) retrying_ = events_.arm(retry_timer, events_.now() + output_retry, calls_.attend);
    }
  }

  void stop_waiting() {
    if (waiting_) events_.disarm(patience_timer);
    waiting_ = false;
  }

  CharacterConnection& connection_;
  ConsoleBuffers& buffers_;
  Events events_;
  Calls calls_;
  ConsoleCounters& counters_;
  ConsoleConfig config_{};
  bool sized_ = false;      ///< the terminal had a size from the beginning
  bool live_ = false;       ///< the driver works with its queues
  bool announced_ = false;  ///< the driver was told of it
  int input_ = -1;          ///< the descriptor that is watched
  bool watching_input_ = false;
  bool watching_output_ = false;
  bool retrying_ = false;   ///< the retry timer runs
  bool waiting_ = false;    ///< the patience timer runs
  bool impatient_ = false;  ///< it has run out, and the host has taken nothing since
  std::array<Segment, 64 + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
};

static_assert(Core<ConsoleCore> && are_queue_sizes(ConsoleCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
