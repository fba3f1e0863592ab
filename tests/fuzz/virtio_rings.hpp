#pragma once

// What the fuzz targets of whole virtio devices share: what a device did to guest memory between two looks at its
// queues, held against the rings as they were.

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "virtio_oracle.hpp"

namespace oracle {

/// The queues of one device, all together: a head is answered once, after it was offered, with a length within its
/// writable buffers, and nothing but writable buffers that were offered and the used rings changes. Where buffers lie
/// over what the device reads, a guest changes its own requests: from then on nothing is asked until a reset.
template <std::size_t Count>
class Rings {
 public:
  using Memory = std::vector<std::byte>;
  using States = std::array<axvm::virtio::QueueState, Count>;

  /// The device has been reset, or is another one.
  void start_anew() {
    under_way_ = {};
    trusted_ = true;
  }
  /// Whether it is known what the device was asked for.
  [[nodiscard]] bool trusted() const { return trusted_; }
  /// Whether all that was taken has been answered.
  [[nodiscard]] bool idle() const {
    return std::all_of(under_way_.begin(), under_way_.end(), [](Heads const& heads) { return heads.empty(); });
  }

  /// The device has done something, before which memory and queues were the first two and after which they are the
  /// others.
  void check(Memory const& before, States const& queues, Memory const& after, States const& now) {
    // What was under way may have ended. A queue that was taken away starts anew, and so do we with it.
    const std::array<Heads, Count> held = under_way_;
    for (std::size_t q = 0; q < Count; ++q)
      if (!queues[q].ready || !now[q].ready) under_way_[q].clear();
    if (std::none_of(queues.begin(), queues.end(), [](auto const& queue) { return queue.ready; }))
      return require(before == after);
    if (!trusted_) return;
    ByteSet allowed, sensitive, buffers;
    for (axvm::virtio::QueueState const& queue : queues) {
      if (!queue.ready) continue;
      const axvm::virtio::RingLayout layout{queue.size};
      ByteSet rings;
      rings.add(queue.device_area, layout.device_area());
      allowed.add(rings);
      rings.add(queue.descriptor_area, layout.descriptor_area());
      rings.add(queue.driver_area, layout.driver_area());
      if (rings.overlaps(sensitive)) return distrust();  // two queues that share something
      sensitive.add(rings);
    }
    std::array<Heads, Count> offered = held;
    std::array<std::uint16_t, Count> counts{};
    for (std::size_t q = 0; q < Count; ++q) {
      for (auto const& [head, taken] : held[q]) {
        buffers.add(taken.writable);
        sensitive.add(taken.readable);
      }
      if (queues[q].ready) counts[q] = offer(before, queues[q], now[q], offered[q], buffers, sensitive);
      if (!trusted_) return;
    }
    if (buffers.overlaps(sensitive)) return distrust();
    allowed.add(buffers);
    allowed.only_these_changed(before, after);
    for (std::size_t q = 0; q < Count; ++q) {
      if (!queues[q].ready || !now[q].ready) continue;
      answer(after, queues[q], now[q], offered[q], counts[q]);
      under_way_[q] = std::move(offered[q]);
    }
  }

 private:
  struct Taken {
    ByteSet writable, readable;
    std::uint64_t writable_size;
  };
  using Heads = std::map<std::uint32_t, Taken>;

  void distrust() { trusted_ = false; }

  /// How many chains the ring offers from the first entry on that was not taken before; those that were are noted.
  std::uint16_t offer(Memory const& before, axvm::virtio::QueueState const& queue, axvm::virtio::QueueState const& now,
                      Heads& offered, ByteSet& buffers, ByteSet& sensitive) {
    const auto index = get<std::uint16_t>(before, queue.driver_area + 2);
    const auto taken = static_cast<std::uint16_t>(now.next_available - queue.next_available);
    std::uint16_t count = 0;
    for (std::uint16_t i = queue.next_available; now.ready && i != index && count < queue.size; ++i, ++count) {
      const auto head = get<std::uint16_t>(before, queue.driver_area + 4 + 2u * (i % queue.size));
      const auto chain = walk(before, queue, true, head);
      if (!chain) break;
      if (chain->read_by_device.overlaps(chain->writable)) {
        distrust();
        break;
      }
      buffers.add(chain->writable);
      sensitive.add(chain->read_by_device);
      if (count < taken) offered[head] = {chain->writable, chain->read_by_device, chain->writable_size};
    }
    return count;
  }

  static void answer(Memory const& after, axvm::virtio::QueueState const& queue, axvm::virtio::QueueState const& now,
                     Heads& offered, std::uint16_t count) {
    require(static_cast<std::uint16_t>(now.next_available - queue.next_available) <= count);
    const auto answered = static_cast<std::uint16_t>(now.used_index - queue.used_index);
    require(answered <= queue.size);
    for (std::uint16_t i = 0; i < answered; ++i) {
      const std::uint64_t slot = static_cast<std::uint16_t>(queue.used_index + i) % queue.size;
      const auto element = get<axvm::virtio::UsedElement>(after, queue.device_area + 4 + 8 * slot);
      const auto found = offered.find(element.id);
      require(found != offered.end() && element.len <= found->second.writable_size);
      offered.erase(found);
    }
  }

  std::array<Heads, Count> under_way_;  ///< heads that were taken and not answered, of each queue
  bool trusted_ = true;                 ///< no request has changed what the device reads since the last reset
};

}  // namespace oracle
