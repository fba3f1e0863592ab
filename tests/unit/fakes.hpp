#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <axvm/device/context.hpp>
#include <axvm/device/host.hpp>

/// What a device under test is connected to: each fake records what the device does and plays the world's part when
/// told. They hand out values that point back to them, so none of them may be moved while a device lives.
namespace fakes {

/// An event loop with a clock that moves only by hand.
class EventLoop {
 public:
  std::uint64_t now = 1'000'000'000;
  std::set<int> unwatchable;  ///< descriptors that watch() refuses, as epoll refuses regular files
  unsigned watch_calls = 0;
  unsigned arm_calls = 0;

  axvm::Events events() { return {this, &operations}; }

  [[nodiscard]] axvm::Interest interest(int descriptor) const {
    auto found = watched_.find(descriptor);
    return found == watched_.end() ? axvm::Interest::Nothing : found->second.interest;
  }
  /// Tells the device that a descriptor is readable or writable, if it is watched for that; says whether it was.
  bool ready(int descriptor, axvm::Interest what) {
    if (interest(descriptor) != what) return false;
    axvm::Callback callback = watched_[descriptor].callback;
    callback();
    return true;
  }
  /// The deadline of an armed timer, or 0.
  [[nodiscard]] std::uint64_t deadline(unsigned timer) const { return timers_.at(timer).deadline; }
  /// Moves the clock on, firing on the way every timer at its own time.
  void advance(std::uint64_t nanoseconds) {
    std::uint64_t end = now + nanoseconds;
    while (Timer* next = first_due(end)) {
      if (next->deadline > now) now = next->deadline;
      fire(*next);
    }
    now = end;
  }
  /// Moves the clock on without firing anything (the machine was suspended), then fires what is due, once each.
  void stall(std::uint64_t nanoseconds) {
    now += nanoseconds;
    for (Timer& timer : timers_)
      if (timer.deadline != 0 && timer.deadline <= now) fire(timer);
  }

 private:
  struct Watch {
    axvm::Interest interest = axvm::Interest::Nothing;
    axvm::Callback callback;
  };
  struct Timer {
    std::uint64_t deadline = 0;
    axvm::Callback callback;
  };

  static bool watch(void* self, int descriptor, axvm::Interest interest, axvm::Callback callback) {
    auto& loop = *static_cast<EventLoop*>(self);
    ++loop.watch_calls;
    if (loop.unwatchable.contains(descriptor)) return false;
    loop.watched_[descriptor] = {interest, callback};
    return true;
  }
  static void arm(void* self, unsigned timer, std::uint64_t deadline, axvm::Callback callback) {
    auto& loop = *static_cast<EventLoop*>(self);
    ++loop.arm_calls;
    loop.timers_.at(timer) = {deadline, callback};
  }
  static std::uint64_t time(void* self) { return static_cast<EventLoop*>(self)->now; }
  static constexpr axvm::Events::Operations operations{watch, arm, time};

  Timer* first_due(std::uint64_t end) {
    Timer* first = nullptr;
    for (Timer& timer : timers_)
      if (timer.deadline != 0 && timer.deadline <= end && (first == nullptr || timer.deadline < first->deadline))
        first = &timer;
    return first;
  }
  static void fire(Timer& timer) {
    axvm::Callback callback = timer.callback;
    timer = {};
    callback();
  }

  std::map<int, Watch> watched_;
  std::array<Timer, axvm::Events::max_timers> timers_{};
};

/// The far end of an interrupt line.
class InterruptRecorder {
 public:
  bool level = false;
  unsigned edges = 0;             ///< rising ones
  std::function<void()> on_edge;  ///< what the other end does at each of them

  axvm::IrqLine line() {
    return {this, [](void* self, bool high) {
              auto& recorder = *static_cast<InterruptRecorder*>(self);
              recorder.level = high;
              if (high) ++recorder.edges;
              if (high && recorder.on_edge) recorder.on_edge();
            }};
  }
  /// Rising edges since the last call.
  unsigned take() {
    unsigned seen = edges;
    edges = 0;
    return seen;
  }
};

/// Where message interrupts end up.
class MessageRecorder {
 public:
  axvm::MessageSink sink() { return {this, &operations}; }
  /// Those that were sent since the last call, in order.
  std::vector<axvm::Message> take() { return std::exchange(sent, {}); }

  std::vector<axvm::Message> sent;
  std::function<void(axvm::Message const&)> on_message;  ///< what the other end does at each of them

 private:
  static void send(void* self, axvm::Message const& message) {
    auto& recorder = *static_cast<MessageRecorder*>(self);
    recorder.sent.push_back(message);
    if (recorder.on_message) recorder.on_message(message);
  }
  static void watch_end(void*, unsigned, axvm::Message const*) {}
  static constexpr axvm::MessageSink::Operations operations{send, watch_end};
};

/// A character port made of memory: `arrived` is what the device may read, `sent` what it wrote.
class CharacterPort {
 public:
  static constexpr int input = 100, output = 101;
  std::deque<char> arrived;
  std::string sent;
  std::size_t room = ~std::size_t{0};  ///< how many more bytes it takes before the reader is stuck
  std::size_t room_after_waiting = 0;  ///< what each wait() makes of it
  unsigned waits = 0;

  axvm::CharacterPort port() { return {this, &operations}; }
  void type(std::string_view text) { arrived.insert(arrived.end(), text.begin(), text.end()); }

 private:
  static std::size_t write(void* self, axvm::ConstBytes bytes) {
    auto& port = *static_cast<CharacterPort*>(self);
    std::size_t count = bytes.size() < port.room ? bytes.size() : port.room;
    for (std::byte byte : bytes.first(count)) port.sent += static_cast<char>(byte);
    port.room -= count;
    return count;
  }
  static std::size_t read(void* self, axvm::Bytes into) {
    auto& port = *static_cast<CharacterPort*>(self);
    std::size_t count = 0;
    for (; count < into.size() && !port.arrived.empty(); ++count) {
      into[count] = static_cast<std::byte>(port.arrived.front());
      port.arrived.pop_front();
    }
    return count;
  }
  /// The reader comes back to its senses when somebody waits for it.
  static bool wait(void* self, int) {
    auto& port = *static_cast<CharacterPort*>(self);
    ++port.waits;
    port.room = port.room_after_waiting;
    return port.room != 0;
  }
  static constexpr axvm::CharacterPort::Operations operations{write, read, [](void*) { return input; },
                                                              [](void*) { return output; }, wait};
};

/// What devices asked of the whole machine, in order.
class MachineRecorder {
 public:
  std::vector<axvm::Action> requests;

  axvm::MachineControl control() {
    return {this,
            [](void* self, axvm::Action action) { static_cast<MachineRecorder*>(self)->requests.push_back(action); }};
  }
};

}  // namespace fakes
