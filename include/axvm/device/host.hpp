#pragma once

#include <cstddef>
#include <cstdint>
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
  bool at_once = true;     ///< what the host has in memory is read without the queue
};

/// What a host can have for devices. A program has only those parts of the system that its machine's devices take.
enum class HostPart : std::uint8_t { Console, Images, Entropy, Characters, Streams, Frames };

/// Several parts of a host.
struct HostParts {
  std::uint8_t bits = 0;  ///< bit N is the part N

  [[nodiscard]] constexpr bool has(HostPart part) const { return ((bits >> static_cast<unsigned>(part)) & 1) != 0; }
  friend constexpr HostParts operator|(HostParts a, HostParts b) {
    return {.bits = static_cast<std::uint8_t>(a.bits | b.bits)};
  }
};

/// The parts listed.
template <HostPart... Parts>
inline constexpr HostParts host_parts{.bits =
                                          static_cast<std::uint8_t>(((1U << static_cast<unsigned>(Parts)) | ... | 0U))};

/// What devices may ask of the system the monitor runs on. The machine brings the real one; tests bring one made of
/// memory. A small value.
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

/// A host as a device's `open` takes it that needs these parts of it: `open(Config const&, HostWith<HostPart::Images>
/// const& host)`. It has the functions of Host for these, and no others.
template <HostPart... Parts>
class HostWith {
  static constexpr HostParts parts = host_parts<Parts...>;

 public:
  HostWith(Host const& host) : host_(host) {}  // NOLINT(google-explicit-constructor): fewer parts of the same

  [[nodiscard]] Result<CharacterPort> console() const
    requires(parts.has(HostPart::Console))
  {
    return host_.console();
  }
  [[nodiscard]] Result<BlockImage> image(Path const& path, ImageOptions const& options) const
    requires(parts.has(HostPart::Images))
  {
    return host_.image(path, options);
  }
  [[nodiscard]] Result<EntropySource> entropy() const
    requires(parts.has(HostPart::Entropy))
  {
    return host_.entropy();
  }
  [[nodiscard]] Result<CharacterConnection> characters(Path const& where) const
    requires(parts.has(HostPart::Characters))
  {
    return host_.characters(where);
  }
  [[nodiscard]] Result<StreamHub> streams(Path const& path) const
    requires(parts.has(HostPart::Streams))
  {
    return host_.streams(path);
  }
  [[nodiscard]] Result<FramePort> frames(std::string_view interface) const
    requires(parts.has(HostPart::Frames))
  {
    return host_.frames(interface);
  }

 private:
  Host host_;
};

}  // namespace axvm::inline v1
