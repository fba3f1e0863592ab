#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::inline v1 {

/// Which file it is and when it was last changed: what has the same state has the same bytes. Equal states of which the
/// file is not known mean nothing.
struct FileState {
  std::uint64_t device = 0;   ///< its file system (st_dev)
  std::uint64_t inode = 0;    ///< in that file system (st_ino); 0: the file is not known
  std::uint64_t size = 0;     ///< in bytes
  std::int64_t modified = 0;  ///< its contents, ns since 1970 (st_mtim)
  std::int64_t changed = 0;   ///< contents or attributes, ns since 1970 (st_ctim); no program can set it

  [[nodiscard]] bool known() const { return inode != 0; }
  friend bool operator==(FileState const&, FileState const&) = default;
};

/// An open file that is mapped when its bytes are needed and only then.
class File {
 public:
  /// `role` names the file in errors: "kernel", "initrd".
  [[nodiscard, gnu::cold]] static Result<File> open(std::string_view role, Path const& path) {
    auto failed = [&](int number) {
      const bool denied = number == EACCES || number == EPERM;
      return failure(number == ENOENT ? ErrorCode::NotFound
                     : denied         ? ErrorCode::PermissionDenied
                                      : ErrorCode::HostIo,
                     text<1023>("open ", role, " ", path),
                     number == ENOENT ? "check the path"
                     : denied         ? "make it readable"
                                      : "",
                     number);
    };
    if (path.truncated()) return failed(ENAMETOOLONG);
    File file;
    // Not blocking: a named pipe would keep us waiting for a writer. It means nothing to regular files.
    file.descriptor_ = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status{};
    if (!file.descriptor_ || ::fstat(file.descriptor_.get(), &status) != 0) return failed(errno);
    if (!S_ISREG(status.st_mode))
      return failure(ErrorCode::BadImage, text<1023>("open ", role, " ", path), "it is not a regular file");
    file.size_ = static_cast<std::size_t>(status.st_size);
    file.name_ = text<1023>(role, " ", path);
    return file;
  }

  /// The file's bytes, read-only, for as long as the mapping lives; an empty mapping for an empty file.
  [[nodiscard, gnu::cold]] Result<Mapping> map() const {
    if (size_ == 0) return Mapping{};
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_.get(), 0);
    if (address == MAP_FAILED) return failure(ErrorCode::HostIo, text<1023>("map ", name_), {}, errno);
    return Mapping(address, size_);
  }

  /// Its state now. Not known where a change within the last two seconds could have left no trace in the times, which
  /// are as coarse as that on some file systems.
  [[nodiscard, gnu::cold]] FileState state() const {
    struct stat status{};
    timespec now{};
    if (::fstat(descriptor_.get(), &status) != 0 || ::clock_gettime(CLOCK_REALTIME, &now) != 0) return {};
    auto nanoseconds = [](timespec const& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
    const FileState state{.device = status.st_dev,
                          .inode = status.st_ino,
                          .size = static_cast<std::uint64_t>(status.st_size),
                          .modified = nanoseconds(status.st_mtim),
                          .changed = nanoseconds(status.st_ctim)};
    const std::int64_t unchanged_for =
        nanoseconds(now) - (state.modified > state.changed ? state.modified : state.changed);
    return unchanged_for > 2'000'000'000 ? state : FileState{};
  }

 private:
  Descriptor descriptor_;
  std::size_t size_ = 0;
  Path name_;
};

/// A mapping as bytes.
inline ConstBytes bytes_of(Mapping const& mapping) { return {mapping.data(), mapping.size()}; }

}  // namespace axvm::inline v1
