#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/round.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>

// The virtio memory balloon, [virtio/1.2] 5.5, without a transport.
// Modelled: inflating and deflating, the size that the host wants, the actual size; DEFLATE_ON_OOM; free page
// reporting. Left out: MUST_TELL_HOST (a page that the guest uses again without a word is there, and reads as zeros),
// STATS_VQ,
//   FREE_PAGE_HINT, PAGE_POISON. Without STATS_VQ and FREE_PAGE_HINT the reporting queue is the third, where Linux
//   looks for it.
// Ignored: page numbers that are not guest memory, what deflating names (pages come back when they are touched), the
//   length of readable buffers behind whole page numbers, readable buffers of reports.

namespace axvm::inline v1::virtio {

/// Feature bits of the balloon, [virtio/1.2] 5.5.3.
namespace balloon_feature {
inline constexpr std::uint64_t DEFLATE_ON_OOM = 1ull << 2;  ///< the guest may take pages back when it lacks memory
inline constexpr std::uint64_t PAGE_REPORTING = 1ull << 5;  ///< the guest tells of free pages
}  // namespace balloon_feature

/// struct virtio_balloon_config, [virtio/1.2] 5.5.4.
struct BalloonConfig {
  std::uint32_t num_pages = 0;              ///< the size that the host wants, in pages of 4 KiB
  std::uint32_t actual = 0;                 ///< the size that it has; the driver writes it
  std::uint32_t free_page_hint_cmd_id = 0;  ///< FREE_PAGE_HINT
  std::uint32_t poison_val = 0;             ///< PAGE_POISON
};
static_assert(sizeof(BalloonConfig) == 16 && offsetof(BalloonConfig, actual) == 4);

/// What of a balloon is saved beside its transport. Plain aggregate.
struct BalloonState {
  std::uint32_t num_pages = 0;  ///< the size that the host wants
  std::uint32_t actual = 0;     ///< the size that the driver says it has
};

/// What a balloon counts.
struct BalloonCounters {
  Counter inflated;         ///< pages of 4 KiB that the guest put into it
  Counter deflated;         ///< likewise, that it took out again
  Counter reported;         ///< bytes of free memory that it told of
  Counter bytes_discarded;  ///< of all these, what went back to the host
  Counter bad_pages;        ///< page numbers that are not guest memory
};

/// Gives the pages that a guest does without back to the host.
class BalloonCore {
 public:
  static constexpr std::uint32_t device_type = device_type::memory_ballooning;
  static constexpr std::array<std::uint32_t, 3> queue_sizes = {64, 64, 64};
  static constexpr std::size_t inflateq = 0, deflateq = 1, reporting_vq = 2;
  static constexpr std::uint64_t page_size = 4 * KiB;
  /// Bytes of page numbers in one chain, at most: 64 times what Linux sends.
  static constexpr std::uint64_t largest_list = 64 * KiB;
  /// How many times one round may go to the host before others get their turn.
  static constexpr std::uint32_t round_budget = 1024;

  /// `state` and `counters` must outlive it. What is discarded is up to the memory.
  BalloonCore(GuestMemory const& memory, BalloonState& state, bool reporting, bool deflate_on_oom,
              BalloonCounters& counters)
      : memory_(memory), state_(state), counters_(counters), reporting_(reporting), deflate_on_oom_(deflate_on_oom) {
    show();
  }
  BalloonCore(BalloonCore const&) = delete;
  BalloonCore& operator=(BalloonCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const {
    return (deflate_on_oom_ ? balloon_feature::DEFLATE_ON_OOM : 0) | (reporting_ ? balloon_feature::PAGE_REPORTING : 0);
  }
  [[nodiscard]] ConstBytes config() const { return bytes_of(config_); }
  /// The reporting queue is there only where it is of use.
  [[nodiscard]] std::size_t queue_count() const { return reporting_ ? 3 : 2; }

  /// The driver tells the actual size, in pieces as it likes.
  void write_config(std::size_t offset, ConstBytes bytes) {
    constexpr std::size_t first = offsetof(BalloonConfig, actual);
    if (offset < first || !range_fits(offset - first, bytes.size(), sizeof state_.actual)) return;
    std::memcpy(reinterpret_cast<std::byte*>(&state_.actual) + (offset - first), bytes.data(), bytes.size());
    show();
  }

  template <Transport T>
  void notified(T& transport, std::size_t index) {
    Queue& queue = transport.queue(index);
    calls_ = 0;
    for (Round round(queue); round.pop(chain_);) {
      if (index == reporting_vq) {
        for (Segment const& segment : chain_.writable()) {
          counters_.reported.add(segment.size);
          discard(segment);
        }
      } else if (chain_.readable_size() > largest_list) {
        queue.fail(RingFault::BadRequest);
        break;
      } else {
        take_list(index == inflateq);
      }
      queue.push(chain_.head(), 0);
      if (calls_ > round_budget && transport.again()) break;
    }
    transport.completed(index);
  }

  /// The driver starts anew, with an empty balloon.
  void reset() {
    state_.actual = 0;
    show();
  }

  /// The size that the host wants has changed, or `state` was assigned.
  template <Transport T>
  void changed(T& transport) {
    show();
    transport.configuration_changed();
  }

 private:
  void show() { config_ = {.num_pages = state_.num_pages, .actual = state_.actual}; }

  /// A list of page numbers. Neighbours, in either direction, go to the host together.
  void take_list(bool inflate) {
    Segment run;
    std::array<std::uint32_t, 256> numbers;
    const std::uint64_t count = chain_.readable_size() / sizeof numbers[0];
    (inflate ? counters_.inflated : counters_.deflated).add(count);
    for (std::uint64_t done = 0; inflate && done < count; done += numbers.size()) {
      const std::size_t part = count - done < numbers.size() ? static_cast<std::size_t>(count - done) : numbers.size();
      const auto into = std::as_writable_bytes(std::span(numbers).first(part));
      if (!gather(chain_.readable(), done * sizeof numbers[0], into)) return;
      for (std::uint32_t number : std::span(numbers).first(part)) add(run, number);
    }
    if (run.size != 0) discard(run);
  }

  void add(Segment& run, std::uint32_t number) {
    std::byte* const page = memory_.at(number * page_size, page_size);
    if (page == nullptr) return counters_.bad_pages.add();
    if (run.size != 0 && page == run.data + run.size) {
      run.size += page_size;
    } else if (run.size != 0 && page + page_size == run.data) {
      run = {page, run.size + page_size};
    } else {
      if (run.size != 0) discard(run);
      run = {page, page_size};
    }
  }

  void discard(Segment const& segment) {
    ++calls_;
    counters_.bytes_discarded.add(memory_.discard({segment.data, segment.size}));
  }

  GuestMemory memory_;
  BalloonState& state_;
  BalloonCounters& counters_;
  BalloonConfig config_{};
  bool reporting_;
  bool deflate_on_oom_;
  std::uint32_t calls_ = 0;  ///< to the host, in this round
  std::array<Segment, 64 + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
};

static_assert(Core<BalloonCore> && are_queue_sizes(BalloonCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
