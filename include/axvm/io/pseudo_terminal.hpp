#pragma once

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string_view>

#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/character_port.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// A new pseudo-terminal for a guest's console, in raw mode, with a symbolic link to it at a path of the user's choice.
/// Terminal programs (screen, picocom) attach and leave as they like; what nobody reads waits, as much as the kernel
/// keeps.
class PseudoTerminal {
 public:
  [[nodiscard, gnu::cold]] static Result<CharacterConnection> open(std::string_view link) {
    auto failed = [&](std::string_view hint) {
      return failure(ErrorCode::HostIo, text<1023>("make a pseudo-terminal at ", link), hint, errno);
    };
    auto made = std::make_unique<PseudoTerminal>();
    made->master_ = Descriptor(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    char name[64];
    if (!made->master_ || ::grantpt(made->master_.get()) != 0 || ::unlockpt(made->master_.get()) != 0 ||
        ::ptsname_r(made->master_.get(), name, sizeof name) != 0)
      return failed("is /dev/pts mounted?");
    // Kept open, so that the master does not report the end whenever nobody is attached.
    made->slave_ = Descriptor(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    // An event loop watches a descriptor either for input or for room: one each.
    made->output_ = Descriptor(::fcntl(made->master_.get(), F_DUPFD_CLOEXEC, 0));
    if (!made->slave_ || !made->output_) return failed({});
    termios raw{};
    if (::tcgetattr(made->slave_.get(), &raw) != 0) return failed({});
    ::cfmakeraw(&raw);
    const winsize usual{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};  // until somebody attaches
    if (::tcsetattr(made->slave_.get(), TCSANOW, &raw) != 0 || ::ioctl(made->slave_.get(), TIOCSWINSZ, &usual) != 0)
      return failed({});
    const Path path = link;
    if (path.truncated() || path.empty()) {
      errno = path.empty() ? EINVAL : ENAMETOOLONG;
      return failed("name a path for the link to it, of at most 1023 bytes");
    }
    remove_stale(path);
    if (::symlink(name, path.c_str()) != 0)
      return failed(errno == EEXIST ? "something is there already: remove it" : "check the directory");
    made->link_ = path;
    auto* const self = made.release();
    return CharacterConnection(self, &connection_operations, {self, &port_operations});
  }

  PseudoTerminal() = default;
  PseudoTerminal(PseudoTerminal const&) = delete;
  PseudoTerminal& operator=(PseudoTerminal const&) = delete;
  ~PseudoTerminal() {
    if (!link_.empty()) ::unlink(link_.c_str());
  }

 private:
  /// Removes a link to a pseudo-terminal that is no more; its number may have been given to another one since, which a
  /// link from elsewhere does no good either.
  static void remove_stale(Path const& path) {
    char target[16] = {};
    if (::readlink(path.c_str(), target, sizeof target - 1) <= 0) return;
    if (std::string_view(target).starts_with("/dev/pts/") && ::access(path.c_str(), F_OK) != 0) ::unlink(path.c_str());
  }

  static PseudoTerminal& of(void* self) { return *static_cast<PseudoTerminal*>(self); }
  static int descriptor_of(void* self) { return of(self).master_.get(); }

  static std::size_t write(void* self, ConstBytes bytes) {
    const ssize_t sent = retry_interrupted([&] { return ::write(descriptor_of(self), bytes.data(), bytes.size()); });
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  static std::size_t read(void* self, Bytes into) {
    const ssize_t got = retry_interrupted([&] { return ::read(descriptor_of(self), into.data(), into.size()); });
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  static bool wait(void* self, int milliseconds) {
    pollfd poll{descriptor_of(self), POLLOUT, 0};
    return ::poll(&poll, 1, milliseconds) == 1;
  }
  static TerminalSize size(void* self) {
    winsize found{};
    if (::ioctl(descriptor_of(self), TIOCGWINSZ, &found) != 0) return {};
    return {found.ws_col, found.ws_row};
  }

  static const CharacterPort::Operations port_operations;
  static const CharacterConnection::Operations connection_operations;

  Descriptor master_, output_, slave_;
  Path link_;
};

inline constexpr CharacterPort::Operations PseudoTerminal::port_operations{
    .write = write,
    .read = read,
    .input = descriptor_of,
    .output = [](void* self) { return of(self).output_.get(); },
    .wait = wait,
};
inline constexpr CharacterConnection::Operations PseudoTerminal::connection_operations{
    .size = size,
    .close = [](void* self) { delete static_cast<PseudoTerminal*>(self); },
};

}  // namespace axvm::inline v1
