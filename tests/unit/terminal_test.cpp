#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include <doctest/doctest.h>

#include <axvm/io/descriptor.hpp>
#include <axvm/io/terminal.hpp>

#include "scratch.hpp"

using namespace axvm;

namespace {

/// A process that has a terminal in raw mode, and how we talk with it. Its terminal's mode can be seen from here.
class Child {
 public:
  /// `body` runs in the process; it gets the terminal, and a function that tells us that the terminal is as it should
  /// be now and waits until we have looked.
  template <class Body>
  explicit Child(Body body) {
    int user = -1, program = -1, told[2], answered[2];
    REQUIRE(::openpty(&user, &program, nullptr, nullptr, nullptr) == 0);
    REQUIRE(::pipe2(told, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(answered, O_CLOEXEC) == 0);
    user_ = Descriptor(user);
    program_ = Descriptor(program);
    before_ = mode();
    child_ = scratch::start_child([&] {
      ::close(answered[1]);  // so that the answer ends with the parent
      body(program, [&] {
        char byte = '!';
        if (::write(told[1], &byte, 1) != 1 || ::read(answered[0], &byte, 1) != 1) ::_exit(99);
      });
    });
    ::close(told[1]);
    ::close(answered[0]);
    told_ = Descriptor(told[0]);
    answer_ = Descriptor(answered[1]);
  }
  ~Child() {
    if (!ended_) {
      ::kill(child_, SIGKILL);
      scratch::end_of(child_);
    }
  }
  Child(Child const&) = delete;
  Child& operator=(Child const&) = delete;

  void wait() const {
    char byte = 0;
    REQUIRE(::read(told_.get(), &byte, 1) == 1);
  }
  void go_on() const { REQUIRE(::write(answer_.get(), "!", 1) == 1); }
  int end() {
    ended_ = true;
    return scratch::end_of(child_);
  }

  [[nodiscard]] bool is_raw() const {
    const termios now = mode();
    return (now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) == 0 && (now.c_oflag & OPOST) == 0 &&
           (now.c_iflag & (ICRNL | IXON)) == 0;
  }
  [[nodiscard]] bool is_as_before() const {
    const termios now = mode();
    return now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag && now.c_cflag == before_.c_cflag &&
           now.c_lflag == before_.c_lflag;
  }

 private:
  [[nodiscard]] termios mode() const {
    termios now{};
    REQUIRE(::tcgetattr(program_.get(), &now) == 0);
    return now;
  }

  Descriptor user_, program_, told_, answer_;
  termios before_{};
  pid_t child_ = -1;
  bool ended_ = false;
};

/// The process ends while the object lives, by `end`.
template <class End>
int end_while_raw(End end) {
  Child child([end](int terminal, auto pause) {
    const RawTerminal raw(terminal);
    pause();
    end();
  });
  child.wait();
  CHECK(child.is_raw());
  child.go_on();
  const int status = child.end();
  CHECK(child.is_as_before());
  return status;
}

}  // namespace

TEST_CASE("terminal: raw while the object lives, and as before when it is gone") {
  Child child([](int terminal, auto pause) {
    pause();
    {
      const RawTerminal raw(terminal);
      if (!RawTerminal::active()) ::_exit(1);
      pause();
    }
    if (RawTerminal::active()) ::_exit(2);
    pause();
  });
  child.wait();
  CHECK_FALSE(child.is_raw());
  child.go_on();
  child.wait();
  CHECK(child.is_raw());
  child.go_on();
  child.wait();
  CHECK(child.is_as_before());
  child.go_on();
  CHECK(scratch::exited_with(child.end(), 0));
}

TEST_CASE("terminal: may be made raw again after it was restored") {
  Child child([](int terminal, auto pause) {
    {
      const RawTerminal raw(terminal);
    }
    const RawTerminal raw(terminal);
    pause();
    ::abort();
  });
  child.wait();
  CHECK(child.is_raw());
  child.go_on();
  CHECK(scratch::died_of(child.end(), SIGABRT));
  CHECK(child.is_as_before());
}

TEST_CASE("terminal: restored by exit(), which keeps its status") {
  CHECK(scratch::exited_with(end_while_raw([] { std::exit(7); }), 7));
}

TEST_CASE("terminal: restored by abort(), which stays one") {
  CHECK(scratch::died_of(end_while_raw([] { std::abort(); }), SIGABRT));
}

TEST_CASE("terminal: restored when the program crashes, which still is seen as a crash") {
  CHECK(scratch::died_of(end_while_raw([] {
                           void* nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                           *static_cast<int volatile*>(nothing) = 1;
                         }),
                         SIGSEGV));
}

TEST_CASE("terminal: restored by every other signal that ends a program that did not ask for it") {
  for (const int signal : {SIGBUS, SIGILL, SIGFPE, SIGQUIT, SIGSYS, SIGTRAP, SIGXCPU, SIGALRM, SIGUSR2}) {
    CAPTURE(signal);
    CHECK(scratch::died_of(end_while_raw([signal] { ::raise(signal); }), signal));
  }
}

TEST_CASE("terminal: a descriptor that is none is left alone, and so are the program's signals") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Descriptor reader(ends[0]), writer(ends[1]);
  const pid_t child = scratch::start_child([&] {
    for (const int descriptor : {reader.get(), writer.get(), -1}) {
      const RawTerminal none(descriptor);
      if (RawTerminal::active()) ::_exit(1);
    }
    struct sigaction action{};
    ::sigaction(SIGABRT, nullptr, &action);
    if (action.sa_handler != SIG_DFL) ::_exit(2);
  });
  CHECK(scratch::exited_with(scratch::end_of(child), 0));
}
