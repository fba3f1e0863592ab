#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <axvm/device/segment.hpp>

namespace axvm::inline v1 {

/// What can be done with a disk.
enum class BlockOperation : std::uint8_t {
  Read,         ///< fills the segments from `offset` on
  Write,        ///< writes the segments from `offset` on
  Flush,        ///< all that was reported as written before is on stable storage at its end
  Discard,      ///< `size` bytes from `offset` on are no longer needed, their contents may be anything afterwards
  WriteZeroes,  ///< `size` bytes from `offset` on read as zeroes afterwards
};

/// One operation on a disk. The caller keeps ranges within the disk, and changes nothing on a read-only one.
struct BlockRequest {
  BlockOperation operation = BlockOperation::Flush;
  bool unmap = false;                   ///< WriteZeroes: the space behind the range may be given up
  std::uint32_t token = 0;              ///< the caller's name for it, in its completion
  std::uint64_t offset = 0;             ///< bytes
  std::uint64_t size = 0;               ///< Discard, WriteZeroes: bytes
  std::span<const Segment> segments{};  ///< Read, Write: must stay where they are until the request has ended
};

/// How an operation ended that was still under way when start() returned.
struct BlockCompletion {
  std::uint32_t token = 0;
  int error = 0;            ///< 0, an errno value, or BlockImage::perform_now
  std::uint64_t moved = 0;  ///< Read, Write without error: bytes of the segments that are done, from the first on
};

/// What a disk does best, for the guest to know. All in bytes; powers of two but for the last two.
struct BlockShape {
  std::uint32_t logical_block = 512;   ///< the unit of requests that need no detour; 512 to 4096
  std::uint32_t physical_block = 512;  ///< what is written without reading the rest first; at least logical_block
  std::uint32_t first_block = 0;       ///< where the first physical block begins
  std::uint32_t best_size = 0;         ///< of a request; 0: not known
  bool can_discard = false;
  bool can_write_zeroes = false;
};

/// A disk as a block device sees it. Owns what is open behind it; move-only.
///
/// Every image carries requests out one at a time: perform(). One with a queue also takes several at once: start()
/// them, submit() them together, and reap() what has ended, in any order, whenever descriptor() is readable. What takes
/// no waiting need not go that way: at_once(). All calls come from the holder of one lock.
class BlockImage {
 public:
  /// Of a request that is under way.
  static constexpr int pending = -1;
  /// As the error of a completion: nothing was done, and perform() can do it.
  static constexpr int perform_now = -2;
  /// The error of an operation that this disk does not have; Linux's EOPNOTSUPP.
  static constexpr int unsupported = 95;

  /// Those that work return 0 or an errno value, and transfer everything or fail.
  struct Operations {
    int (*read)(void* self, std::uint64_t offset, std::span<const Segment> segments);
    int (*write)(void* self, std::uint64_t offset, std::span<const Segment> segments);
    int (*flush)(void* self);
    void (*close)(void* self);
    int (*discard)(void* self, std::uint64_t offset, std::uint64_t size) = nullptr;
    int (*write_zeroes)(void* self, std::uint64_t offset, std::uint64_t size, bool unmap) = nullptr;
    std::uint64_t (*size)(void* self) = nullptr;  ///< as it is now, bytes; 0: it cannot be told
  };
  /// What an image with a queue can do beside that; see the functions of the same names.
  struct Queue {
    bool (*start)(void* self, BlockRequest const& request);
    void (*submit)(void* self);
    std::size_t (*reap)(void* self, std::span<BlockCompletion> into);
    void (*wait)(void* self);
    void (*cancel)(void* self);
    int (*descriptor)(void* self);
    bool (*at_once)(void* self, BlockRequest const& request) = nullptr;  ///< null: never
  };

