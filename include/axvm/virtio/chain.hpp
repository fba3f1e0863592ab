#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/guest_memory.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/ring.hpp>

namespace axvm::inline v1::virtio {

/// A descriptor chain as a device sees it: stretches of checked guest memory, the readable ones before the writable
/// ones ([virtio/1.2] 2.7.4.2). Where one part of a request ends and the next begins has nothing to do with where
/// descriptors end (2.7.4), so devices look at both as bytes: segments.hpp.
///
/// The room for segments is the owner's and bounds the chain; as many as the queue's maximum size are always enough,
/// but for a buffer that runs over the seam of two adjoining memory regions, which takes one more.
class Chain {
 public:
  constexpr Chain() = default;
  /// A chain that keeps its segments in `room`, which must outlive it.
  constexpr explicit Chain(std::span<Segment> room) : room_(room) {}

  /// The index of its first descriptor: its name when it is handed back.
  [[nodiscard]] constexpr std::uint16_t head() const { return head_; }
  /// What the device reads; it may shorten the segments for its own use.
  [[nodiscard]] constexpr std::span<Segment> readable() const { return room_.first(readable_); }
  /// What the device writes, likewise.
  [[nodiscard]] constexpr std::span<Segment> writable() const { return room_.subspan(readable_, count_ - readable_); }
  /// Bytes in readable() as the driver gave them; below 2^32.
  [[nodiscard]] constexpr std::uint64_t readable_size() const { return readable_size_; }
  /// Bytes in writable() as the driver gave them; below 2^32.
  [[nodiscard]] constexpr std::uint64_t writable_size() const { return writable_size_; }

  /// Forgets the segments and starts the chain with this head.
  constexpr void start(std::uint16_t head) {
    head_ = head;
    readable_ = count_ = 0;
    readable_size_ = writable_size_ = 0;
  }

  /// Adds one buffer, or says what is wrong with it.
  [[nodiscard]] RingFault append(GuestMemory const& memory, Descriptor const& buffer) {
    bool writable = (buffer.flags & Descriptor::WRITE) != 0;
    if (buffer.len == 0) return RingFault::ZeroLength;
    if (!writable && writable_size_ != 0) return RingFault::WrongDirection;
    if (readable_size_ + writable_size_ + buffer.len > 0xffff'ffff) return RingFault::TooManyBytes;
    if (std::byte* const whole = memory.at(buffer.addr, buffer.len); whole != nullptr && count_ != room_.size())
      room_[count_++] = {whole, buffer.len};
    else if (RingFault fault = append_parts(memory, buffer.addr, buffer.len); fault != RingFault::None) return fault;
    (writable ? writable_size_ : readable_size_) += buffer.len;
    if (!writable) readable_ = count_;
    return RingFault::None;
  }

 private:
  /// A buffer that runs over a seam of memory, or that there is no room or no memory for.
  [[gnu::noinline, gnu::cold]] RingFault append_parts(GuestMemory const& memory, GuestAddress address,
                                                      std::uint64_t length) {
    while (length != 0) {
      const Bytes part = memory.part_at(address, length);
      if (part.empty()) return RingFault::BufferOutsideMemory;
      if (count_ == room_.size()) return RingFault::TooManySegments;
      room_[count_++] = {part.data(), part.size()};
      address += part.size();  // no wrap: it is within a region, whose end is below 2^64
      length -= part.size();
    }
    return RingFault::None;
  }

  std::span<Segment> room_;
  std::size_t readable_ = 0;  // how many of the segments are readable
  std::size_t count_ = 0;
  std::uint64_t readable_size_ = 0;
  std::uint64_t writable_size_ = 0;
  std::uint16_t head_ = 0;
};

}  // namespace axvm::inline v1::virtio
