#pragma once

#include <cstdint>

#include <axvm/virtio/chain.hpp>
#include <axvm/virtio/queue.hpp>

namespace axvm::inline v1::virtio {

/// A device's way through a queue until nothing is left in it. Only then does it ask to be notified: a driver that adds
/// something while the device is at work anyway need not leave its guest to say so. A round takes at most twice as many
/// chains as the queue has entries, however fast the driver adds.
///
/// A device that stops before pop() says no has to come back by itself.
class Round {
 public:
  /// `queue` must outlive it.
  explicit Round(Queue& queue) : queue_(queue) {}

  /// Takes the next chain. False when there is none, when it is faulty, see Queue::fault(), or when the round was long
  /// enough; the driver notifies of what comes then.
  [[nodiscard]] bool pop(Chain& chain) {
    if (queue_.waiting() == 0 && !find()) return false;
    ++taken_;
    return queue_.pop(chain);
  }

 private:
  [[nodiscard]] bool find() {
    if (last_) return false;
    const std::uint32_t seen = queue_.look();
    last_ = taken_ + seen >= queue_.size();
    return (seen != 0 && !last_) || queue_.refresh() != 0;
  }

  Queue& queue_;
  std::uint32_t taken_ = 0;
  bool last_ = false;  ///< the driver notifies of what comes beyond the chains that were seen
};

}  // namespace axvm::inline v1::virtio
