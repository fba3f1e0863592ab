#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/block_image.hpp>
#include <axvm/virtio/blk_request.hpp>
#include <axvm/virtio/blk_slots.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>

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

/// Carries out what a block device is asked for: several requests at once where the image has a queue, else one after
/// the other. What was begun is handed over together, and what has ended is shown to the driver together; both also
/// happens each time that some reads have ended at once.
///
/// Only one flush is under way at a time: the kernel reports a write that it could not carry out to one of them only.
/// Requests that come meanwhile wait for the next one, all for the same.
class BlkEngine {
 public:
  /// The largest range of a DISCARD or WRITE_ZEROES, bytes.
  static constexpr std::uint64_t largest_range = GiB;

  /// Both must outlive it.
  BlkEngine(BlockImage& image, BlkCounters& counters)
      : image_(image), counters_(counters), sectors_(image.size() / blk_sector_size) {}
  BlkEngine(BlkEngine const&) = delete;
  BlkEngine& operator=(BlkEngine const&) = delete;
  ~BlkEngine() { reset(); }

  /// Whether requests may still be under way when settle() returns. Off at first; needs an image with a queue.
  void set_asynchronous(bool asynchronous) { asynchronous_ = asynchronous && image_.is_open() && image_.has_queue(); }
  /// Whether every write is flushed before it is answered.
  void set_write_through(bool write_through) { write_through_ = write_through; }

  /// Whether one more request finds room.
  [[nodiscard]] bool has_room() const { return slots_.has_room(); }
  /// Whether anything is under way in the image.
  [[nodiscard]] bool is_busy() const { return under_way_ != 0; }
  /// Whether `size` bytes are whole sectors of the disk from `sector` on.
  [[nodiscard]] bool fits(std::uint64_t sector, std::uint64_t size) const {
    return size % blk_sector_size == 0 && range_fits(sector, size / blk_sector_size, sectors_);
  }

  /// The image has another size: what is begun from now on must fit that.
  void resized() { sectors_ = image_.size() / blk_sector_size; }

  // These four take one request each; there must be room. What it refers to is copied, but for the memory it moves.

  /// Moves the data, which fit the disk from `offset` bytes on. A read that takes no waiting is answered at once and
  /// has no place among those that are under way.
  template <Transport T>
  void transfer(T& transport, BlkReply const& reply, BlockOperation operation, std::uint64_t offset,
                std::span<const Segment> data) {
    const std::uint64_t size = size_of(data);
    if (operation == BlockOperation::Read && asynchronous_ &&
        image_.at_once({.operation = operation, .offset = offset, .segments = data})) {
      counters_.bytes_read.add(size);
      touch(reply.queue);
      answer(transport.queue(reply.queue), reply, BlkRequestStatus::OK, size);
      unseen_ += size;
      if (unseen_ < show_after) return;
      // What was begun before is not to wait for a driver that always has something more to read.
      reap(transport);
      return show(transport);
    }
    const std::uint32_t index = slots_.take(data);
    BlkSlot& slot = slots_[index];
    slot.reply = reply;
    slot.size = size;
    slot.request = {.operation = operation, .token = index, .offset = offset, .segments = slot.data};
    begin(transport, index);
  }
  /// Discards or zeroes the ranges that are in the data, one after the other. OK, or what is wrong with the first one,
  /// and then it is not answered.
  template <Transport T>
  [[nodiscard]] BlkRequestStatus clear(T& transport, BlkReply const& reply, BlockOperation operation,
                                       std::span<const Segment> data) {
    const std::uint32_t index = slots_.take(data);
    BlkSlot& slot = slots_[index];
    slot.reply = reply;
    slot.request = {.operation = operation, .token = index};
    const BlkRequestStatus status = next_range(slot);
    if (status == BlkRequestStatus::OK) begin(transport, index);
    else slots_.give_back(index);
    return status;
  }
  /// Flushes, with the next flush that begins.
  void flush(BlkReply const& reply) {
    const std::uint32_t index = slots_.take({});
    slots_[index].reply = reply;
    flush_later(index);
  }
  /// Hands a request back to the driver.
  void answer(Queue& queue, BlkReply const& reply, BlkRequestStatus status, std::uint64_t written) {
    *reply.status = static_cast<std::byte>(status);
    counters_.requests.add();
    if (status != BlkRequestStatus::OK) counters_.errors.add();
    // The length counts from the first writable byte on and may not skip bytes that were not written (2.7.8), so the
    // status byte counts only where there is no gap before it.
    queue.push(reply.head, static_cast<std::uint32_t>(written == reply.room ? written + 1 : written));
  }

  /// Has settle() show what the queue has, be it a fault.
  void touch(std::size_t queue) { touched_ |= 1u << queue; }

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

  /// The same, and then shows the driver all answers.
  template <Transport T>
  void settle(T& transport) {
    reap(transport);
    show(transport);
    touched_ = 0;
  }
  /// The same, and returns when nothing is under way.
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
    touched_ = 0;
    unseen_ = 0;
  }

 private:
  static constexpr std::uint32_t flush_token = BlkSlots::capacity;
  static constexpr std::size_t batch = 32;  ///< completions taken at a time
  static constexpr int io_error = 5;        ///< EIO
  /// Of reads that end at once the driver is shown these many bytes together: it has something to do with them while
  /// the next ones are copied.
  static constexpr std::uint64_t show_after = 32 * KiB;

  template <Transport T>
  void show(T& transport) {
    unseen_ = 0;
    std::uint32_t touched = touched_;
    for (std::size_t queue = 0; touched != 0; ++queue, touched >>= 1)
      if ((touched & 1) != 0) transport.completed(queue);
  }

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
        write_through_) {
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
    touch(slot.reply.queue);
    answer(transport.queue(slot.reply.queue), slot.reply, status,
           ok && operation == BlockOperation::Read ? slot.size : 0);
    slots_.give_back(index);
  }

  BlockImage& image_;
  BlkCounters& counters_;
  std::uint64_t sectors_;  ///< of the disk
  bool asynchronous_ = false;
  bool write_through_ = false;
  bool started_ = false;                     ///< something was, and not submitted yet
  bool flushing_ = false;                    ///< the image is
  std::uint32_t under_way_ = 0;              ///< operations of the image
  std::uint32_t touched_ = 0;                ///< queues with something to show, or a fault, one bit each
  std::uint64_t unseen_ = 0;                 ///< bytes of reads that ended at once since anything was shown
  std::uint32_t to_flush_ = BlkSlots::none;  ///< list of slots that wait for a flush to begin
  std::uint32_t flushed_ = BlkSlots::none;   ///< list of those that wait for it to end
  BlkSlots slots_;
};

}  // namespace axvm::inline v1::virtio
