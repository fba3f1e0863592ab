#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/character_port.hpp>
#include <axvm/device/entropy.hpp>
#include <axvm/device/frame_port.hpp>
#include <axvm/device/segment.hpp>
#include <axvm/device/stream_hub.hpp>

namespace axvm::inline v1 {

/// A disk as a block device sees it. Owns what is open behind it; move-only. All calls return 0 or an errno value and
/// transfer everything or fail.
class BlockImage {
 public:
  struct Operations {
    int (*read)(void* self, std::uint64_t offset, std::span<const Segment> segments);
    int (*write)(void* self, std::uint64_t offset, std::span<const Segment> segments);
    int (*flush)(void* self);
    void (*close)(void* self);
  };

  constexpr BlockImage() = default;
  /// `size` is in bytes.
  constexpr BlockImage(void* self, Operations const* operations, std::uint64_t size, bool read_only)
      : self_(self), operations_(operations), size_(size), read_only_(read_only) {}
  BlockImage(BlockImage&& other) noexcept { *this = std::move(other); }
  BlockImage& operator=(BlockImage&& other) noexcept {
    std::swap(self_, other.self_);
    std::swap(operations_, other.operations_);
    std::swap(size_, other.size_);
    std::swap(read_only_, other.read_only_);
    return *this;
  }
  ~BlockImage() {
    if (operations_ != nullptr) operations_->close(self_);
  }

  /// Whether there is a disk at all.
  [[nodiscard]] bool is_open() const { return operations_ != nullptr; }
  /// Bytes.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] bool read_only() const { return read_only_; }

  /// Fills the segments from `offset` on. The caller keeps the range within size().
  int read(std::uint64_t offset, std::span<const Segment> segments) {
    return operations_->read(self_, offset, segments);
  }
  /// Writes the segments from `offset` on. The caller keeps the range within size() and never writes a read-only disk.
  int write(std::uint64_t offset, std::span<const Segment> segments) {
    return operations_->write(self_, offset, segments);
  }
  /// Returns when everything written before is on stable storage.
  int flush() { return operations_->flush(self_); }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
  std::uint64_t size_ = 0;
  bool read_only_ = false;
};

/// What a device's `open` may ask of the system the monitor runs on. The machine brings the real one; tests bring one
/// made of memory. A small value.
class Host {
 public:
  struct Operations {
    Result<CharacterPort> (*console)(void* self);
    Result<BlockImage> (*image)(void* self, Path const& path, bool read_only);
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
  [[nodiscard]] Result<BlockImage> image(Path const& path, bool read_only) const {
    if (operations_ == nullptr || operations_->image == nullptr)
      return failure(ErrorCode::Unsupported, text<1023>("open disk image ", path), "this host has no disk images");
    return operations_->image(self_, path, read_only);
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
