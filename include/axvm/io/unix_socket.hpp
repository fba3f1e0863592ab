#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// The address of a socket in the file system; false when the path is too long for one (107 bytes) or empty.
[[nodiscard]] inline bool unix_address(std::string_view path, sockaddr_un& into) {
  into = {};
  into.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof into.sun_path) return false;
  std::memcpy(into.sun_path, path.data(), path.size());
  return true;
}

/// A stream socket connected to the one that listens at `path`, not blocking; without a descriptor, errno says why.
[[nodiscard]] inline Descriptor connect_unix(std::string_view path) {
  sockaddr_un address;
  if (!unix_address(path, address)) {
    errno = ENAMETOOLONG;
    return {};
  }
  Descriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (made && ::connect(made.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0) return {};
  return made;
}

/// A stream socket that listens at a path of the file system, and takes the path away at its end. Move-only.
class UnixListener {
 public:
  UnixListener() = default;
  UnixListener(UnixListener&& other) noexcept { *this = std::move(other); }
  UnixListener& operator=(UnixListener&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~UnixListener() {
    if (descriptor_) ::unlink(path_.c_str());
  }

  /// Listens, for this user only. A socket of an earlier program that nobody listens at any more is replaced; anything
  /// else that is in the way is an error.
  [[nodiscard, gnu::cold]] static Result<UnixListener> open(std::string_view path) {
    auto failed = [&](int number, std::string_view hint) {
      return failure(number == EACCES ? ErrorCode::PermissionDenied : ErrorCode::HostIo,
                     text<1023>("listen at the socket ", path), hint, number);
    };
    sockaddr_un address;
    if (!unix_address(path, address)) return failed(ENAMETOOLONG, "the path of a socket has 1 to 107 bytes");
    UnixListener made;
    made.path_ = path;
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return failed(errno, "raise the limit on open files (ulimit -n)");
    remove_stale(made.path_.c_str(), address);
    // What bind makes has the rights of the socket, less the umask.
    if (::fchmod(socket.get(), S_IRUSR | S_IWUSR) != 0 ||
        ::bind(socket.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
      return failed(errno, errno == EADDRINUSE ? "something is there already: stop who uses it, or remove it"
                                               : "check the directory");
    made.descriptor_ = std::move(socket);
    if (::listen(made.descriptor_.get(), 16) != 0) return failed(errno, {});
    return made;
  }

  /// The next connection that waits, not blocking; without a descriptor when there is none.
  [[nodiscard]] Descriptor accept() const {
    return Descriptor(retry_interrupted(
        [this] { return ::accept4(descriptor_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
  }

  /// To watch for connections.
  [[nodiscard]] int get() const { return descriptor_.get(); }

 private:
  static void remove_stale(char const* path, sockaddr_un const& address) {
    struct stat status{};
    if (::lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
    const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(probe.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0 &&
        errno == ECONNREFUSED)
      ::unlink(path);
  }

  Descriptor descriptor_;
  Text<107> path_;
};

}  // namespace axvm::inline v1
