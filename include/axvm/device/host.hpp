#pragma once

#include <cstddef>

#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/block_image.hpp>

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

/// How a disk image is opened.
struct ImageOptions {
  bool read_only = false;  ///< for reading only
  bool direct = false;     ///< past the host's page cache
  bool queue = true;       ///< with a queue, where the host has one; without it requests are carried out one by one
};

/// What a device's `open` may ask of the system the monitor runs on. The machine brings the real one; tests bring one
/// made of memory. A small value.
class Host {
 public:
  struct Operations {
    Result<CharacterPort> (*console)(void* self);
    Result<BlockImage> (*image)(void* self, Path const& path, ImageOptions const& options);
  };

  constexpr Host() = default;
  constexpr Host(void* self, Operations const* operations) : self_(self), operations_(operations) {}

  /// The program's console; unconnected when the host has none.
  [[nodiscard]] Result<CharacterPort> console() const {
    if (operations_ == nullptr || operations_->console == nullptr) return CharacterPort{};
    return operations_->console(self_);
  }
  /// Opens a disk image or a block device.
  [[nodiscard]] Result<BlockImage> image(Path const& path, ImageOptions const& options) const {
    if (operations_ == nullptr || operations_->image == nullptr)
      return failure(ErrorCode::Unsupported, text<1023>("open disk image ", path), "this host has no disk images");
    return operations_->image(self_, path, options);
  }
  [[nodiscard]] Result<BlockImage> image(Path const& path, bool read_only) const {
    return image(path, ImageOptions{.read_only = read_only});
  }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
