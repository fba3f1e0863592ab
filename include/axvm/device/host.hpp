#pragma once

#include <cstddef>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/block_image.hpp>
#include <axvm/device/character_port.hpp>
#include <axvm/device/entropy.hpp>
#include <axvm/device/frame_port.hpp>
#include <axvm/device/stream_hub.hpp>

namespace axvm::inline v1 {

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
    Result<EntropySource> (*entropy)(void* self) = nullptr;
    Result<CharacterConnection> (*characters)(void* self, Path const& where) = nullptr;
    Result<StreamHub> (*streams)(void* self, Path const& path) = nullptr;
    Result<FramePort> (*frames)(void* self, std::string_view interface) = nullptr;
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
  /// The system's random numbers.
  [[nodiscard]] Result<EntropySource> entropy() const {
    if (operations_ == nullptr || operations_->entropy == nullptr)
      return failure(ErrorCode::Unsupported, "use random numbers of the host", "this host has none");
    return operations_->entropy(self_);
  }
  /// Connects a console of its own: to "stdio", the program's console, whose input it then has alone; "pty:PATH", a new
  /// pseudo-terminal with a symbolic link to it at PATH; "unix:PATH", a socket that listens there.
  [[nodiscard]] Result<CharacterConnection> characters(Path const& where) const {
    if (operations_ == nullptr || operations_->characters == nullptr)
      return failure(ErrorCode::Unsupported, text<1023>("connect a console to ", where), "this host has no consoles");
    return operations_->characters(self_, where);
  }
  /// Listens for programs at a path, and connects to those that listen at the path with "_PORT" behind it.
  [[nodiscard]] Result<StreamHub> streams(Path const& path) const {
    if (operations_ == nullptr || operations_->streams == nullptr)
      return failure(ErrorCode::Unsupported, text<1023>("listen at the socket ", path), "this host has no sockets");
    return operations_->streams(self_, path);
  }
  /// Attaches to a TAP interface, which is made if there is none of this name.
  [[nodiscard]] Result<FramePort> frames(std::string_view interface) const {
    if (operations_ == nullptr || operations_->frames == nullptr)
      return failure(ErrorCode::Unsupported, text<1023>("attach to the TAP ", interface), "this host has none");
    return operations_->frames(self_, interface);
  }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