  constexpr BlockImage() = default;
  /// `size` is in bytes. `queue_error` is the errno value of why there is no queue, where one was asked for.
  constexpr BlockImage(void* self, Operations const* operations, std::uint64_t size, bool read_only,
                       BlockShape const& shape = {}, Queue const* queue = nullptr, int queue_error = 0)
      : self_(self),
        operations_(operations),
        queue_(queue),
        size_(size),
        shape_(shape),
        queue_error_(queue_error),
        read_only_(read_only) {}
  BlockImage(BlockImage&& other) noexcept { *this = std::move(other); }
  BlockImage& operator=(BlockImage&& other) noexcept {
    std::swap(self_, other.self_);
    std::swap(operations_, other.operations_);
    std::swap(queue_, other.queue_);
    std::swap(size_, other.size_);
    std::swap(shape_, other.shape_);
    std::swap(queue_error_, other.queue_error_);
    std::swap(read_only_, other.read_only_);
    return *this;
  }
  ~BlockImage() {
    if (operations_ != nullptr) operations_->close(self_);
  }

  /// Whether there is a disk at all.
  [[nodiscard]] bool is_open() const { return operations_ != nullptr; }
  /// Bytes, as of the last time they were asked for.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Asks for the size again; whether it is another one than before.
  [[nodiscard]] bool refresh_size() {
    const std::uint64_t now = operations_ != nullptr && operations_->size != nullptr ? operations_->size(self_) : 0;
    if (now == 0 || now == size_) return false;
    size_ = now;
    return true;
  }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] BlockShape const& shape() const { return shape_; }

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

  /// Carries a request out and returns when it has ended: 0 or an errno value. The disk must be open.
  int perform(BlockRequest const& request) {
    switch (request.operation) {
      case BlockOperation::Read: return read(request.offset, request.segments);
      case BlockOperation::Write: return write(request.offset, request.segments);
      case BlockOperation::Flush: return flush();
      case BlockOperation::Discard:
        return operations_->discard != nullptr ? operations_->discard(self_, request.offset, request.size)
                                               : unsupported;
      case BlockOperation::WriteZeroes:
        return operations_->write_zeroes != nullptr
                   ? operations_->write_zeroes(self_, request.offset, request.size, request.unmap)
                   : unsupported;
    }
    return unsupported;
  }

  /// Whether it has a queue.
  [[nodiscard]] bool has_queue() const { return queue_ != nullptr; }
  /// Why there is no queue where one was asked for: an errno value; else 0.
  [[nodiscard]] int queue_error() const { return queue_error_; }
  /// Carries a request out if that takes no waiting; whether it did. Else nothing has happened but that some of the
  /// segments may be filled. Needs a queue.
  [[nodiscard]] bool at_once(BlockRequest const& request) {
    return queue_->at_once != nullptr && queue_->at_once(self_, request);
  }
  /// Begins a request, at the latest with the next submit(): `pending`, or 0 or an errno value where it has been
  /// carried out here and now. Needs a queue.
  [[nodiscard]] int start(BlockRequest const& request) {
    return queue_->start(self_, request) ? pending : perform(request);
  }
  /// Hands over what was started since the last time, all at once. Needs a queue.
  void submit() { queue_->submit(self_); }
  /// Takes completions, as many as fit and are there; never waits. Needs a queue.
  [[nodiscard]] std::size_t reap(std::span<BlockCompletion> into) { return queue_->reap(self_, into); }
  /// Waits until reap() finds something; something must be under way and submitted. Needs a queue.
  void wait() { queue_->wait(self_); }
  /// Asks for an early end of everything under way. It ends all the same, by reap(), done or with an error. Needs a
  /// queue.
  void cancel() { queue_->cancel(self_); }
  /// Readable when reap() finds something. Needs a queue.
  [[nodiscard]] int descriptor() const { return queue_->descriptor(self_); }

 private:
  void* self_ = nullptr;
  Operations const* operations_ = nullptr;
  Queue const* queue_ = nullptr;
  std::uint64_t size_ = 0;
  BlockShape shape_;
  int queue_error_ = 0;
  bool read_only_ = false;
};

}  // namespace axvm::inline v1
