#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// A message-signalled interrupt: what is written where ([intel/vol3] 11.11).
struct Message {
  std::uint64_t address = 0;
  std::uint32_t data = 0;

  friend constexpr bool operator==(Message const&, Message const&) = default;
};

/// The way of messages to the local APICs. A small value; without a function behind it they go nowhere.
class MessageSink {
 public:
  struct Operations {
    /// Delivers a message; any thread.
    void (*send)(void* self, Message const& message);
    /// Whether the end of the interrupt that this message makes is to be heard of (ExitReason::EndOfInterrupt), for a
    /// level-triggered line with this number, below IoApic::max_pins. It replaces what was said of the line before.
    /// Null: no longer.
    void (*watch_end)(void* self, unsigned line, Message const* message);
  };

  constexpr MessageSink() = default;
  constexpr MessageSink(void* self, Operations const* operations) : self_(self), operations_(operations) {}

  void send(Message const& message) const {
    if (operations_ != nullptr) operations_->send(self_, message);
  }
  void watch_end(unsigned line, Message const* message) const {
    if (operations_ != nullptr) operations_->watch_end(self_, line, message);
  }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
