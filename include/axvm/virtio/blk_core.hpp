#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/block_image.hpp>
#include <axvm/virtio/blk_engine.hpp>
#include <axvm/virtio/blk_request.hpp>
#include <axvm/virtio/round.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>

// The virtio block device, [virtio/1.2] 5.2, without a transport.
// Modelled: IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES; the features SIZE_MAX, SEG_MAX, RO, BLK_SIZE, TOPOLOGY,
//   FLUSH, CONFIG_WCE, MQ, DISCARD, WRITE_ZEROES. A write is flushed before it is reported (5.2.6.2) where CONFIG_WCE
//   was negotiated and writeback is 0, and always without FLUSH.
// Left out: SECURE_ERASE (answered UNSUPP), GEOMETRY, lifetime. A driver that takes CONFIG_WCE without FLUSH reads
//   writeback as 1 until it writes it (5.2.5.2 wants 0); what it gets is write-through.
// Ignored: the header's reserved field, the sector of requests that have none, readable bytes beyond a header where
//   nothing is to be read, writes to the configuration space but for writeback.

namespace axvm::inline v1::virtio {

/// Takes requests out of its queues and has them carried out, straight from and to guest memory. Some may still be
/// under way when a round ends, where somebody has set_asynchronous() and calls finished().
class BlkCore {
 public:
  static constexpr std::uint32_t device_type = device_type::block;
  static constexpr std::size_t max_queues = 4;
  static constexpr std::array<std::uint32_t, max_queues> queue_sizes = {256, 256, 256, 256};
  /// Segments of data in one request; with a header and a status byte it makes 128 descriptors.
  static constexpr std::uint32_t seg_max = 126;
  /// Bytes in one segment of a well-behaved driver, and so in one request of any driver.
  static constexpr std::uint32_t size_max = 256 * KiB;
  static constexpr std::uint64_t largest_request = std::uint64_t{seg_max} * size_max;
  /// Ranges of one DISCARD or WRITE_ZEROES.
  static constexpr std::uint32_t max_ranges = 32;
  /// How many bytes one round may move before others get their turn: it holds the device's lock and, mostly, the event
  /// loop. A flush counts as `flush_cost`.
  static constexpr std::uint64_t round_budget = 32 * MiB;
  static constexpr std::uint64_t flush_cost = MiB;

