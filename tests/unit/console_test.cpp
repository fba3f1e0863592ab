#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include <axvm/io/console.hpp>

#include "scratch.hpp"

using namespace axvm;

namespace {

struct Pipe {
  Descriptor reader, writer;
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    reader = Descriptor(ends[0]);
    writer = Descriptor(ends[1]);
  }
};

/// A terminal in raw mode: `user` is where a person sits, `program` what the console gets.
struct Pty {
  Descriptor user, program;
  Pty() {
    int a = -1, b = -1;
    REQUIRE(::openpty(&a, &b, nullptr, nullptr, nullptr) == 0);
    user = Descriptor(a);
    program = Descriptor(b);
    termios mode{};
    REQUIRE(::tcgetattr(b, &mode) == 0);
    ::cfmakeraw(&mode);
    REQUIRE(::tcsetattr(b, TCSANOW, &mode) == 0);
  }
};

void put(Descriptor const& to, std::string_view bytes) {
  REQUIRE(::write(to.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

bool readable(int descriptor) {
  pollfd poll{descriptor, POLLIN, 0};
  return ::poll(&poll, 1, 10'000) == 1;
}

/// Exactly so many bytes, or what came within ten seconds.
std::string take(Descriptor const& from, std::size_t count) {
  std::string out;
  while (out.size() < count && readable(from.get())) {
    char bytes[512];
    const ssize_t got = ::read(from.get(), bytes, std::min(sizeof bytes, count - out.size()));
    if (got <= 0) break;
    out.append(bytes, static_cast<std::size_t>(got));
  }
  return out;
}

std::size_t send(Console& console, std::string_view bytes) {
  return console.port().write(std::as_bytes(std::span(bytes)));
}

/// What one read gives the device.
std::string receive(Console& console, std::size_t most = 64) {
  std::array<std::byte, 256> bytes;
  const std::size_t got = console.port().read(std::span(bytes).first(most));
  return {reinterpret_cast<char const*>(bytes.data()), got};
}

/// What arrives of what the user typed, read byte by byte as a UART without FIFO does and in large pieces.
std::string typed(std::string_view keys, unsigned* left, std::size_t most) {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  if (left != nullptr) console.on_leave = {left, [](void* self) { ++*static_cast<unsigned*>(self); }};
  put(in.writer, keys);
  in.writer = {};
  std::string all;
  while (console.port().input() >= 0) all += receive(console, most);
  return all;
}

/// Writes until nothing is taken any more; how much that was. Fails when it goes on for ever.
std::size_t fill(Console& console) {
  const std::string bytes(4096, 'x');
  std::size_t sent = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::size_t now = send(console, bytes);
    REQUIRE(now <= bytes.size());
    if (now == 0) return sent;
    sent += now;
  }
  FAIL("a pipe that nobody reads never was full");
  return 0;
}

}  // namespace

TEST_CASE("console: bytes arrive in both directions, in order") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  CHECK(send(console, "hello ") == 6);
  CHECK(send(console, "world") == 5);
  CHECK(take(out.reader, 11) == "hello world");
  put(in.writer, "typed");
  CHECK(receive(console, 2) == "ty");
  CHECK(receive(console) == "ped");
}

TEST_CASE("console: all 256 byte values pass both ways, through a pipe and through a raw terminal") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  Pty pty;
  Console console(pty.program.get(), pty.program.get());
  CHECK(send(console, all) == 256);
  CHECK((take(pty.user, 256) == all));
  put(pty.user, all);
  std::string got;
  while (got.size() < 256 && readable(console.port().input())) got += receive(console);
  CHECK((got == all));
  CHECK((typed(all, nullptr, 64) == all));
}

TEST_CASE("console: a full pipe takes nothing, at once, and takes more when there is room") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  const std::size_t sent = fill(console);
  CHECK(sent > 0);
  CHECK(send(console, "y") == 0);
  CHECK(take(out.reader, sent).size() == sent);
  CHECK(send(console, "z") == 1);
  CHECK(take(out.reader, 1) == "z");
}

TEST_CASE("console: a terminal or a socket that nobody reads does not block either") {
  SUBCASE("terminal") {
    Pty pty;
    Console console(pty.program.get(), pty.program.get());
    CHECK(fill(console) > 0);
  }
  SUBCASE("socket") {  // cannot be opened anew: shares its description with whoever gave it
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Descriptor mine(ends[0]), other(ends[1]);
    Console console(mine.get(), mine.get());
    CHECK(fill(console) > 0);
    CHECK((::fcntl(mine.get(), F_GETFL) & O_NONBLOCK) == 0);
  }
}

TEST_CASE("console: waits for room to write, but not for ever") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  CHECK(console.port().wait(0));
  const std::size_t sent = fill(console);
  CHECK_FALSE(console.port().wait(0));
  CHECK_FALSE(console.port().wait(10));
  std::thread reader([&] { take(out.reader, sent); });
  CHECK(console.port().wait(10'000));
  reader.join();
  CHECK(send(console, "z") == 1);
}

TEST_CASE("console: an empty write and an empty read do nothing") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  put(in.writer, "x");
  CHECK(send(console, "") == 0);
  CHECK(receive(console, 0).empty());
  CHECK(receive(console) == "x");
}

TEST_CASE("console: a read with nothing there returns nothing and the input stays open") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  CHECK(receive(console).empty());
  CHECK(console.port().input() >= 0);
  put(in.writer, "a");
  CHECK(receive(console) == "a");
  CHECK(receive(console).empty());
}

