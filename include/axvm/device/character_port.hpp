#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

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

/// The size of a terminal in characters; zeros where it is not known.
struct TerminalSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;

  friend constexpr bool operator==(TerminalSize const&, TerminalSize const&) = default;
};

/// A character port that is the holder's own: it closes what is behind it. Move-only.
class CharacterConnection {
 public:
  struct Operations {
    TerminalSize (*size)(void* self) = nullptr;
    void (*close)(void* self) = nullptr;
  };

  constexpr CharacterConnection() = default;
  constexpr CharacterConnection(void* self, Operations const* operations, CharacterPort port)
      : self_(self), operations_(operations), port_(port) {}
  CharacterConnection(CharacterConnection&& other) noexcept { *this = std::move(other); }
  CharacterConnection& operator=(CharacterConnection&& other) noexcept {
    std::swap(self_, other.self_);
    std::swap(operations_, other.operations_);
    std::swap(port_, other.port_);
    return *this;
  }
  ~CharacterConnection() {
    if (operations_ != nullptr && operations_->close != nullptr) operations_->close(self_);
  }

  /// The port, valid as long as the connection.
  [[nodiscard]] CharacterPort const& port() const { return port_; }
  /// The size of the terminal at the other end, as it is now.
  [[nodiscard]] TerminalSize size() const {
    return operations_ != nullptr && operations_->size != nullptr ? operations_->size(self_) : TerminalSize{};
  }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
  CharacterPort port_;
};

}  // namespace axvm::inline v1
