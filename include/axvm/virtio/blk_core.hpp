#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/blk_request.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>

// The virtio block device, [virtio/1.2] 5.2, without a transport.
// Modelled: IN, OUT, FLUSH, GET_ID; the features SEG_MAX, RO, BLK_SIZE and FLUSH. Without FLUSH every write is flushed
//   before it is reported (5.2.6.2).
// Left out: DISCARD, WRITE_ZEROES, SECURE_ERASE (answered UNSUPP), CONFIG_WCE, TOPOLOGY, GEOMETRY, MQ, lifetime.
// Ignored: the header's reserved field, the sector of requests that have none, readable bytes beyond a header where
//   nothing is to be read.

namespace axvm::inline v1::virtio {

/// What a block device counts.
struct BlkCounters {
  Counter requests;       ///< answered, whatever the answer
  Counter bytes_read;     ///< by the guest, from the disk
  Counter bytes_written;  ///< by the guest, to the disk
  Counter errors;         ///< requests answered with anything but OK
};

/// Serves requests from a disk image, one after the other, straight from and to guest memory.
class BlkCore {
 public:
  static constexpr std::uint32_t device_type = device_type::block;
  static constexpr std::array<std::uint32_t, 1> queue_sizes = {256};
  /// Segments of data in one request; with a header and a status byte it makes 128 descriptors.
  static constexpr std::uint32_t seg_max = 126;
  /// Bytes in one segment of a well-behaved driver, and so in one request of any driver.
  static constexpr std::uint32_t size_max = 256 * KiB;
  static constexpr std::uint64_t largest_request = std::uint64_t{seg_max} * size_max;
  /// How many bytes one round may move before others get their turn: it holds the device's lock and, mostly, the event
  /// loop. A flush counts as `flush_cost`.
  static constexpr std::uint64_t round_budget = 32 * MiB;
  static constexpr std::uint64_t flush_cost = MiB;