TEST_CASE("console: at its end the input is gone, and not before all of it was read") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  put(in.writer, "last");
  in.writer = {};
  CHECK(receive(console, 3) == "las");
  CHECK(console.port().input() >= 0);
  CHECK(receive(console) == "t");
  CHECK(receive(console).empty());
  CHECK(console.port().input() == -1);
  CHECK(receive(console).empty());
  CHECK(send(console, "still") == 5);  // output goes on
}

TEST_CASE("console: a terminal that hangs up ends the input") {
  Pty pty;
  Console console(pty.program.get(), pty.program.get());
  pty.user = {};
  CHECK(receive(console).empty());
  CHECK(console.port().input() == -1);
}

TEST_CASE("console: works on copies, so that the caller may close its own") {
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  in.reader = {};
  out.writer = {};
  put(in.writer, "a");
  CHECK(receive(console) == "a");
  CHECK(send(console, "b") == 1);
  CHECK(take(out.reader, 1) == "b");
}

TEST_CASE("console: Ctrl-A X leaves and neither key reaches the guest") {
  for (const std::size_t most : {std::size_t{1}, std::size_t{64}}) {
    unsigned left = 0;
    CHECK(typed("ab\x01xcd", &left, most) == "abcd");
    CHECK(left == 1);
    CHECK(typed("\x01X", &left, most).empty());
    CHECK(left == 2);
    CHECK(typed("xX", &left, most) == "xX");  // without Ctrl-A they are ordinary keys
    CHECK(left == 2);
  }
}

TEST_CASE("console: Ctrl-A twice sends one Ctrl-A, and the second one begins nothing") {
  for (const std::size_t most : {std::size_t{1}, std::size_t{64}}) {
    unsigned left = 0;
    CHECK(typed("a\x01\x01x", &left, most) == "a\x01x");
    CHECK(typed("\x01\x01\x01\x01", &left, most) == "\x01\x01");
    CHECK(left == 0);
  }
}

TEST_CASE("console: Ctrl-A and a key that means nothing send nothing, and the next key is an ordinary one") {
  for (const std::size_t most : {std::size_t{1}, std::size_t{64}}) {
    unsigned left = 0;
    CHECK(typed("a\x01qb", &left, most) == "ab");
    CHECK(typed("\x01qx", &left, most) == "x");
    CHECK(typed("\x01\rA", &left, most) == "A");
    CHECK(typed("a\x01", &left, most) == "a");  // the end of the input in between
    CHECK(left == 0);
  }
}

TEST_CASE("console: Ctrl-A is remembered from one read to the next") {
  Pipe in, out;
  unsigned left = 0;
  Console console(in.reader.get(), out.writer.get());
  console.on_leave = {&left, [](void* self) { ++*static_cast<unsigned*>(self); }};
  put(in.writer, "\x01");
  CHECK(receive(console).empty());
  CHECK(left == 0);
  put(in.writer, "x");
  CHECK(receive(console).empty());
  CHECK(left == 1);
  CHECK(console.port().input() >= 0);
}

TEST_CASE("console: without on_leave every key reaches the guest") {
  CHECK(typed("a\x01x\x01\x01q", nullptr, 64) == "a\x01x\x01\x01q");
}

TEST_CASE("console: the flags of the caller's descriptors, which a shell may share, stay as they are") {
  Pipe in, out;
  Pty pty;
  for (auto const& [input, output] :
       {std::pair{in.reader.get(), out.writer.get()}, std::pair{pty.program.get(), pty.program.get()}}) {
    const int input_flags = ::fcntl(input, F_GETFL), output_flags = ::fcntl(output, F_GETFL);
    {
      Console console(input, output);
      CHECK(send(console, "x") == 1);
      CHECK(receive(console).empty());
      CHECK(::fcntl(input, F_GETFL) == input_flags);
      CHECK(::fcntl(output, F_GETFL) == output_flags);
      CHECK((::fcntl(console.port().output(), F_GETFD) & FD_CLOEXEC) != 0);
      CHECK((::fcntl(console.port().input(), F_GETFD) & FD_CLOEXEC) != 0);
    }
    CHECK(::fcntl(input, F_GETFL) == input_flags);
    CHECK(::fcntl(output, F_GETFL) == output_flags);
  }
}

TEST_CASE("console: a regular file is written where the caller's descriptor stands, and moves it") {
  const scratch::Directory directory;
  directory.put("log", "0123456789");
  const Descriptor file(::open(directory.name("log").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::lseek(file.get(), 4, SEEK_SET) == 4);
  Pipe in;
  Console console(in.reader.get(), file.get());
  CHECK(send(console, "ab") == 2);
  put(file, "cd");  // the shell's next command goes on behind it
  CHECK(send(console, "ef") == 2);
  CHECK(directory.contents("log") == "0123abcdef");
}

TEST_CASE("console: what nobody can read any more is dropped, and the guest goes on") {
  struct sigaction old{};
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  REQUIRE(::sigaction(SIGPIPE, &ignore, &old) == 0);  // as a monitor does
  Pipe in, out;
  Console console(in.reader.get(), out.writer.get());
  out.reader = {};
  CHECK(send(console, std::string(5000, 'x')) > 0);
  CHECK(send(console, "x") == 1);
  ::sigaction(SIGPIPE, &old, nullptr);

  const Descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  REQUIRE(full);
  Console to_full(in.reader.get(), full.get());
  CHECK(send(to_full, "x") == 1);
}

TEST_CASE("console: a program without input or output has an input that never comes and drops its output") {
  Console console(-1, -1);
  CHECK(console.port().input() == -1);
  CHECK(receive(console).empty());
  CHECK(send(console, "into the void") == 13);
}
