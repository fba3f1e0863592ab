#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/block_image.hpp>
#include <axvm/virtio/blk_request.hpp>
#include <axvm/virtio/blk_slots.hpp>
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

/// What a block device counts.
struct BlkCounters {
  Counter requests;         ///< answered, whatever the answer
  Counter bytes_read;       ///< by the guest, from the disk
  Counter bytes_written;    ///< by the guest, to the disk
  Counter bytes_discarded;  ///< given back by the guest
  Counter bytes_zeroed;     ///< written as zeroes without being sent
  Counter flushes;          ///< of the image, each for all requests that were waiting for one
  Counter errors;           ///< requests answered with anything but OK
};

/// Serves requests from a disk image straight from and to guest memory: several at once where the image has a queue and
/// somebody calls finished(), else one after the other.
///
/// Everything that a round takes out of a virtqueue is handed to the image together, and everything that has ended by
/// then is shown to the driver together, with one interrupt at most. Only one flush is under way at a time: the kernel
/// reports a write that it could not carry out to one of them only. Requests that come meanwhile wait for the next one,
/// all for the same.
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
  /// Ranges of one DISCARD or WRITE_ZEROES, and bytes of a range.
  static constexpr std::uint32_t max_ranges = 32;
  static constexpr std::uint64_t largest_range = GiB;
  /// How many bytes one round may move before others get their turn: it holds the device's lock and, mostly, the event
  /// loop. A flush counts as `flush_cost`.
  static constexpr std::uint64_t round_budget = 32 * MiB;
  static constexpr std::uint64_t flush_cost = MiB;

  /// `image` and `counters` must outlive it. `id` is what GET_ID answers; its first 20 bytes are kept. `queues` is a
  /// number from 1 to max_queues.
  BlkCore(BlockImage& image, bool read_only, std::string_view id, BlkCounters& counters, std::size_t queues = 1)
      : image_(image), counters_(counters), queues_(queues), read_only_(read_only || image.read_only()) {
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
    constexpr auto sectors = static_cast<std::uint32_t>(largest_range / blk_sector_size);
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
  ~BlkCore() { reset(); }

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
  void set_asynchronous(bool asynchronous) { asynchronous_ = asynchronous && image_.is_open() && image_.has_queue(); }

  /// One round over the queue: at most as many requests as it has entries and not many more bytes than the budget, and
  /// one interrupt for all that has ended with it. What is left then is for another round.
  template <Transport T>
  void notified(T& transport, std::size_t index) {
    drain(transport, index);
    settle(transport);
    go_on(transport);
  }

  /// The image has finished something, or may have.
  template <Transport T>
  void finished(T& transport) {
    settle(transport);
    if (waiting_ == 0) return;
    drain_waiting(transport);
    settle(transport);
    go_on(transport);
  }

  /// Begins nothing new and returns when all that was under way has been answered. For a queue that is taken away, and
  /// for a machine whose state is to be saved.
  template <Transport T>
  void quiesce(T& transport) {
    settle(transport);
    while (under_way_ != 0) {
      image_.wait();
      settle(transport);
    }
  }

  /// Calls off what is under way, waits for what cannot be called off, and forgets all of it.
  void reset() {
    if (under_way_ != 0) {
      image_.submit();
      image_.cancel();
    }
    while (under_way_ != 0) {
      image_.wait();
      std::array<BlockCompletion, batch> ended;
      under_way_ -= static_cast<std::uint32_t>(image_.reap(ended));
    }
    slots_.clear();
    to_flush_ = flushed_ = BlkSlots::none;
    started_ = flushing_ = false;
    waiting_ = touched_ = 0;
    config_.writeback = 1;
  }

 private:
  static constexpr std::uint32_t flush_token = BlkSlots::capacity;
  static constexpr std::size_t batch = 32;  ///< completions taken at a time
  static constexpr int io_error = 5;        ///< EIO

  static constexpr std::uint32_t bit(std::size_t index) { return 1u << index; }
  [[nodiscard]] bool discards() const { return image_.shape().can_discard && !read_only_; }
  [[nodiscard]] bool writes_zeroes() const { return image_.shape().can_write_zeroes && !read_only_; }

  [[nodiscard]] bool write_through(std::uint64_t features) const {
    return (features & blk_feature::FLUSH) == 0 ||
           ((features & blk_feature::CONFIG_WCE) != 0 && config_.writeback == 0);
  }

  // ---- taking requests ----

  template <Transport T>
  void drain(T& transport, std::size_t index) {
    Queue& queue = transport.queue(index);
    waiting_ &= ~bit(index);
    touched_ |= bit(index);
    queue.refresh();
    std::uint64_t spent = 0;
    for (;;) {
      if (!slots_.has_room()) {
        reap(transport);
        if (!slots_.has_room()) {
          waiting_ |= bit(index);
          return;
        }
      }
      if (!queue.pop(chain_)) return;
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
    while (waiting_ != 0 && under_way_ == 0 && !transport.again()) {
      drain_waiting(transport);
      settle(transport);
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
        case BlkRequestType::FLUSH: {
          const std::uint32_t slot = slots_.take({});
          slots_[slot].reply = reply;
          flush_later(slot);
          return flush_cost;
        }
        case BlkRequestType::GET_ID: identify(queue, reply); return size;
        default: refused = BlkRequestStatus::UNSUPP;
      }
    }
    if (refused == BlkRequestStatus::OK) return size;
    answer(queue, reply, refused, 0);
    return 0;
  }

  /// OK when it was begun or has even ended, else the answer.
  template <Transport T>
  BlkRequestStatus transfer(T& transport, BlkReply const& reply, BlockOperation operation, std::uint64_t sector) {
    const bool reads = operation == BlockOperation::Read;
    const std::uint64_t size = reads ? reply.room : chain_.readable_size() - sizeof(BlkRequestHeader);
    if ((!reads && read_only_) || !fits(sector, size)) return BlkRequestStatus::IOERR;
    if (size == 0) {
      answer(transport.queue(reply.queue), reply, BlkRequestStatus::OK, 0);
      return BlkRequestStatus::OK;
    }
    std::span<Segment> data =
        reads ? narrow(chain_.writable(), 0, size) : narrow(chain_.readable(), sizeof(BlkRequestHeader), size);
    if (data.size() > BlkSlots::many) return BlkRequestStatus::IOERR;
    const std::uint32_t index = slots_.take(data);
    BlkSlot& slot = slots_[index];
    slot.reply = reply;
    slot.size = size;
    slot.request = {.operation = operation, .token = index, .offset = sector * blk_sector_size, .segments = slot.data};
    begin(transport, index);
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
    std::span<Segment> data = narrow(chain_.readable(), sizeof(BlkRequestHeader), size);
    if (data.size() > BlkSlots::many) return BlkRequestStatus::IOERR;
    const std::uint32_t index = slots_.take(data);
    BlkSlot& slot = slots_[index];
    slot.reply = reply;
    slot.request = {.operation = operation, .token = index};
    if (const BlkRequestStatus status = next_range(slot); status != BlkRequestStatus::OK) {
      slots_.give_back(index);
      return status;
    }
    begin(transport, index);
    return BlkRequestStatus::OK;
  }

  /// Fetches the next range and makes it what the slot asks for.
  [[nodiscard]] BlkRequestStatus next_range(BlkSlot& slot) {
    BlkRange range;
    std::byte raw[sizeof range];
    if (!gather(slot.data, sizeof range * slot.range, raw)) return BlkRequestStatus::IOERR;
    std::memcpy(&range, raw, sizeof range);
    const bool discards = slot.request.operation == BlockOperation::Discard;
    if ((range.flags & ~(discards ? 0 : BlkRange::UNMAP)) != 0) return BlkRequestStatus::UNSUPP;
    const std::uint64_t size = range.num_sectors * blk_sector_size;
    if (size > largest_range || !fits(range.sector, size)) return BlkRequestStatus::IOERR;
    ++slot.range;
    slot.size += size;
    slot.request.unmap = (range.flags & BlkRange::UNMAP) != 0;
    slot.request.offset = range.sector * blk_sector_size;
    slot.request.size = size;
    return BlkRequestStatus::OK;
  }

  /// Whether `size` bytes are whole sectors of the disk from `sector` on.
  [[nodiscard]] bool fits(std::uint64_t sector, std::uint64_t size) const {
    return size % blk_sector_size == 0 && range_fits(sector, size / blk_sector_size, config_.capacity);
  }

  void identify(Queue& queue, BlkReply const& reply) {
    const std::size_t size = reply.room < blk_id_size ? static_cast<std::size_t>(reply.room) : blk_id_size;
    const bool done = scatter(chain_.writable(), 0, ConstBytes(id_).first(size));
    answer(queue, reply, done ? BlkRequestStatus::OK : BlkRequestStatus::IOERR, done ? size : 0);
  }

  // ---- carrying them out ----

  [[nodiscard]] int start(BlockRequest const& request) {
    if (!asynchronous_) return image_.perform(request);
    const int error = image_.start(request);
    if (error != BlockImage::pending) return error;
    ++under_way_;
    started_ = true;
    return error;
  }

  /// Begins what the slot asks for, and what follows from it where it ends at once.
  template <Transport T>
  void begin(T& transport, std::uint32_t index) {
    for (;;) {
      const int error = start(slots_[index].request);
      if (error == BlockImage::pending || !ended(transport, index, error)) return;
    }
  }

  /// What a slot asked for has ended. True when it asks for something else now, else it is answered or waits for a
  /// flush.
  template <Transport T>
  [[nodiscard]] bool ended(T& transport, std::uint32_t index, int error) {
    BlkSlot& slot = slots_[index];
    const BlockOperation operation = slot.request.operation;
    const bool has_ranges = operation == BlockOperation::Discard || operation == BlockOperation::WriteZeroes;
    BlkRequestStatus status = status_of(error, has_ranges);
    if (status == BlkRequestStatus::OK && has_ranges && slot.range * sizeof(BlkRange) != size_of(slot.data)) {
      status = next_range(slot);
      if (status == BlkRequestStatus::OK) return true;
    }
    if (status == BlkRequestStatus::OK && operation != BlockOperation::Read && operation != BlockOperation::Discard &&
        write_through(transport.features())) {
      flush_later(index);
      return false;
    }
    finish(transport, index, status);
    return false;
  }

  [[nodiscard]] static BlkRequestStatus status_of(int error, bool has_ranges) {
    if (error == 0) return BlkRequestStatus::OK;
    return error == BlockImage::unsupported && has_ranges ? BlkRequestStatus::UNSUPP : BlkRequestStatus::IOERR;
  }

  void flush_later(std::uint32_t index) {
    slots_[index].next = to_flush_;
    to_flush_ = index;
  }

  /// Begins a flush for all that wait for one, unless one is under way.
  template <Transport T>
  void start_flush(T& transport) {
    while (to_flush_ != BlkSlots::none && !flushing_) {
      flushed_ = std::exchange(to_flush_, BlkSlots::none);
      counters_.flushes.add();
      flushing_ = true;
      if (const int error = start({.operation = BlockOperation::Flush, .token = flush_token});
          error != BlockImage::pending)
        end_flush(transport, error);
    }
  }
  template <Transport T>
  void end_flush(T& transport, int error) {
    flushing_ = false;
    for (std::uint32_t index = std::exchange(flushed_, BlkSlots::none); index != BlkSlots::none;) {
      const std::uint32_t next = slots_[index].next;
      finish(transport, index, status_of(error, false));
      index = next;
    }
  }

  /// Hands over what was begun and deals with what has ended, until neither brings anything new.
  template <Transport T>
  void reap(T& transport) {
    for (;;) {
      start_flush(transport);
      if (std::exchange(started_, false)) image_.submit();
      if (under_way_ == 0) return;
      std::array<BlockCompletion, batch> list;
      const std::size_t count = image_.reap(list);
      if (count == 0) return;
      for (std::size_t i = 0; i < count; ++i) completed(transport, list[i]);
    }
  }

  template <Transport T>
  void completed(T& transport, BlockCompletion const& completion) {
    --under_way_;
    const std::uint32_t index = completion.token;
    int error = completion.error;
    if (index == flush_token) return end_flush(transport, error == BlockImage::perform_now ? image_.flush() : error);
    BlkSlot& slot = slots_[index];
    const BlockOperation operation = slot.request.operation;
    if (error == BlockImage::perform_now) {
      error = image_.perform(slot.request);
    } else if (error == 0 && (operation == BlockOperation::Read || operation == BlockOperation::Write)) {
      const std::uint64_t size = size_of(slot.data);
      if (completion.moved < size) {
        if (completion.moved != 0) {
          slot.data = narrow(slot.data, completion.moved, size - completion.moved);
          slot.request.offset += completion.moved;
          slot.request.segments = slot.data;
          return begin(transport, index);
        }
        error = io_error;  // the image has become shorter
      }
    }
    if (ended(transport, index, error)) begin(transport, index);
  }

  // ---- answering ----

  template <Transport T>
  void finish(T& transport, std::uint32_t index, BlkRequestStatus status) {
    BlkSlot const& slot = slots_[index];
    const bool ok = status == BlkRequestStatus::OK;
    const BlockOperation operation = slot.request.operation;
    if (ok) {
      switch (operation) {
        case BlockOperation::Read: counters_.bytes_read.add(slot.size); break;
        case BlockOperation::Write: counters_.bytes_written.add(slot.size); break;
        case BlockOperation::Discard: counters_.bytes_discarded.add(slot.size); break;
        case BlockOperation::WriteZeroes: counters_.bytes_zeroed.add(slot.size); break;
        case BlockOperation::Flush: break;
      }
    }
    touched_ |= bit(slot.reply.queue);
    answer(transport.queue(slot.reply.queue), slot.reply, status,
           ok && operation == BlockOperation::Read ? slot.size : 0);
    slots_.give_back(index);
  }

  void answer(Queue& queue, BlkReply const& reply, BlkRequestStatus status, std::uint64_t written) {
    *reply.status = static_cast<std::byte>(status);
    counters_.requests.add();
    if (status != BlkRequestStatus::OK) counters_.errors.add();
    // The length counts from the first writable byte on and may not skip bytes that were not written (2.7.8), so the
    // status byte counts only where there is no gap before it.
    queue.push(reply.head, static_cast<std::uint32_t>(written == reply.room ? written + 1 : written));
  }

  /// Deals with what has ended and shows the driver all answers.
  template <Transport T>
  void settle(T& transport) {
    reap(transport);
    const std::uint32_t touched = std::exchange(touched_, 0);
    for (std::size_t i = 0; i < queue_sizes.size(); ++i)
      if ((touched & bit(i)) != 0) transport.completed(i);
  }

  BlockImage& image_;
  BlkCounters& counters_;
  std::size_t queues_;
  bool read_only_;
  bool asynchronous_ = false;
  bool started_ = false;                     ///< something was, and not submitted yet
  bool flushing_ = false;                    ///< the image is
  std::uint32_t under_way_ = 0;              ///< operations of the image
  std::uint32_t waiting_ = 0;                ///< queues with requests that were left for want of room, one bit each
  std::uint32_t touched_ = 0;                ///< queues with something to show, or a fault, one bit each
  std::uint32_t to_flush_ = BlkSlots::none;  ///< list of slots that wait for a flush to begin
  std::uint32_t flushed_ = BlkSlots::none;   ///< list of those that wait for it to end
  BlkConfig config_{};
  std::array<std::byte, blk_id_size> id_{};
  std::array<Segment, queue_sizes[0] + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
  BlkSlots slots_;
};

static_assert(Core<BlkCore> && are_queue_sizes(BlkCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
