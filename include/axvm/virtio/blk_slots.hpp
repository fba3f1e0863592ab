#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include <axvm/core/guest_memory.hpp>
#include <axvm/device/block_image.hpp>

namespace axvm::inline v1::virtio {

/// Where the answer to a request goes.
struct BlkReply {
  std::byte* status = nullptr;  ///< the very last writable byte
  std::uint64_t room = 0;       ///< writable bytes before it
  std::uint16_t head = 0;
  std::uint16_t queue = 0;  ///< index
};

/// A request from when it was taken to when it is answered.
struct BlkSlot {
  BlkReply reply;
  BlockRequest request;     ///< what is asked of the image now; of a transfer, what is left of it
  std::span<Segment> data;  ///< transfers: the same; ranges: the guest memory they are read from
  std::uint64_t size = 0;   ///< bytes of the disk that are done when all is well
  std::uint32_t range = 0;  ///< ranges: how many of them were begun
  std::uint32_t next = 0;   ///< in a list of slots
  std::uint32_t room = 0;   ///< where its segments are: see BlkSlots
};

/// The requests that are under way, and their segments: a fixed number of both, in memory that is not touched before it
/// is needed. Few requests have more than a handful of segments, so that only some slots can have the full number.
class BlkSlots {
 public:
  static constexpr std::uint32_t none = ~0u;
  static constexpr std::uint32_t capacity = 256;  ///< requests
  /// Segments of a request that has no room of its own.
  static constexpr std::size_t few = 4;
  /// Segments of one that has: those of the longest well-behaved request and one more for each seam in memory.
  static constexpr std::size_t many = 126 + GuestMemory::max_regions;
  /// How many requests have room of their own at a time.
  static constexpr std::uint32_t rooms = 32;

  BlkSlots() {}  // leaves the memory alone
  BlkSlots(BlkSlots const&) = delete;
  BlkSlots& operator=(BlkSlots const&) = delete;

  /// Whether take() works for any request.
  [[nodiscard]] bool has_room() const { return (free_ != none || used_ != capacity) && taken_rooms_ != all_rooms; }
  /// A slot for a request with a copy of these segments, at most `many`; `has_room()` was true.
  [[nodiscard]] std::uint32_t take(std::span<const Segment> segments) {
    std::uint32_t index = free_;
    if (index != none) free_ = (*this)[index].next;
    else index = used_++;
    auto& slot = *::new (slots_ + sizeof(BlkSlot) * index) BlkSlot{};
    std::byte* to = few_ + sizeof(Segment) * few * index;
    slot.room = none;
    if (segments.size() > few) {
      slot.room = static_cast<std::uint32_t>(__builtin_ctz(~taken_rooms_));
      taken_rooms_ |= 1u << slot.room;
      to = many_ + sizeof(Segment) * many * slot.room;
    }
    for (std::size_t i = 0; i < segments.size(); ++i) ::new (to + sizeof(Segment) * i) Segment(segments[i]);
    slot.data = {reinterpret_cast<Segment*>(to), segments.size()};
    return index;
  }
  /// Frees a slot.
  void give_back(std::uint32_t index) {
    BlkSlot& slot = (*this)[index];
    if (slot.room != none) taken_rooms_ &= ~(1u << slot.room);
    slot.next = free_;
    free_ = index;
  }
  /// Frees all.
  void clear() {
    free_ = none;
    used_ = taken_rooms_ = 0;
  }

  /// A slot that is taken.
  [[nodiscard]] BlkSlot& operator[](std::uint32_t index) { return reinterpret_cast<BlkSlot*>(slots_)[index]; }

 private:
  static constexpr std::uint32_t all_rooms = ~0u;
  static_assert(rooms == 32, "one bit each");

  std::uint32_t free_ = none;      ///< the first of the free slots that were in use before
  std::uint32_t used_ = 0;         ///< slots that were ever in use
  std::uint32_t taken_rooms_ = 0;  ///< one bit each
  alignas(BlkSlot) std::byte slots_[capacity * sizeof(BlkSlot)];
  alignas(Segment) std::byte few_[capacity * few * sizeof(Segment)];
  alignas(Segment) std::byte many_[rooms * many * sizeof(Segment)];
};

}  // namespace axvm::inline v1::virtio
