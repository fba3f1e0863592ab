#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace axvm::inline v1::virtio {

/// virtq_desc, [virtio/1.2] 2.7.5: one buffer of a chain, or the table that continues it.
struct Descriptor {
  std::uint64_t addr = 0;   ///< guest-physical address
  std::uint32_t len = 0;    ///< bytes
  std::uint16_t flags = 0;  ///< NEXT, WRITE, INDIRECT; all other bits are ignored
  std::uint16_t next = 0;   ///< index of the next descriptor if NEXT

  static constexpr std::uint16_t NEXT = 1;      ///< VIRTQ_DESC_F_NEXT: `next` is valid
  static constexpr std::uint16_t WRITE = 2;     ///< VIRTQ_DESC_F_WRITE: the device writes it (otherwise: reads it)
  static constexpr std::uint16_t INDIRECT = 4;  ///< VIRTQ_DESC_F_INDIRECT: the buffer is a table of descriptors
};
static_assert(sizeof(Descriptor) == 16);
static_assert(offsetof(Descriptor, len) == 8 && offsetof(Descriptor, flags) == 12 && offsetof(Descriptor, next) == 14);

/// virtq_used_elem, [virtio/1.2] 2.7.8: a chain handed back.
struct UsedElement {
  std::uint32_t id = 0;   ///< index of the chain's head
  std::uint32_t len = 0;  ///< at least so many bytes were written, from the first writable byte on
};
static_assert(sizeof(UsedElement) == 8 && offsetof(UsedElement, len) == 4);

/// Whether a queue can have so many entries ([virtio/1.2] 2.7), its maximum aside.
constexpr bool is_power_of_two(std::uint32_t size) { return size != 0 && (size & (size - 1)) == 0; }

/// Where the parts of a split virtqueue of `size` entries lie in its three areas, [virtio/1.2] 2.7. Offsets in bytes.
struct RingLayout {
  static constexpr std::uint64_t descriptor_alignment = 16;
  static constexpr std::uint64_t driver_alignment = 2;
  static constexpr std::uint64_t device_alignment = 4;
  static constexpr std::uint64_t flags = 0;  ///< both rings: le16
  static constexpr std::uint64_t idx = 2;    ///< both rings: le16
  static constexpr std::uint64_t ring = 4;   ///< both rings: le16 each (available), UsedElement each (used)

  std::uint64_t size = 0;

  [[nodiscard]] constexpr std::uint64_t descriptor_area() const { return sizeof(Descriptor) * size; }
  [[nodiscard]] constexpr std::uint64_t driver_area() const { return 6 + 2 * size; }
  [[nodiscard]] constexpr std::uint64_t device_area() const { return 6 + sizeof(UsedElement) * size; }
  /// le16 in the driver area: the used index that the driver wants to hear of.
  [[nodiscard]] constexpr std::uint64_t used_event() const { return 4 + 2 * size; }
  /// le16 in the device area: the available index that the device wants to hear of.
  [[nodiscard]] constexpr std::uint64_t avail_event() const { return 4 + sizeof(UsedElement) * size; }
};
static_assert(RingLayout{256}.driver_area() == 518 && RingLayout{256}.device_area() == 2054);

/// VIRTQ_AVAIL_F_NO_INTERRUPT, [virtio/1.2] 2.7.6: the driver polls the used ring. Ignored with EVENT_IDX.
inline constexpr std::uint16_t VIRTQ_AVAIL_NO_INTERRUPT = 1;

/// What is wrong with a virtqueue or with a request in it. Each is a driver's breach of [virtio/1.2] that leaves the
/// device no way to answer, so that it asks for a reset.
enum class RingFault : std::uint8_t {
  None,
  BadQueueSize,           ///< zero, not a power of two, or above the maximum (2.7)
  MisalignedRing,         ///< an area's address is not aligned as 2.7 says
  RingOutsideMemory,      ///< an area is not wholly in one region of guest RAM
  IndexJump,              ///< the available index moved on by more than the queue size, or backwards
  HeadOutOfRange,         ///< an available entry names no descriptor
  HeadInFlight,           ///< an available entry names a chain that has not been handed back
  NextOutOfRange,         ///< `next` names no descriptor
  ChainTooLong,           ///< more descriptors than the queue has, or a loop (2.7.5.3.1)
  TooManySegments,        ///< more stretches of memory than the device has room for
  TooManyBytes,           ///< a chain of 2^32 bytes or more (2.7.5)
  ZeroLength,             ///< a descriptor of no bytes
  WrongDirection,         ///< a readable descriptor after a writable one (2.7.4.2)
  BufferOutsideMemory,    ///< a buffer is not wholly guest RAM
  IndirectNotNegotiated,  ///< INDIRECT without the feature (2.7.5.3.1)
  IndirectNested,         ///< INDIRECT within an indirect table (2.7.5.3.1)
  IndirectWithNext,       ///< INDIRECT and NEXT in one descriptor (2.7.5.3.1)
  IndirectBadTable,       ///< the table is empty, larger than the queue, or not whole descriptors at a multiple of 8
  IndirectOutsideMemory,  ///< the table is not wholly in one region of guest RAM
  BadRequest,             ///< the request lacks what its device type needs to answer it at all
  BadState,               ///< a restored state that no device can have been in
};

/// The fault in words, for messages.
constexpr std::string_view name_of(RingFault fault) {
  constexpr std::string_view names[] = {"none",
                                        "bad queue size",
                                        "ring misaligned",
                                        "ring outside memory",
                                        "available index out of step",
                                        "head out of range",
                                        "head still in flight",
                                        "next descriptor out of range",
                                        "chain too long or looping",
                                        "too many segments",
                                        "chain of 4 GiB or more",
                                        "descriptor of zero bytes",
                                        "readable descriptor after a writable one",
                                        "buffer outside memory",
                                        "indirect descriptor without the feature",
                                        "nested indirect descriptor",
                                        "indirect descriptor with a next one",
                                        "bad indirect table",
                                        "indirect table outside memory",
                                        "request without a header or a status byte",
                                        "impossible restored state"};
  return names[static_cast<std::size_t>(fault)];
}

}  // namespace axvm::inline v1::virtio