  /// `image` and `counters` must outlive it. `id` is what GET_ID answers; its first 20 bytes are kept. `queues` is a
  /// number from 1 to max_queues.
  BlkCore(BlockImage& image, bool read_only, std::string_view id, BlkCounters& counters, std::size_t queues = 1)
      : image_(image), queues_(queues), read_only_(read_only || image.read_only()), engine_(image, counters) {
    BlockShape const& shape = image.shape();
    config_.capacity = image.size() / blk_sector_size;
    config_.size_max = size_max;
    config_.seg_max = seg_max;
    config_.blk_size = shape.logical_block;
    while (shape.logical_block << config_.physical_block_exp < shape.physical_block) ++config_.physical_block_exp;
    config_.alignment_offset = static_cast<std::uint8_t>(shape.first_block / shape.logical_block);
    config_.min_io_size = static_cast<std::uint16_t>(1u << config_.physical_block_exp);
    config_.opt_io_size = shape.best_size / shape.logical_block;
    config_.writeback = 1;
    config_.num_queues = static_cast<std::uint16_t>(queues);
    constexpr auto sectors = static_cast<std::uint32_t>(BlkEngine::largest_range / blk_sector_size);
    if (discards()) {
      config_.max_discard_sectors = sectors;
      config_.max_discard_seg = max_ranges;
      config_.discard_sector_alignment = static_cast<std::uint32_t>(shape.physical_block / blk_sector_size);
    }
    if (writes_zeroes()) {
      config_.max_write_zeroes_sectors = sectors;
      config_.max_write_zeroes_seg = max_ranges;
      config_.write_zeroes_may_unmap = 1;
    }
    for (std::size_t i = 0; i < blk_id_size && i < id.size(); ++i) id_[i] = static_cast<std::byte>(id[i]);
  }
  BlkCore(BlkCore const&) = delete;
  BlkCore& operator=(BlkCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const {
    return blk_feature::SEGMENT_SIZE_MAX | blk_feature::SEG_MAX | blk_feature::BLK_SIZE | blk_feature::FLUSH |
           blk_feature::TOPOLOGY | blk_feature::CONFIG_WCE | (read_only_ ? blk_feature::RO : 0) |
           (queues_ > 1 ? blk_feature::MQ : 0) | (discards() ? blk_feature::DISCARD : 0) |
           (writes_zeroes() ? blk_feature::WRITE_ZEROES : 0);
  }
  [[nodiscard]] ConstBytes config() const { return bytes_of(config_); }
  /// How many of the queues there are.
  [[nodiscard]] std::size_t queue_count() const { return queues_; }

  /// The driver wrote to the configuration space; only writeback takes it.
  void write_config(std::size_t offset, ConstBytes bytes) {
    constexpr std::size_t field = offsetof(BlkConfig, writeback);
    if (offset <= field && field - offset < bytes.size())
      set_writeback((bytes[field - offset] & std::byte{1}) != std::byte{});
  }
  /// Whether the driver wants to flush by itself. What was written until it stops to want that is flushed here: it may
  /// never send a flush again.
  [[nodiscard]] bool writeback() const { return config_.writeback != 0; }
  void set_writeback(bool writeback) {
    if (!writeback && config_.writeback != 0 && image_.is_open() && !read_only_) (void)image_.flush();
    config_.writeback = writeback ? 1 : 0;
  }

  /// Whether requests may still be under way when notified() returns. Off at first; whoever turns it on calls
  /// finished() when the image's descriptor is readable. Needs an image with a queue.
  void set_asynchronous(bool asynchronous) { engine_.set_asynchronous(asynchronous); }

  /// One round over the queue, of not many more bytes than the budget. What is left then is for another round.
  template <Transport T>
  void notified(T& transport, std::size_t index) {
    engine_.set_write_through(write_through(transport.features()));
    drain(transport, index);
    engine_.settle(transport);
    go_on(transport);
  }

  /// The image has finished something, or may have.
  template <Transport T>
  void finished(T& transport) {
    engine_.set_write_through(write_through(transport.features()));
    engine_.settle(transport);
    if (waiting_ == 0) return;
    drain_waiting(transport);
    engine_.settle(transport);
    go_on(transport);
  }

  /// The image may have another size: then the disk has, and the driver is told. What is under way beyond the end of an
  /// image that has become shorter ends in an error.
  template <Transport T>
  void resized(T& transport) {
    if (!image_.refresh_size()) return;
    engine_.resized();
    config_.capacity = image_.size() / blk_sector_size;
    transport.configuration_changed();
  }

  /// Begins nothing new and returns when all that was under way has been answered. For a queue that is taken away, and
  /// for a machine whose state is to be saved.
  template <Transport T>
  void quiesce(T& transport) {
    engine_.set_write_through(write_through(transport.features()));
    engine_.quiesce(transport);
    // Nothing is under way that would bring us back to what was left in other queues.
    if (waiting_ != 0) (void)transport.again();
  }

  /// Calls off what is under way, waits for what cannot be called off, and forgets all of it. The wait has no limit,
  /// and whoever resets the device takes part in it: what the host has begun may still write to the memory of the
  /// request, and a driver uses that for something else as soon as the reset is done (Linux does not even ask whether
  /// it is).
  void reset() {
    engine_.reset();
    waiting_ = 0;
    config_.writeback = 1;
  }

 private:
  static constexpr std::uint32_t bit(std::size_t index) { return 1u << index; }
  [[nodiscard]] bool discards() const { return image_.shape().can_discard && !read_only_; }
  [[nodiscard]] bool writes_zeroes() const { return image_.shape().can_write_zeroes && !read_only_; }

  [[nodiscard]] bool write_through(std::uint64_t features) const {
    return (features & blk_feature::FLUSH) == 0 ||
           ((features & blk_feature::CONFIG_WCE) != 0 && config_.writeback == 0);
  }

  template <Transport T>
  void drain(T& transport, std::size_t index) {
    Queue& queue = transport.queue(index);
    waiting_ &= ~bit(index);
    engine_.touch(index);
    Round round(queue);
    std::uint64_t spent = 0;
    for (;;) {
      if (!engine_.has_room()) engine_.reap(transport);
      if (!engine_.has_room()) {
        waiting_ |= bit(index);
        return;
      }
      if (!round.pop(chain_)) return;
      spent += take(transport, queue, index);
      if (spent > round_budget && transport.again()) return;
    }
  }

  template <Transport T>
  void drain_waiting(T& transport) {
    for (std::size_t i = 0; i < queue_sizes.size(); ++i)
      if ((waiting_ & bit(i)) != 0) drain(transport, i);
  }

  /// Queues that were left for want of room: what is under way brings us back to them, if there is anything.
  template <Transport T>
  void go_on(T& transport) {
    while (waiting_ != 0 && !engine_.is_busy() && !transport.again()) {
      drain_waiting(transport);
      engine_.settle(transport);
    }
  }

  /// Returns what the request costs, in bytes moved.
  template <Transport T>
  std::uint64_t take(T& transport, Queue& queue, std::size_t index) {
    BlkRequestHeader header;
    std::byte raw_header[sizeof header];
    if (chain_.writable_size() == 0 || !gather(chain_.readable(), 0, raw_header)) {
      queue.fail(RingFault::BadRequest);
      return 0;
    }
    std::memcpy(&header, raw_header, sizeof header);
    // The status is the very last byte, whatever else shares its descriptor. Found before the data are cut to size.
    const Segment last = chain_.writable().back();
    const BlkReply reply{last.data + last.size - 1, chain_.writable_size() - 1, chain_.head(),
                         static_cast<std::uint16_t>(index)};
    const std::uint64_t size = chain_.readable_size() + reply.room;
    BlkRequestStatus refused = BlkRequestStatus::IOERR;
    if (size <= largest_request + sizeof header && image_.is_open()) {
      switch (static_cast<BlkRequestType>(header.type)) {
        case BlkRequestType::IN: refused = transfer(transport, reply, BlockOperation::Read, header.sector); break;
        case BlkRequestType::OUT: refused = transfer(transport, reply, BlockOperation::Write, header.sector); break;
        case BlkRequestType::DISCARD: refused = ranges(transport, reply, BlockOperation::Discard); break;
        case BlkRequestType::WRITE_ZEROES: refused = ranges(transport, reply, BlockOperation::WriteZeroes); break;
        case BlkRequestType::FLUSH: engine_.flush(reply); return flush_cost;
        case BlkRequestType::GET_ID: identify(queue, reply); return size;
        default: refused = BlkRequestStatus::UNSUPP;
      }
    }
    if (refused == BlkRequestStatus::OK) return size;
    engine_.answer(queue, reply, refused, 0);
    return 0;
  }

  /// OK when it was begun or has even ended, else the answer.
  template <Transport T>
  BlkRequestStatus transfer(T& transport, BlkReply const& reply, BlockOperation operation, std::uint64_t sector) {
    const bool reads = operation == BlockOperation::Read;
    const std::uint64_t size = reads ? reply.room : chain_.readable_size() - sizeof(BlkRequestHeader);
    if ((!reads && read_only_) || !engine_.fits(sector, size)) return BlkRequestStatus::IOERR;
    if (size == 0) {
      engine_.answer(transport.queue(reply.queue), reply, BlkRequestStatus::OK, 0);
      return BlkRequestStatus::OK;
    }
    std::span<const Segment> data =
        reads ? narrow(chain_.writable(), 0, size) : narrow(chain_.readable(), sizeof(BlkRequestHeader), size);
    if (data.size() > BlkSlots::many) return BlkRequestStatus::IOERR;
    engine_.transfer(transport, reply, operation, sector * blk_sector_size, data);
    return BlkRequestStatus::OK;
  }

  /// DISCARD and WRITE_ZEROES: one range after the other. OK when it was begun or has even ended, else the answer.
  template <Transport T>
  BlkRequestStatus ranges(T& transport, BlkReply const& reply, BlockOperation operation) {
    if (read_only_) return BlkRequestStatus::IOERR;
    if (!(operation == BlockOperation::Discard ? discards() : writes_zeroes())) return BlkRequestStatus::UNSUPP;
    const std::uint64_t size = chain_.readable_size() - sizeof(BlkRequestHeader);
    if (size == 0 || size % sizeof(BlkRange) != 0 || size / sizeof(BlkRange) > max_ranges)
      return BlkRequestStatus::IOERR;
    std::span<const Segment> data = narrow(chain_.readable(), sizeof(BlkRequestHeader), size);
    if (data.size() > BlkSlots::many) return BlkRequestStatus::IOERR;
    return engine_.clear(transport, reply, operation, data);
  }

  void identify(Queue& queue, BlkReply const& reply) {
    const std::size_t size = reply.room < blk_id_size ? static_cast<std::size_t>(reply.room) : blk_id_size;
    const bool done = scatter(chain_.writable(), 0, ConstBytes(id_).first(size));
    engine_.answer(queue, reply, done ? BlkRequestStatus::OK : BlkRequestStatus::IOERR, done ? size : 0);
  }

  BlockImage& image_;
  std::size_t queues_;
  bool read_only_;
  std::uint32_t waiting_ = 0;  ///< queues with requests that were left for want of room, one bit each
  BlkConfig config_{};
  std::array<std::byte, blk_id_size> id_{};
  std::array<Segment, queue_sizes[0] + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
  BlkEngine engine_;
};

static_assert(Core<BlkCore> && are_queue_sizes(BlkCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
