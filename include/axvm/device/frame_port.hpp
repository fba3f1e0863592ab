#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <axvm/device/segment.hpp>

namespace axvm::inline v1 {

/// What the reader of a frame port can finish by itself of frames that the host has not finished: checksums still to be
/// filled in, TCP segments still to be cut ([virtio/1.2] 5.1.6.2).
struct FrameOffloads {
  bool checksum = false;
  bool tso4 = false;  ///< with `checksum` only
  bool tso6 = false;  ///< likewise
};

/// Ethernet frames of a network interface of the host, each behind a virtio_net_hdr of 12 bytes ([virtio/1.2] 5.1.6).
/// Owns what is open behind it; move-only. No call blocks.
class FramePort {
 public:
  struct Operations {
    int (*descriptor)(void* self);
    std::size_t (*read)(void* self, std::span<const Segment> into);
    bool (*write)(void* self, std::span<const Segment> frame);
    void (*set_offloads)(void* self, FrameOffloads offloads);
    void (*close)(void* self);
  };

  constexpr FramePort() = default;
  constexpr FramePort(void* self, Operations const* operations) : self_(self), operations_(operations) {}
  FramePort(FramePort&& other) noexcept { *this = std::move(other); }
  FramePort& operator=(FramePort&& other) noexcept {
    std::swap(self_, other.self_);
    std::swap(operations_, other.operations_);
    return *this;
  }
  ~FramePort() {
    if (operations_ != nullptr) operations_->close(self_);
  }

  /// Readable while there are frames.
  [[nodiscard]] int descriptor() const { return operations_->descriptor(self_); }
  /// Takes the next frame, header first, and returns its size; 0 when there is none. What does not fit is cut off.
  [[nodiscard]] std::size_t read(std::span<const Segment> into) const { return operations_->read(self_, into); }
  /// Sends a frame, header first. False when the host did not take it.
  [[nodiscard]] bool write(std::span<const Segment> frame) const { return operations_->write(self_, frame); }
  /// Says what frames the reader takes from now on; without it only finished ones.
  void set_offloads(FrameOffloads offloads) const { operations_->set_offloads(self_, offloads); }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
};

}  // namespace axvm::inline v1
