#pragma once

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/host.hpp>
#include <axvm/io/block_shape.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/io_uring.hpp>
#include <axvm/io/system_part.hpp>

namespace axvm::inline v1 {

/// A raw disk image or a block device of the host as a BlockImage. Locked against a second monitor: exclusively when it
/// is written, shared when it is only read. With a queue where the host lets this process have an io_uring.
///
/// Direct access asks for aligned buffers, which guests mostly use; requests with others go through the page cache, by
/// a descriptor of their own, and the kernel keeps the two in step.
class BlockFile {
 public:
  /// How many requests may be under way at a time.
  static constexpr unsigned queue_depth = 256;

  [[nodiscard, gnu::cold, AXVM_ONCE]] static Result<BlockImage> open(Path const& path, ImageOptions const& options) {
    auto failed = [&](std::string_view hint) {
      const int number = errno;
      const ErrorCode code = number == ENOENT                                         ? ErrorCode::NotFound
                             : number == EACCES || number == EPERM || number == EROFS ? ErrorCode::PermissionDenied
                                                                                      : ErrorCode::HostIo;
      return failure(code, text<1023>("open disk image ", path), hint, number);
    };
    if (path.truncated()) {
      errno = ENAMETOOLONG;
      return failed("the path has more than 1023 bytes");
    }
    constexpr std::string_view wrong_kind = "a disk is a regular file or a block device";
    const int access = (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    auto file = std::make_unique<BlockFile>();
    // Not blocking: a named pipe would keep us waiting for a writer.
    file->lock_ = Descriptor(::open(path.c_str(), access | O_NONBLOCK));
    if (!file->lock_)
      return failed(errno == ENOENT     ? "check the path"
                    : errno == EISDIR   ? wrong_kind
                    : options.read_only ? "check the permissions"
                                        : "make it writable, or attach it read-only");
    struct stat status{};
    if (::fstat(file->lock_.get(), &status) != 0) return failed({});
    file->is_device_ = S_ISBLK(status.st_mode);
    if (!file->is_device_ && !S_ISREG(status.st_mode)) {
      errno = EINVAL;
      return failed(wrong_kind);
    }
    const auto size = size_of(file->lock_.get(), file->is_device_);
    if (!size) return failed({});
    if (::flock(file->lock_.get(), (options.read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      return failed("another monitor uses this image; stop it, or attach the image read-only to both");
    auto open_again = [&](int flags) {
      Descriptor again(::open(path.c_str(), access | flags));
      struct stat found{};
      if (!again || ::fstat(again.get(), &found) != 0) return Descriptor{};
      if (found.st_ino == status.st_ino && found.st_dev == status.st_dev) return again;
      errno = EBUSY;
      return Descriptor{};
    };
    file->descriptor_ = open_again(0);
    if (!file->descriptor_) return failed("the file was replaced just now; try again");
    if (options.direct) {
      file->direct_ = open_again(O_DIRECT);
      if (!file->direct_) return failed("direct access is not to be had here; leave it out");
      file->alignment_ = direct_alignment(file->direct_.get(), file->is_device_);
    }
    const BlockShape shape = shape_of(file->descriptor_.get(), status, file->alignment_);
    const int files[] = {file->descriptor_.get(), file->direct_ ? file->direct_.get() : file->descriptor_.get()};
    const int queue_error = options.queue ? file->ring_.open(queue_depth, files) : 0;
    BlockImage::Queue const* const queue = !file->ring_.is_open()               ? nullptr
                                           : options.at_once && !options.direct ? &queued_or_at_once
                                                                                : &queued;
    return BlockImage(file.release(), &operations, *size, options.read_only, shape, queue, queue_error);
  }
  [[nodiscard, gnu::cold]] static Result<BlockImage> open(Path const& path, bool read_only) {
    return open(path, ImageOptions{.read_only = read_only});
  }

 private:
  using Transfer = ssize_t (*)(int, iovec const*, int, off_t);

  static constexpr std::size_t batch = 64;           ///< segments per system call
  static constexpr std::size_t most_vectors = 1024;  ///< the kernel's limit, IOV_MAX
  static_assert(BlockImage::unsupported == EOPNOTSUPP);
  // So a list of segments is a list of what the kernel wants.
  static_assert(sizeof(Segment) == sizeof(iovec) && offsetof(Segment, data) == offsetof(iovec, iov_base) &&
                offsetof(Segment, size) == offsetof(iovec, iov_len));

  /// Bytes; nothing, and errno, where the host does not tell.
  static std::optional<std::uint64_t> size_of(int descriptor, bool is_device) {
    std::uint64_t size = 0;
    struct stat status{};
    if (is_device ? ::ioctl(descriptor, BLKGETSIZE64, &size) != 0 : ::fstat(descriptor, &status) != 0) return {};
    return is_device ? size : static_cast<std::uint64_t>(status.st_size);
  }

  /// Transfers all segments, in as many system calls as it takes. 0 or an errno value; the end of the file is EIO.
  static int transfer(int descriptor, Transfer call, std::uint64_t offset, std::span<const Segment> segments) {
    std::array<iovec, batch> vectors;
    std::size_t skip = 0;  // bytes of the first segment that are done
    while (!segments.empty()) {
      int count = 0;
      for (Segment const& segment : segments) {
        if (static_cast<std::size_t>(count) == batch) break;
        const std::size_t done = count == 0 ? skip : 0;
        vectors[static_cast<std::size_t>(count++)] = {segment.data + done, segment.size - done};
      }
      const ssize_t moved =
          retry_interrupted([&] { return call(descriptor, vectors.data(), count, static_cast<off_t>(offset)); });
      if (moved < 0) return errno;
      auto left = static_cast<std::size_t>(moved);
      if (left == 0 && vectors[0].iov_len != 0) return EIO;
      offset += left;
      left += skip;
      while (!segments.empty() && left >= segments.front().size) {
        left -= segments.front().size;
        segments = segments.subspan(1);
      }
      skip = left;
    }
    return 0;
  }

  /// Whether a transfer may go past the page cache.
  [[nodiscard]] bool goes_direct(std::uint64_t offset, std::span<const Segment> segments) const {
    if (!direct_) return false;
    std::uint64_t places = 0, sizes = offset;
    for (Segment const& segment : segments) {
      places |= reinterpret_cast<std::uintptr_t>(segment.data);
      sizes |= segment.size;
    }
    return is_aligned(places, alignment_.memory) && is_aligned(sizes, alignment_.offset);
  }

  int move(Transfer call, std::uint64_t offset, std::span<const Segment> segments) {
    // A batch that the kernel cuts short may end anywhere: the rest of it is not for direct access.
    if (segments.size() <= batch && goes_direct(offset, segments))
      if (const int error = transfer(direct_.get(), call, offset, segments); error != EINVAL) return error;
    return transfer(descriptor_.get(), call, offset, segments);
  }

  /// Once the kernel has told of a write that was lost, it forgets: no later flush can promise anything.
  int flushed(int error) {
    if (error != 0) lost_ = error;
    return lost_;
  }

  /// A range that the file system or the device gives back, or fills with zeroes.
  int allocate(int mode, std::uint64_t offset, std::uint64_t size) {
    const int done = retry_interrupted(
        [&] { return ::fallocate(descriptor_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(size)); });
    return done == 0 ? 0 : errno;
  }

  static constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  static constexpr int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

  /// A hole in a file reads as zeroes; a device knows by itself how it makes zeroes best.
  [[nodiscard]] int zero_mode(bool unmap) const { return unmap && !is_device_ ? punch : zero; }

  int discard(std::uint64_t offset, std::uint64_t size) {
    if (size == 0) return 0;
    if (!is_device_) return allocate(punch, offset, size);
    std::uint64_t range[] = {offset, size};
    return ::ioctl(descriptor_.get(), BLKDISCARD, range) == 0 ? 0 : errno;
  }

  /// Reads what the host has in memory, which takes less than to hand the request over and to be told of its end. One
  /// that finds something missing is left to the ring, and so are the next ones: looking in vain has its price, too.
  bool read_at_once(BlockRequest const& request) {
    if (request.operation != BlockOperation::Read || request.segments.size() > batch) return false;
    if (left_to_ring_ != 0) {
      --left_to_ring_;
      return false;
    }
    std::uint64_t size = 0;
    for (Segment const& segment : request.segments) size += segment.size;
    // Not preadv2(), at which a thread could be cancelled: that has its price as well.
    const long moved = ::syscall(SYS_preadv2, descriptor_.get(), request.segments.data(), request.segments.size(),
                                 request.offset, 0L, RWF_NOWAIT);
    if (moved >= 0 && static_cast<std::uint64_t>(moved) == size) return true;
    left_to_ring_ = after_a_miss;
    return false;
  }

  /// Puts a request into the ring. False where it is to be carried out at once instead.
  bool start(BlockRequest const& request) {
    const bool moves = request.operation == BlockOperation::Read || request.operation == BlockOperation::Write;
    if (moves ? request.segments.empty() || request.segments.size() > most_vectors
              : request.size == 0 && request.operation != BlockOperation::Flush)
      return false;
    if (request.operation == BlockOperation::Discard && is_device_) return false;  // there is only the ioctl for it
    io_uring_sqe* const entry = ring_.entry();
    if (entry == nullptr) return false;
    entry->flags = IOSQE_FIXED_FILE;
    entry->fd = moves && goes_direct(request.offset, request.segments) ? 1 : 0;
    entry->off = request.offset;
    entry->user_data = request.token | (request.operation == BlockOperation::Flush ? flush_mark : 0);
    const bool reads = request.operation == BlockOperation::Read;
    switch (request.operation) {
      case BlockOperation::Read:
      case BlockOperation::Write:
        if (request.segments.size() == 1) {
          entry->opcode = reads ? IORING_OP_READ : IORING_OP_WRITE;
          entry->addr = reinterpret_cast<std::uintptr_t>(request.segments[0].data);
          entry->len = static_cast<std::uint32_t>(request.segments[0].size);
        } else {
          entry->opcode = reads ? IORING_OP_READV : IORING_OP_WRITEV;
          entry->addr = reinterpret_cast<std::uintptr_t>(request.segments.data());
          entry->len = static_cast<std::uint32_t>(request.segments.size());
        }
        return true;
      case BlockOperation::Flush:
        entry->opcode = IORING_OP_FSYNC;
        entry->fsync_flags = IORING_FSYNC_DATASYNC;
        return true;
      case BlockOperation::Discard:
      case BlockOperation::WriteZeroes:
        entry->opcode = IORING_OP_FALLOCATE;
        entry->len =
            static_cast<std::uint32_t>(request.operation == BlockOperation::Discard ? punch : zero_mode(request.unmap));
        entry->addr = request.size;
        return true;
    }
    return true;
  }

  std::size_t reap(std::span<BlockCompletion> into) {
    std::size_t count = 0;
    for (; count < into.size(); ++count) {
      const auto ended = ring_.next_ended();
      if (!ended) break;
      const int error = ended->result < 0 ? -ended->result : 0;
      // ECANCELED: the thread that submitted it has come to its end. Whoever cancels does not look at errors.
      const bool again =
          ended->refused || error == EAGAIN || error == EINTR || error == ECANCELED || (error == EINVAL && direct_);
      const bool is_flush = (ended->user_data & flush_mark) != 0;
      into[count] = {.token = static_cast<std::uint32_t>(ended->user_data),
                     .error = again      ? BlockImage::perform_now
                              : is_flush ? flushed(error)
                                         : error,
                     .moved = error == 0 ? static_cast<std::uint64_t>(ended->result) : 0};
    }
    return count;
  }

  static BlockFile& of(void* self) { return *static_cast<BlockFile*>(self); }

  static constexpr std::uint64_t flush_mark = 1ull << 32;
  static constexpr unsigned after_a_miss = 15;  ///< reads that are not even tried at once
  static const BlockImage::Operations operations;
  static const BlockImage::Queue queued, queued_or_at_once;

  // The kernel lets go of what an io_uring holds some time after it was closed, and the lock must not wait for that.
  // Also, io_uring takes O_NONBLOCK at its word even for files.
  Descriptor lock_;
  Descriptor descriptor_;
  Descriptor direct_;  ///< the same file past the page cache, where that was asked for
  DirectAlignment alignment_;
  bool is_device_ = false;
  int lost_ = 0;               ///< the error of the first flush that failed
  unsigned left_to_ring_ = 0;  ///< reads that are not to be tried at once
  IoUring ring_;
};

inline constexpr BlockImage::Operations BlockFile::operations{
    .read = [](void* self, std::uint64_t offset,
               std::span<const Segment> segments) { return of(self).move(::preadv, offset, segments); },
    .write = [](void* self, std::uint64_t offset,
                std::span<const Segment> segments) { return of(self).move(::pwritev, offset, segments); },
    .flush =
        [](void* self) {
          const int done = retry_interrupted([self] { return ::fdatasync(of(self).descriptor_.get()); });
          return of(self).flushed(done == 0 ? 0 : errno);
        },
    .close = [](void* self) { delete static_cast<BlockFile*>(self); },
    .discard = [](void* self, std::uint64_t offset, std::uint64_t size) { return of(self).discard(offset, size); },
    .write_zeroes =
        [](void* self, std::uint64_t offset, std::uint64_t size, bool unmap) {
          return size == 0 ? 0 : of(self).allocate(of(self).zero_mode(unmap), offset, size);
        },
    .size = [](void* self) { return size_of(of(self).descriptor_.get(), of(self).is_device_).value_or(0); },
};

inline constexpr BlockImage::Queue BlockFile::queued_or_at_once{
    .start = [](void* self, BlockRequest const& request) { return of(self).start(request); },
    .submit = [](void* self) { of(self).ring_.submit(); },
    .reap = [](void* self, std::span<BlockCompletion> into) { return of(self).reap(into); },
    .wait = [](void* self) { of(self).ring_.wait(); },
    .cancel = [](void* self) { of(self).ring_.cancel(); },
    .descriptor = [](void* self) { return of(self).ring_.descriptor(); },
    .at_once = [](void* self, BlockRequest const& request) { return of(self).read_at_once(request); },
};
inline constexpr BlockImage::Queue BlockFile::queued = [] {
  BlockImage::Queue queue = queued_or_at_once;
  queue.at_once = nullptr;
  return queue;
}();

template <>
struct SystemPart<HostPart::Images> {
  static constexpr void add(Host::Operations& to) {
    to.image = [](void*, Path const& path, ImageOptions const& options) { return BlockFile::open(path, options); };
  }
};

}  // namespace axvm::inline v1
