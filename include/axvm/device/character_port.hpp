#pragma once

#include <cstddef>

#include <axvm/core/bytes.hpp>

namespace axvm::inline v1 {

/// Where a serial device sends and receives its bytes. A small value over something the host owns; no call blocks but
/// wait().
class CharacterPort {
 public:
  struct Operations {
    std::size_t (*write)(void* self, ConstBytes bytes);
    std::size_t (*read)(void* self, Bytes into);
    int (*input)(void* self);
    int (*output)(void* self);
    bool (*wait)(void* self, int milliseconds) = nullptr;
  };

  constexpr CharacterPort() = default;
  constexpr CharacterPort(void* self, Operations const* operations) : self_(self), operations_(operations) {}

  /// Sends what can be sent now and returns how many bytes that was. An unconnected port takes and drops everything.
  std::size_t write(ConstBytes bytes) const {
    return operations_ != nullptr ? operations_->write(self_, bytes) : bytes.size();
  }
  /// Takes what has arrived, at most `into.size()` bytes; 0 when there is nothing now.
  std::size_t read(Bytes into) const { return operations_ != nullptr ? operations_->read(self_, into) : 0; }
  /// Waits until something can be sent, at most so long; false when it cannot. The only call that waits: for a device's
  /// last words.
  [[nodiscard]] bool wait(int milliseconds) const {
    return operations_ != nullptr && operations_->wait != nullptr && operations_->wait(self_, milliseconds);
  }
  /// The descriptor to watch for input, or -1 when there never is any.
  [[nodiscard]] int input() const { return operations_ != nullptr ? operations_->input(self_) : -1; }
  /// The descriptor to watch for room to write, or -1.
  [[nodiscard]] int output() const { return operations_ != nullptr ? operations_->output(self_) : -1; }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
