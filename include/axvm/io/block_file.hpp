#pragma once

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>

#include <axvm/core/result.hpp>
#include <axvm/device/host.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// A raw disk image or a block device of the host as a BlockImage. Locked against a second monitor: exclusively when it
/// is written, shared when it is only read.
class BlockFile {
 public:
  [[nodiscard, gnu::cold]] static Result<BlockImage> open(Path const& path, bool read_only) {
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
    auto file = std::make_unique<BlockFile>();
    // Not blocking: a named pipe would keep us waiting for a writer. It means nothing to files and block devices.
    file->descriptor_ = Descriptor(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK));
    if (!file->descriptor_)
      return failed(errno == ENOENT   ? "check the path"
                    : errno == EISDIR ? wrong_kind
                    : read_only       ? "check the permissions"
                                      : "make it writable, or attach it read-only");
    struct stat status{};
    if (::fstat(file->descriptor_.get(), &status) != 0) return failed({});
    std::uint64_t size = static_cast<std::uint64_t>(status.st_size);
    if (S_ISBLK(status.st_mode)) {
      if (::ioctl(file->descriptor_.get(), BLKGETSIZE64, &size) != 0) return failed({});
    } else if (!S_ISREG(status.st_mode)) {
      errno = EINVAL;
      return failed(wrong_kind);
    }
    if (::flock(file->descriptor_.get(), (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      return failed("another monitor uses this image; stop it, or attach the image read-only to both");
    return BlockImage(file.release(), &operations, size, read_only);
  }

 private:
  using Transfer = ssize_t (*)(int, iovec const*, int, off_t);

  static constexpr std::size_t batch = 64;  ///< segments per system call

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

  static int descriptor_of(void* self) { return static_cast<BlockFile*>(self)->descriptor_.get(); }

  static const BlockImage::Operations operations;

  Descriptor descriptor_;
};

inline constexpr BlockImage::Operations BlockFile::operations{
    .read = [](void* self, std::uint64_t offset,
               std::span<const Segment> segments) { return transfer(descriptor_of(self), ::preadv, offset, segments); },
    .write =
        [](void* self, std::uint64_t offset, std::span<const Segment> segments) {
          return transfer(descriptor_of(self), ::pwritev, offset, segments);
        },
    .flush = [](void* self) { return ::fdatasync(descriptor_of(self)) == 0 ? 0 : errno; },
    .close = [](void* self) { delete static_cast<BlockFile*>(self); },
};

}  // namespace axvm::inline v1
