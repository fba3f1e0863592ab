#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/events.hpp>
#include <axvm/device/host.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// The program's console: one descriptor to read, one to write. Neither direction ever blocks, and the descriptors'
/// own flags, which a shell may share, are left as they are. With an escape key set, Ctrl-A X calls `on_leave` and
/// Ctrl-A Ctrl-A sends one Ctrl-A.
///
/// Several devices may write to it. What is typed goes to the one that has connected to it, as long as it is, and else
/// to port().
class Console {
 public:
  /// `input` and `output` stay the caller's; the console works on duplicates.
  Console(int input, int output)
      : input_(::fcntl(input, F_DUPFD_CLOEXEC, 0)), output_(writable_duplicate(output)), input_open_(bool(input_)) {}
  Console(Console const&) = delete;
  Console& operator=(Console const&) = delete;

  /// Called on the event-loop thread when the user types Ctrl-A X. Without it no key is special.
  Callback on_leave{};

  [[nodiscard, AXVM_ONCE]] CharacterPort port() { return {this, &operations}; }

  /// The console for a device that is to have its input alone. Ask before whatever uses port() is built: from then on
  /// that has no input. A second one at a time is InvalidState.
  [[nodiscard, gnu::cold]] Result<CharacterConnection> connect() {
    if (connected_)
      return failure(ErrorCode::InvalidState, "connect a console to stdio: another one is",
                     "give one of them a pseudo-terminal (pty:PATH) or a socket (unix:PATH)");
    connected_ = true;
    return CharacterConnection(this, &connection, {this, &connected_operations});
  }

 private:
  static constexpr std::byte escape{0x01};  // Ctrl-A

  /// A description of its own for a terminal or a pipe, so that making it non-blocking does not change the shell's. A
  /// regular file never blocks, and a description of its own would lose its position.
  [[AXVM_ONCE]] static Descriptor writable_duplicate(int output) {
    struct stat status{};
    if (::fstat(output, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode))) {
      const auto path = text<40>("/proc/self/fd/", output);
      Descriptor own(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
      if (own) return own;
    }
    return Descriptor(::fcntl(output, F_DUPFD_CLOEXEC, 0));
  }

  static bool ready(int descriptor, short events) {
    pollfd poll{descriptor, events, 0};
    return ::poll(&poll, 1, 0) == 1;
  }

  std::size_t write(ConstBytes bytes) {
    if (!output_) return bytes.size();  // the program was started without an output
    // Whoever shares a description that could not be duplicated may have it blocking: ask first, send little.
    if (!ready(output_.get(), POLLOUT)) return 0;
    const std::size_t most = std::min<std::size_t>(bytes.size(), 512);
    const ssize_t sent = retry_interrupted([&] { return ::write(output_.get(), bytes.data(), most); });
    if (sent >= 0) return static_cast<std::size_t>(sent);
    return errno == EAGAIN ? 0 : bytes.size();  // nobody listens any more: the bytes are gone, the guest goes on
  }

  /// Of the terminal that shows the output.
  TerminalSize size() {
    winsize found{};
    if (::ioctl(output_.get(), TIOCGWINSZ, &found) != 0) return {};
    return {found.ws_col, found.ws_row};
  }

  bool wait(int milliseconds) {
    pollfd poll{output_.get(), POLLOUT, 0};
    return ::poll(&poll, 1, milliseconds) == 1;
  }

  std::size_t read(Bytes into) {
    std::array<std::byte, 64> raw;
    std::size_t kept = 0;
    const std::size_t most = std::min(raw.size(), into.size());
    while (most != 0 && input_open_ && kept == 0 && ready(input_.get(), POLLIN)) {
      const ssize_t got = retry_interrupted([&] { return ::read(input_.get(), raw.data(), most); });
      if (got < 0 && errno == EAGAIN) return 0;
      if (got <= 0) {
        input_open_ = false;
        return 0;
      }
      for (ssize_t i = 0; i < got; ++i)
        if (passes(raw[static_cast<std::size_t>(i)])) into[kept++] = raw[static_cast<std::size_t>(i)];
    }
    return kept;
  }

  /// Whether a byte goes to the guest.
  bool passes(std::byte byte) {
    if (on_leave.call == nullptr) return true;
    if (!escaped_) {
      escaped_ = byte == escape;
      return !escaped_;
    }
    escaped_ = false;
    if (byte == std::byte{'x'} || byte == std::byte{'X'}) on_leave();
    return byte == escape;
  }

  static Console& of(void* self) { return *static_cast<Console*>(self); }
  static std::size_t write_to(void* self, ConstBytes bytes) { return of(self).write(bytes); }
  static std::size_t read_from(void* self, Bytes into) { return of(self).read(into); }
  static int input_of(void* self) { return of(self).input_open_ ? of(self).input_.get() : -1; }
  static int output_of(void* self) { return of(self).output_.get(); }
  static bool wait_for(void* self, int milliseconds) { return of(self).wait(milliseconds); }

  static const CharacterPort::Operations operations, connected_operations;
  static const CharacterConnection::Operations connection;

  Descriptor input_, output_;
  bool input_open_ = false;
  bool connected_ = false;  ///< somebody has the input alone
  bool escaped_ = false;
};

inline constexpr CharacterPort::Operations Console::operations{
    .write = write_to,
    .read = [](void* self, Bytes into) { return of(self).connected_ ? 0 : read_from(self, into); },
    .input = [](void* self) { return of(self).connected_ ? -1 : input_of(self); },
    .output = output_of,
    .wait = wait_for,
};
inline constexpr CharacterPort::Operations Console::connected_operations{
    .write = write_to, .read = read_from, .input = input_of, .output = output_of, .wait = wait_for};
inline constexpr CharacterConnection::Operations Console::connection{
    .size = [](void* self) { return of(self).size(); },
    .close = [](void* self) { of(self).connected_ = false; },
};

}  // namespace axvm::inline v1
