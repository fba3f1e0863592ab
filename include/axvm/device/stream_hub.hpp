#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <axvm/core/bytes.hpp>

namespace axvm::inline v1 {

/// What became possible with a stream of a hub. Told once: it holds until a call finds that it is no more.
struct StreamEvent {
  static constexpr std::uint32_t arrival = ~0u;

  std::uint32_t stream = arrival;  ///< which one, or `arrival`: somebody waits to be accepted
  bool readable = false;           ///< there are bytes, or the end of them
  bool writable = false;           ///< there is room for bytes
  bool ended = false;              ///< the other side sends nothing more than what is there
  bool hung_up = false;            ///< the other side takes nothing any more either
};

/// How a transfer went.
struct StreamTransfer {
  std::size_t count = 0;  ///< bytes
  bool over = false;      ///< there will never be more: the other side has ended it, or it failed
};

/// The host's streams of one device: connections of programs to it and from it to programs. Streams have numbers below
/// `max_streams` that the device chooses. Owns what is open; move-only. No call blocks.
class StreamHub {
 public:
  static constexpr std::uint32_t max_streams = 64;
  /// Bytes that the device may keep for a stream which does not take them.
  static constexpr std::size_t buffer_size = std::size_t{64} * 1024;

  struct Operations {
    int (*descriptor)(void* self);
    std::size_t (*events)(void* self, std::span<StreamEvent> into);
    bool (*accept)(void* self, std::uint32_t stream);
    bool (*connect)(void* self, std::uint32_t stream, std::uint32_t port);
    StreamTransfer (*read)(void* self, std::uint32_t stream, Bytes into);
    StreamTransfer (*write)(void* self, std::uint32_t stream, ConstBytes from);
    Bytes (*buffer)(void* self, std::uint32_t stream);
    void (*finish)(void* self, std::uint32_t stream);
    void (*drop)(void* self, std::uint32_t stream);
    void (*close)(void* self);
  };

  constexpr StreamHub() = default;
  constexpr StreamHub(void* self, Operations const* operations) : self_(self), operations_(operations) {}
  StreamHub(StreamHub&& other) noexcept { *this = std::move(other); }
  StreamHub& operator=(StreamHub&& other) noexcept {
    std::swap(self_, other.self_);
    std::swap(operations_, other.operations_);
    return *this;
  }
  ~StreamHub() {
    if (operations_ != nullptr) operations_->close(self_);
  }

  /// Readable while there are events.
  [[nodiscard]] int descriptor() const { return operations_->descriptor(self_); }
  /// Takes events, at most as many as there is room for, and returns how many.
  std::size_t events(std::span<StreamEvent> into) const { return operations_->events(self_, into); }
  /// Makes the next connection that waits the stream of this number, which is free. False when none waits or the host
  /// has no means for it.
  [[nodiscard]] bool accept(std::uint32_t stream) const { return operations_->accept(self_, stream); }
  /// Connects the stream of this number, which is free, to the program that serves a port. False when there is none.
  [[nodiscard]] bool connect(std::uint32_t stream, std::uint32_t port) const {
    return operations_->connect(self_, stream, port);
  }
  /// Takes what has arrived. No bytes and not over: nothing now.
  StreamTransfer read(std::uint32_t stream, Bytes into) const { return operations_->read(self_, stream, into); }
  /// Sends what can be sent now.
  StreamTransfer write(std::uint32_t stream, ConstBytes from) const { return operations_->write(self_, stream, from); }
  /// `buffer_size` bytes of the device's own use, as long as the stream is open.
  [[nodiscard]] Bytes buffer(std::uint32_t stream) const { return operations_->buffer(self_, stream); }
  /// Tells the other side that nothing more will be sent to it.
  void finish(std::uint32_t stream) const { operations_->finish(self_, stream); }
  /// Closes the stream; its number is free again.
  void drop(std::uint32_t stream) const { operations_->drop(self_, stream); }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
