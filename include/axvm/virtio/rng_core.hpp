#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/device/entropy.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/round.hpp>
#include <axvm/virtio/transport.hpp>

// The virtio entropy device, [virtio/1.2] 5.4, without a transport.
// Modelled: all there is, one queue of buffers to be filled; no features, no configuration space.
// Left out: a rate. What bounds the device is that no buffer gets more than `largest_answer` bytes, which 5.4.6.2
//   allows, so that a round is short however much a guest asks for.
// Ignored: readable buffers, which a driver must not place (5.4.6.1).

namespace axvm::inline v1::virtio {

/// What an entropy device counts.
struct RngCounters {
  Counter requests;  ///< buffers handed back
  Counter bytes;     ///< random bytes given to the guest
  Counter failures;  ///< buffers handed back without a byte, for the host had none
};

/// Fills the guest's buffers with the host's random numbers.
class RngCore {
 public:
  static constexpr std::uint32_t device_type = device_type::entropy;
  static constexpr std::array<std::uint32_t, 1> queue_sizes = {64};
  /// Bytes in one answer; 64 of them are what one round can cost.
  static constexpr std::size_t largest_answer = 4 * KiB;

  /// `counters` must outlive it.
  RngCore(EntropySource source, RngCounters& counters) : source_(source), counters_(counters) {}
  RngCore(RngCore const&) = delete;
  RngCore& operator=(RngCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const { return 0; }
  [[nodiscard]] ConstBytes config() const { return {}; }

  /// One round over the queue.
  template <Transport T>
  void notified(T& transport, std::size_t index) {
    Queue& queue = transport.queue(index);
    for (Round round(queue); round.pop(chain_);) {
      if (chain_.writable_size() == 0) {
        queue.fail(RingFault::BadRequest);
        break;
      }
      queue.push(chain_.head(), fill());
    }
    transport.completed(index);
  }

  /// Requests end before notified() does: there is nothing to call off.
  void reset() {}

 private:
  std::uint32_t fill() {
    std::size_t done = 0;
    for (Segment const& segment : chain_.writable()) {
      const std::size_t left = largest_answer - done;
      const std::size_t wanted = segment.size < left ? segment.size : left;
      if (wanted == 0) break;
      const std::size_t got = source_.fill({segment.data, wanted});
      done += got < wanted ? got : wanted;
      if (got < wanted) break;
    }
    counters_.requests.add();
    counters_.bytes.add(done);
    if (done == 0) counters_.failures.add();
    return static_cast<std::uint32_t>(done);
  }

  EntropySource source_;
  RngCounters& counters_;
  std::array<Segment, queue_sizes[0] + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
};

static_assert(Core<RngCore> && are_queue_sizes(RngCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
