#pragma once

#include <cstdint>

#include <axvm/device/events.hpp>

namespace axvm::inline v1::virtio {

/// When a driver is interrupted for buffers of which it needs to hear only some time, such as those it has sent.
///
/// The interrupt waits until there are several buffers, or would be by now: a driver that goes on sending finds what
/// was used anyway, and one that is interrupted for each buffer sends slower than the host takes them, so that each is
/// a round of its own. One that waits for the interrupt sends nothing meanwhile: then the next ones do not wait, first
/// one of them, then three, up to `most_prompt`, until waiting is tried again.
///
/// What the driver wants, and how it is interrupted, is the queue's and the transport's; this says only when.
class InterruptDelay {
 public:
  /// For how many buffers an interrupt waits, as a part of what the queue has room for.
  static constexpr std::uint32_t together = 4;
  /// How many interrupts at most do not wait, after one that waited in vain.
  static constexpr std::uint32_t most_prompt = 63;

  /// An interrupt waits at most `longest` nanoseconds since the one before; 0: not at all. `over` is called when it has
  /// waited for long enough, by the device's timer number `timer`.
  InterruptDelay(Events events, unsigned timer, std::uint64_t longest, Callback over)
      : events_(events), over_(over), longest_(longest), timer_(timer) {}

  /// So many buffers were used since this was last told.
  void used(std::uint32_t buffers) { untold_ += buffers; }

  /// Whether so many were used that an interrupt need not wait. A queue has `queue_size` entries.
  [[nodiscard]] bool enough(std::uint32_t queue_size) {
    if (untold_ < queue_size / together) return false;
    waited_in_vain(false);
    return true;
  }

  /// A round is over and the driver wants an interrupt: whether it is to wait, which is until `over` is called or a
  /// later round has enough(). False also where nobody could call back.
  [[nodiscard]] bool waits(std::uint32_t queue_size) {
    return !enough(queue_size) && (waiting_ || put_off(queue_size / together));
  }

  /// `over` was called: whether there is an interrupt that has waited.
  [[nodiscard]] bool is_over() {
    if (!waiting_) return false;
    waiting_ = false;
    waited_in_vain(untold_ == put_off_at_);
    return true;
  }

  /// The driver is interrupted.
  void interrupted() {
    told_at_ = events_.now();
    untold_ = 0;
    waiting_ = false;
  }

  /// Nothing waits any more, and what was learnt of the driver is forgotten.
  void reset() {
    if (waiting_) events_.disarm(timer_);
    waiting_ = false;
    waited_in_vain(false);
  }

 private:
  /// Has `over` called when so many buffers would be used, if they go on coming as they came since the last interrupt.
  [[nodiscard]] bool put_off(std::uint32_t buffers) {
    const std::uint64_t elapsed = events_.now() - told_at_;
    if (elapsed >= longest_ || untold_ == 0) return false;
    if (prompt_left_ != 0) return --prompt_left_, false;
    // So soon after the last one there is no telling how they come.
    std::uint64_t wait = elapsed * buffers / untold_;
    if (wait < longest_ / 16) wait = longest_ / 16;
    if (wait > longest_) wait = longest_;
    put_off_at_ = untold_;
    return waiting_ = events_.arm(timer_, told_at_ + wait, over_);
  }

  void waited_in_vain(bool in_vain) {
    prompt_ = !in_vain ? 0 : prompt_ < most_prompt ? 2 * prompt_ + 1 : most_prompt;
    prompt_left_ = prompt_;
  }

  Events events_;
  Callback over_;
  std::uint64_t longest_;
  std::uint64_t told_at_ = 0;      ///< when the driver was last interrupted
  std::uint32_t untold_ = 0;       ///< buffers used since then
  std::uint32_t put_off_at_ = 0;   ///< how many there were when the interrupt began to wait
  std::uint32_t prompt_ = 0;       ///< how many interrupts do not wait after one that waited in vain
  std::uint32_t prompt_left_ = 0;  ///< of these
  unsigned timer_;
  bool waiting_ = false;
};

}  // namespace axvm::inline v1::virtio