  /// `image` and `counters` must outlive it. `id` is what GET_ID answers; its first 20 bytes are kept.
  BlkCore(BlockImage& image, bool read_only, std::string_view id, BlkCounters& counters)
      : image_(image), counters_(counters), read_only_(read_only || image.read_only()) {
    config_.capacity = image.size() / blk_sector_size;
    config_.size_max = size_max;
    config_.seg_max = seg_max;
    config_.blk_size = blk_sector_size;
    for (std::size_t i = 0; i < blk_id_size && i < id.size(); ++i) id_[i] = static_cast<std::byte>(id[i]);
  }
  BlkCore(BlkCore const&) = delete;
  BlkCore& operator=(BlkCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const {
    return blk_feature::SEGMENT_SIZE_MAX | blk_feature::SEG_MAX | blk_feature::BLK_SIZE | blk_feature::FLUSH |
           (read_only_ ? blk_feature::RO : 0);
  }
  [[nodiscard]] ConstBytes config() const { return bytes_of(config_); }

  /// One round over the queue: at most as many requests as it has entries and not many more bytes than the budget, and
  /// one interrupt for them all. What is left then is for another round.
  template <Transport T>
  void notified(T& transport, std::size_t index) {
    Queue& queue = transport.queue(index);
    bool write_through = (transport.features() & blk_feature::FLUSH) == 0;
    queue.refresh();
    std::uint64_t spent = 0;
    while (queue.pop(chain_)) {
      spent += serve(queue, write_through);
      if (spent > round_budget && transport.again()) break;
    }
    transport.completed(index);
  }

  /// Requests end before notified() does: there is nothing to call off.
  void reset() {}

 private:
  /// How a request went and how many bytes of its data buffer were written, from the first on.
  struct Answer {
    BlkRequestStatus status = BlkRequestStatus::OK;
    std::uint64_t written = 0;
  };

  /// Returns what the request cost, in bytes moved.
  std::uint64_t serve(Queue& queue, bool write_through) {
    BlkRequestHeader header;
    std::byte raw_header[sizeof header];
    if (chain_.writable_size() == 0 || !gather(chain_.readable(), 0, raw_header)) {
      queue.fail(RingFault::BadRequest);
      return 0;
    }
    std::memcpy(&header, raw_header, sizeof header);
    // The status is the very last byte, whatever else shares its descriptor. Found before the data are cut to size.
    std::uint64_t room = chain_.writable_size() - 1;
    Segment last = chain_.writable().back();
    std::byte* status_byte = last.data + last.size - 1;

    const std::uint64_t size = chain_.readable_size() + room;
    Answer answer = size <= largest_request + sizeof header ? perform(header, room, write_through)
                                                            : Answer{BlkRequestStatus::IOERR, 0};
    *status_byte = static_cast<std::byte>(answer.status);
    counters_.requests.add();
    if (answer.status != BlkRequestStatus::OK) counters_.errors.add();
    // The length counts from the first writable byte on and may not skip bytes that were not written (2.7.8), so the
    // status byte counts only where there is no gap before it.
    std::uint64_t length = answer.written == room ? room + 1 : answer.written;
    queue.push(chain_.head(), static_cast<std::uint32_t>(length));
    const bool flushes = write_through || static_cast<BlkRequestType>(header.type) == BlkRequestType::FLUSH;
    return (answer.status == BlkRequestStatus::OK ? size : 0) + (flushes ? flush_cost : 0);
  }

  /// `room` is the size of the writable part but for the status byte.
  [[nodiscard]] Answer perform(BlkRequestHeader const& header, std::uint64_t room, bool write_through) {
    switch (static_cast<BlkRequestType>(header.type)) {
      case BlkRequestType::IN: return read(header.sector, room);
      case BlkRequestType::OUT: return {write(header.sector, write_through), 0};
      case BlkRequestType::FLUSH: return {flush(), 0};
      case BlkRequestType::GET_ID: return identify(room);
    }
    return {BlkRequestStatus::UNSUPP, 0};
  }

  /// Whether `size` bytes are whole sectors of the disk from `sector` on.
  [[nodiscard]] bool fits(std::uint64_t sector, std::uint64_t size) const {
    return size % blk_sector_size == 0 && range_fits(sector, size / blk_sector_size, config_.capacity);
  }

  [[nodiscard]] Answer read(std::uint64_t sector, std::uint64_t size) {
    if (!fits(sector, size)) return {BlkRequestStatus::IOERR, 0};
    if (size != 0 && image_.read(sector * blk_sector_size, narrow(chain_.writable(), 0, size)) != 0)
      return {BlkRequestStatus::IOERR, 0};
    counters_.bytes_read.add(size);
    return {BlkRequestStatus::OK, size};
  }

  [[nodiscard]] BlkRequestStatus write(std::uint64_t sector, bool write_through) {
    std::uint64_t size = chain_.readable_size() - sizeof(BlkRequestHeader);
    if (read_only_ || !fits(sector, size)) return BlkRequestStatus::IOERR;
    if (size == 0) return BlkRequestStatus::OK;
    if (image_.write(sector * blk_sector_size, narrow(chain_.readable(), sizeof(BlkRequestHeader), size)) != 0)
      return BlkRequestStatus::IOERR;
    counters_.bytes_written.add(size);
    return write_through ? flush() : BlkRequestStatus::OK;
  }

  [[nodiscard]] BlkRequestStatus flush() {
    return image_.is_open() && image_.flush() == 0 ? BlkRequestStatus::OK : BlkRequestStatus::IOERR;
  }

  [[nodiscard]] Answer identify(std::uint64_t room) {
    std::size_t size = room < blk_id_size ? static_cast<std::size_t>(room) : blk_id_size;
    return scatter(chain_.writable(), 0, ConstBytes(id_).first(size)) ? Answer{BlkRequestStatus::OK, size}
                                                                      : Answer{BlkRequestStatus::IOERR, 0};
  }

  BlockImage& image_;
  BlkCounters& counters_;
  bool read_only_;
  BlkConfig config_{};
  std::array<std::byte, blk_id_size> id_{};
  std::array<Segment, queue_sizes[0] + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
};

static_assert(Core<BlkCore> && are_queue_sizes(BlkCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
