#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// A function of a device, to be called later. The machine calls it on its event-loop thread, under the device's lock,
/// never after the device is gone.
struct Callback {
  void* self = nullptr;
  void (*call)(void* self) = nullptr;

  void operator()() const { call(self); }

  /// `Callback::to<&Uart8250::on_input>(*this)`.
  template <auto Member, class T>
  static Callback to(T& object) {
    return {&object, [](void* self) { (static_cast<T*>(self)->*Member)(); }};
  }
};

/// When a descriptor is worth a callback.
enum class Interest : std::uint8_t { Nothing, Readable, Writable };

/// What a device may ask of the machine's event loop. A small value; each device has its own. Everything asked for ends
/// with the device. Without an owner (tests, freestanding) nothing is ever called back and the time stands at zero.
class Events {
 public:
  struct Operations {
    /// Calls back whenever the descriptor is readable or writable (level-triggered), until changed. One per descriptor
    /// and device: watching again replaces. False when the descriptor cannot be watched (a regular file).
    bool (*watch)(void* self, int descriptor, Interest interest, Callback callback);
    /// Calls back once at `deadline`, in nanoseconds of now(); arming again replaces. 0 disarms. `timer` is 0 to 7.
    void (*arm)(void* self, unsigned timer, std::uint64_t deadline, Callback callback);
    /// Monotonic time in nanoseconds.
    std::uint64_t (*now)(void* self);
  };
  static constexpr unsigned max_timers = 8;

  constexpr Events() = default;
  constexpr Events(void* self, Operations const* operations) : self_(self), operations_(operations) {}

  bool watch(int descriptor, Interest interest, Callback callback) const {
    return operations_ != nullptr && operations_->watch(self_, descriptor, interest, callback);
  }
  /// False when there is nobody to call back.
  bool arm(unsigned timer, std::uint64_t deadline, Callback callback) const {
    if (operations_ == nullptr) return false;
    operations_->arm(self_, timer, deadline, callback);
    return true;
  }
  void disarm(unsigned timer) const { arm(timer, 0, {}); }
  [[nodiscard]] std::uint64_t now() const { return operations_ != nullptr ? operations_->now(self_) : 0; }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
