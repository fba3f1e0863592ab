#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::inline v1 {

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

 private:
  Descriptor descriptor_;
  std::size_t size_ = 0;
  Path name_;
};

/// A mapping as bytes.
inline ConstBytes bytes_of(Mapping const& mapping) { return {mapping.data(), mapping.size()}; }

}  // namespace axvm::inline v1
