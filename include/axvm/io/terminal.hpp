#pragma once

#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace axvm::inline v1 {

/// Puts the terminal behind a descriptor into raw mode, so that every key reaches the guest, and back on every way out:
/// at the end of the object's life, at exit(), and before a fatal signal ends the process. Does nothing for what is no
/// terminal. At most one at a time; it belongs to the program, which decides that the terminal is the guest's.
class RawTerminal {
 public:
  explicit RawTerminal(int descriptor) {
    if (::isatty(descriptor) == 0 || ::tcgetattr(descriptor, &saved_) != 0) return;
    descriptor_ = descriptor;
    static const bool registered = [] {
      std::atexit(&RawTerminal::restore);
      for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ,
                               SIGALRM, SIGUSR2, SIGVTALRM, SIGPROF}) {
        struct sigaction action{};
        action.sa_handler = &RawTerminal::die;
        action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
        ::sigaction(signal, &action, nullptr);
      }
      return true;
    }();
    (void)registered;
    termios raw = saved_;
    ::cfmakeraw(&raw);
    ::tcsetattr(descriptor, TCSADRAIN, &raw);
  }
  ~RawTerminal() { restore(); }
  RawTerminal(RawTerminal const&) = delete;
  RawTerminal& operator=(RawTerminal const&) = delete;

  /// Whether the terminal is in raw mode because of this object.
  [[nodiscard]] static bool active() { return descriptor_ >= 0; }

 private:
  static void restore() {
    if (descriptor_ < 0) return;
    ::tcsetattr(descriptor_, TCSADRAIN, &saved_);
    descriptor_ = -1;
  }
  /// Runs in a signal handler: tcsetattr and raise are safe there. SA_RESETHAND makes the second one final.
  static void die(int signal) {
    restore();
    ::raise(signal);
  }

  inline static termios saved_{};
  inline static volatile int descriptor_ = -1;
};

}  // namespace axvm::inline v1
