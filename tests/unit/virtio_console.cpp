#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <optional>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/virtio_console.hpp>

#include "scratch.hpp"
#include "virtio_rig.hpp"

using namespace guest;
using axvm::CharacterConnection;
using axvm::Interest;
using axvm::TerminalSize;
using axvm::VirtioConsole;
using axvm::virtio::ConsoleConfig;
using axvm::virtio::ConsoleCore;
using axvm::virtio::RingFault;
namespace console_feature = axvm::virtio::console_feature;

namespace {

constexpr std::uint64_t data = 0x4'0000;
constexpr std::size_t rx = ConsoleCore::receiveq, tx = ConsoleCore::transmitq;

/// The far end: a port in memory and a terminal's size.
struct Terminal {
  fakes::CharacterPort port;
  TerminalSize size{80, 25};
  unsigned closed = 0;

  CharacterConnection connection() {
    static constexpr CharacterConnection::Operations operations{
        .size = [](void* self) { return static_cast<Terminal*>(self)->size; },
        .close = [](void* self) { ++static_cast<Terminal*>(self)->closed; }};
    return {this, &operations, port.port()};
  }
};

/// The core by itself.
struct Rig {
  explicit Rig(TerminalSize size = {80, 25}) : terminal{.port = {}, .size = size} {}

  Ram ram;
  fakes::EventLoop events;
  Terminal terminal;
  CharacterConnection connection = terminal.connection();
  axvm::virtio::ConsoleBuffers buffers;
  axvm::virtio::ConsoleCounters counters;
  FakeTransport transport{ram, 2};
  std::optional<ConsoleCore> made{
      std::in_place,
      connection,
      buffers,
      events.events(),
      ConsoleCore::Calls{axvm::Callback::to<&Rig::attend>(*this), axvm::Callback::to<&Rig::give_up>(*this)},
      counters};
  ConsoleCore& core = *made;

  void attend() { core.attend(transport); }
  void give_up() { core.give_up(transport); }
  /// The guest makes a buffer available; the core hears of it.
  void offer(std::size_t queue, std::uint16_t head, std::vector<Buffer> const& chain) {
    transport.ring(queue).describe(head, chain);
    transport.ring(queue).offer(head);
    core.notified(transport, queue);
  }
  void write(std::uint16_t head, std::string_view text) {
    ram.put_text(data + 0x1000, text);
    offer(tx, head, {{data + 0x1000, static_cast<std::uint32_t>(text.size()), false}});
  }
  /// Somebody types, and the event loop says so.
  bool type(std::string_view text) {
    terminal.port.type(text);
    return events.ready(fakes::CharacterPort::input, Interest::Readable);
  }
};

}  // namespace

TEST_CASE("virtio-console: output goes to the port") {
  Rig rig;
  rig.ram.put_text(data, "hello");
  rig.offer(tx, 0, {{data, 2, false}, {data + 2, 3, false}});
  CHECK(rig.terminal.port.sent == "hello");
  CHECK(rig.transport.ring(tx).used_index() == 1);
  CHECK(rig.transport.ring(tx).last_used().len == 0);
  CHECK(rig.counters.sent.value() == 5);
  CHECK(rig.events.interest(fakes::CharacterPort::output) == Interest::Nothing);
}

TEST_CASE("virtio-console: input goes to the guest's buffers, as they come") {
  Rig rig;
  CHECK(rig.events.interest(fakes::CharacterPort::input) == Interest::Readable);
  CHECK(rig.type("abc"));
  CHECK(rig.transport.ring(rx).used_index() == 0);
  rig.offer(rx, 0, {{data, 2, true}});
  CHECK(rig.ram.text(data, 3) == std::string("ab\0", 3));
  CHECK(rig.transport.ring(rx).last_used().len == 2);
  rig.offer(rx, 1, {{data + 0x10, 1, true}, {data + 0x20, 8, true}});
  CHECK(rig.ram.text(data + 0x10, 1) == "c");
  CHECK(rig.transport.ring(rx).last_used().len == 1);
  rig.offer(rx, 4, {{data + 0x30, 2, true}, {data + 0x40, 8, true}});
  CHECK(rig.type("defg"));
  CHECK(rig.ram.text(data + 0x30, 2) == "de");
  CHECK(rig.ram.text(data + 0x40, 2) == "fg");
  CHECK(rig.counters.received.value() == 7);
}

TEST_CASE("virtio-console: a driver that is not ready gets nothing yet") {
  Rig rig;
  rig.transport.ring(rx).describe(0, {{data, 8, true}});
  rig.transport.ring(rx).offer(0);
  CHECK(rig.type("early"));
  CHECK(rig.transport.ring(rx).used_index() == 0);
  rig.core.notified(rig.transport, rx);
  CHECK(rig.ram.text(data, 5) == "early");
}

TEST_CASE("virtio-console: input is taken as long as there is room, whatever the guest does") {
  Rig rig;
  CHECK(rig.type(std::string(1500, 'x')));
  CHECK(rig.terminal.port.arrived.size() == 1500 - 1024);
  CHECK(rig.events.interest(fakes::CharacterPort::input) == Interest::Nothing);
  rig.offer(rx, 0, {{data, 1000, true}});
  CHECK(rig.transport.ring(rx).last_used().len == 1000);
  CHECK(rig.events.interest(fakes::CharacterPort::input) == Interest::Readable);
  CHECK(rig.events.ready(fakes::CharacterPort::input, Interest::Readable));
  CHECK(rig.terminal.port.arrived.empty());
}

TEST_CASE("virtio-console: a file as input is read when the guest can use it") {
  Rig rig;
  rig.events.unwatchable.insert(fakes::CharacterPort::input);
  rig.events.ready(fakes::CharacterPort::input, Interest::Readable);
  ConsoleCore core(rig.connection, rig.buffers, rig.events.events(), {{}, {}}, rig.counters);
  rig.terminal.port.type("file");
  rig.transport.ring(rx).describe(0, {{data, 16, true}});
  rig.transport.ring(rx).offer(0);
  core.notified(rig.transport, rx);
  CHECK(rig.ram.text(data, 4) == "file");
}

TEST_CASE("virtio-console: output that the host does not take waits, a while, and then is lost") {
  Rig rig;
  rig.terminal.port.room = 3;
  rig.write(0, "abcdef");
  CHECK(rig.terminal.port.sent == "abc");
  CHECK(rig.transport.ring(tx).used_index() == 1);
  CHECK(rig.events.interest(fakes::CharacterPort::output) == Interest::Writable);

  // Until the ring is nearly full the guest goes on, then its buffers stay where they are.
  rig.write(1, std::string(8190, 'y'));
  CHECK(rig.transport.ring(tx).used_index() == 2);
  CHECK(rig.buffers.output.count == 8193);
  rig.write(2, "later");
  CHECK(rig.transport.ring(tx).used_index() == 2);
  CHECK(rig.counters.lost_output.value() == 0);

  SUBCASE("the host takes some: all goes on in order") {
    rig.terminal.port.room = 100'000;
    CHECK(rig.events.ready(fakes::CharacterPort::output, Interest::Writable));
    CHECK(rig.terminal.port.sent == "abcdef" + std::string(8190, 'y') + "later");
    CHECK(rig.transport.ring(tx).used_index() == 3);
    CHECK(rig.events.interest(fakes::CharacterPort::output) == Interest::Nothing);
    CHECK(rig.events.deadline(ConsoleCore::patience_timer) == 0);
    CHECK(rig.counters.lost_output.value() == 0);
  }
  SUBCASE("it does not: the guest must not be held for longer") {
    rig.events.advance(ConsoleCore::patience - 1);
    CHECK(rig.transport.ring(tx).used_index() == 2);
    rig.events.advance(1);
    CHECK(rig.transport.ring(tx).used_index() == 3);
    rig.write(3, std::string(16384, 'z'));
    CHECK(rig.transport.ring(tx).used_index() == 4);
    CHECK(rig.buffers.output.room() == 0);
    CHECK(rig.counters.lost_output.value() == 8193 + 5 + 16384 - 16384);
    // It comes back to its senses: nothing is lost any more.
    rig.terminal.port.room = 100'000;
    CHECK(rig.events.ready(fakes::CharacterPort::output, Interest::Writable));
    CHECK(rig.terminal.port.sent.size() == 3 + 16384);
    rig.write(4, "!");
    CHECK(rig.terminal.port.sent.back() == '!');
  }
  SUBCASE("what the guest adds meanwhile it need not notify of") {
    rig.ram.put_text(data + 0x1000, "later");
    rig.transport.ring(tx).describe(3, {{data + 0x1000, 5, false}});
    rig.transport.ring(tx).offer(3);
    rig.terminal.port.room = 100'000;
    SUBCASE("the host takes some") {}
    SUBCASE("patience is over") { rig.events.advance(ConsoleCore::patience); }
    CHECK(rig.events.ready(fakes::CharacterPort::output, Interest::Writable));
    CHECK(rig.transport.ring(tx).used_index() == 4);
    CHECK(rig.terminal.port.sent == "abcdef" + std::string(8190, 'y') + "laterlater");
  }
  SUBCASE("announced as writable it takes nothing: asked again later, not for ever") {
    CHECK(rig.events.ready(fakes::CharacterPort::output, Interest::Writable));
    CHECK(rig.events.interest(fakes::CharacterPort::output) == Interest::Nothing);
    rig.terminal.port.room = 100'000;
    rig.events.advance(ConsoleCore::output_retry);
    CHECK(rig.terminal.port.sent.size() == 6 + 8190 + 5);
  }
  SUBCASE("the machine ends: a reader that is slow gets its time") {
    rig.terminal.port.room_after_waiting = 4096;
    rig.core.finish();
    CHECK(rig.terminal.port.sent.size() == 6 + 8190);
    CHECK(rig.terminal.port.waits == 3);
  }
}

TEST_CASE("virtio-console: a terminal's size and its changes") {
  Rig rig;
  CHECK((rig.core.features() & console_feature::SIZE) != 0);
  auto size = [&rig] {
    auto config = axvm::load<ConsoleConfig>(rig.core.config(), 0).value();
    return TerminalSize{config.cols, config.rows};
  };
  CHECK(size() == TerminalSize{80, 25});
  rig.core.resized(rig.transport);
  CHECK(rig.transport.configuration_changes == 0);
  rig.terminal.size = {132, 50};
  rig.core.resized(rig.transport);
  CHECK(size() == TerminalSize{132, 50});
  CHECK(rig.transport.configuration_changes == 1);
  rig.terminal.size = {100, 50};
  CHECK(rig.type("x"));  // a pseudo-terminal's changes are seen when somebody types
  CHECK(rig.transport.configuration_changes == 2);
  rig.terminal.size = {};
  rig.core.resized(rig.transport);
  CHECK(size() == TerminalSize{100, 50});

  Rig without(TerminalSize{});
  CHECK((without.core.features() & console_feature::SIZE) == 0);
  without.terminal.size = {80, 25};
  without.core.resized(without.transport);
  CHECK(without.transport.configuration_changes == 0);
}

TEST_CASE("virtio-console: the first output makes the driver look at the size") {
  Rig rig;
  rig.write(0, "a");
  CHECK(rig.transport.configuration_changes == 1);
  rig.write(1, "b");
  CHECK(rig.transport.configuration_changes == 1);
  rig.core.reset();
  rig.write(2, "c");
  CHECK(rig.transport.configuration_changes == 2);
  Rig without(TerminalSize{});
  without.write(0, "a");
  CHECK(without.transport.configuration_changes == 0);
}

TEST_CASE("virtio-console: emergency writes") {
  Rig rig;
  CHECK((rig.core.features() & console_feature::EMERG_WRITE) != 0);
  CHECK((rig.core.features() & console_feature::MULTIPORT) == 0);
  const std::uint32_t letter = '!';
  rig.core.write_config(8, axvm::bytes_of(letter));
  CHECK(rig.terminal.port.sent == "!");
  rig.core.write_config(0, axvm::bytes_of(letter));
  rig.core.write_config(9, axvm::bytes_of(letter));
  rig.core.write_config(8, {});
  CHECK(rig.terminal.port.sent == "!");
}

TEST_CASE("virtio-console: a hostile guest") {
  Rig rig;
  SUBCASE("nothing to write into") {
    CHECK(rig.type("x"));
    rig.offer(rx, 0, {{data, 16, false}});
    CHECK(rig.transport.fault(rx) == RingFault::BadRequest);
    CHECK(rig.buffers.input.count == 1);
  }
  SUBCASE("output of a gigabyte: the beginning, and others get their turn") {
    rig.transport.ring(tx).describe(0, {{0, 0x10'0000, false}});
    rig.transport.ring(tx).describe(1, {{0, 0x10'0000, false}, {0, 0x10'0000, false}});
    for (unsigned i = 0; i < 4; ++i) rig.transport.ring(tx).offer(static_cast<std::uint16_t>(i));
    rig.core.notified(rig.transport, tx);
    CHECK(rig.terminal.port.sent.size() == 2 * ConsoleCore::largest_output);
    CHECK(rig.counters.lost_output.value() == 3 * 0x10'0000 - 2 * ConsoleCore::largest_output);
    CHECK(rig.transport.agains == 1);
    CHECK(rig.transport.ring(tx).used_index() == 2);
  }
  SUBCASE("output to be written by the device") {
    rig.offer(tx, 0, {{data, 16, true}});
    CHECK(rig.terminal.port.sent.empty());
    CHECK(rig.transport.ring(tx).last_used().len == 0);
  }
}

TEST_CASE("virtio-console: on MMIO, resized, saved and restored") {
  World world;
  Terminal terminal;
  VirtioConsole::Resources resources{terminal.connection()};
  axvm::DeviceContext context = world.context();
  std::optional<VirtioConsole> device(std::in_place, VirtioConsole::Config{}, resources, context);
  Driver<VirtioConsole> driver(*device);
  CHECK(driver.in(MmioRegister::DeviceID) == 3);
  std::vector<Ring> rings = start(driver, world.ram, 2);
  CHECK(driver.in(0x100, 2) == 80);
  const std::uint32_t generation = driver.in(MmioRegister::ConfigGeneration);
  terminal.size = {90, 30};
  device->terminal_resized();
  CHECK(driver.in(0x100, 4) == (90 | 30 << 16));
  CHECK(driver.in(MmioRegister::ConfigGeneration) != generation);
  CHECK(driver.acknowledge() == 2);

  terminal.port.type("in");
  CHECK(world.events.ready(fakes::CharacterPort::input, Interest::Readable));
  terminal.port.room = 0;
  world.ram.put_text(data, "out");
  rings[tx].describe(0, {{data, 3, false}});
  rings[tx].offer(0);
  driver.kick(tx);
  CHECK(device->state.buffers.output.count == 3);

  // Goes on with another terminal.
  World other_world;
  Terminal other_terminal;
  other_terminal.size = {70, 20};
  VirtioConsole::Resources other_resources{other_terminal.connection()};
  axvm::DeviceContext other_context = other_world.context();
  other_context.memory = world.ram.memory;
  VirtioConsole other({}, other_resources, other_context);
  other.state = device->state;
  other.state.buffers.input.head = 0xffff;  // what a file may hold
  other.restored();
  Driver<VirtioConsole> other_driver(other);
  CHECK(other_terminal.port.sent == "out");
  CHECK(other_driver.in(0x100, 4) == (70 | 20 << 16));
  CHECK((other_driver.acknowledge() & 2) != 0);
  rings[rx].describe(0, {{data, 8, true}});
  rings[rx].offer(0);
  other_driver.kick(rx);
  CHECK(rings[rx].last_used().len == 2);

  // The guest's last words.
  terminal.port.room = 2;
  terminal.port.room_after_waiting = 10;
  device.reset();
  CHECK(terminal.port.sent == "out");
  resources = {};
  CHECK(terminal.closed == 1);
}

TEST_CASE("virtio-console: InterruptStatus is exact where that is asked for") {
  Terminal terminal;
  VirtioConsole::Resources resources{terminal.connection()};
  CHECK(counts_used_buffers<VirtioConsole>({}, true, resources));
  CHECK(!counts_used_buffers<VirtioConsole>({}, false, resources));
}

TEST_CASE("console ports: stdio takes the input from the serial port") {
  int in[2], out[2];
  REQUIRE((::pipe(in) == 0 && ::pipe(out) == 0));
  axvm::Console console(in[0], out[1]);
  std::array<std::byte, 8> bytes;
  const axvm::CharacterPort serial = console.port();
  CHECK(serial.input() >= 0);
  {
    auto connection = console.connect();
    REQUIRE(connection);
    CHECK(serial.input() == -1);
    REQUIRE(::write(in[1], "k", 1) == 1);
    CHECK(serial.read(bytes) == 0);
    CHECK(connection->port().input() >= 0);
    CHECK(connection->port().read(bytes) == 1);
    CHECK(connection->size() == TerminalSize{});  // a pipe has none
    CHECK(serial.write(std::as_bytes(std::span("s", 1))) == 1);
    CHECK(connection->port().write(std::as_bytes(std::span("v", 1))) == 1);
    auto second = console.connect();
    REQUIRE_FALSE(second);
    CHECK(second.error().code == axvm::ErrorCode::InvalidState);
    CHECK(second.error().hint.view().find("unix:PATH") != std::string_view::npos);
  }
  CHECK(serial.input() >= 0);
  char both[2];
  CHECK(::read(out[0], both, 2) == 2);
  CHECK(std::string(both, 2) == "sv");
  for (int descriptor : {in[0], in[1], out[0], out[1]}) ::close(descriptor);
}

TEST_CASE("console ports: a pseudo-terminal") {
  scratch::Directory directory;
  axvm::SystemHost system;
  const axvm::Path link = directory.path("tty");
  const axvm::Path where = axvm::text<1023>("pty:", link);
  auto connection = system.host<axvm::HostPart::Characters>().characters(where);
  REQUIRE(connection);
  std::array<std::byte, 64> bytes;
  CHECK(connection->size() == TerminalSize{80, 24});
  CHECK(connection->port().read(bytes) == 0);  // nobody is attached, and that is not the end
  {
    const axvm::Descriptor user(::open(link.c_str(), O_RDWR | O_NOCTTY));
    REQUIRE(user);
    CHECK(connection->port().write(std::as_bytes(std::span("to\n", 3))) == 3);
    char seen[8] = {};
    CHECK(::read(user.get(), seen, 8) == 3);
    CHECK(std::string_view(seen) == "to\n");
    REQUIRE(::write(user.get(), "from", 4) == 4);
    CHECK(connection->port().read(bytes) == 4);
    winsize size{.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(::ioctl(user.get(), TIOCSWINSZ, &size) == 0);
    CHECK(connection->size() == TerminalSize{100, 40});
  }
  // Nobody reads: it fills up, and nothing blocks. (The kernel may make a little room by itself afterwards.)
  const std::array<std::byte, 4096> page{};
  bool full = false;
  for (unsigned i = 0; i < 64 && !full; ++i) full = connection->port().write(page) == 0;
  CHECK(full);
  CHECK(connection->port().input() != connection->port().output());

  auto second = system.host<axvm::HostPart::Characters>().characters(where);
  REQUIRE_FALSE(second);
  CHECK(second.error().hint.view().find("remove it") != std::string_view::npos);
  *connection = {};
  CHECK(::access(link.c_str(), F_OK) != 0);
}

TEST_CASE("console ports: a socket") {
  scratch::Directory directory;
  axvm::SystemHost system;
  const axvm::Path path = directory.path("socket");
  const axvm::Path where = axvm::text<1023>("unix:", path);
  auto connection = system.host<axvm::HostPart::Characters>().characters(where);
  REQUIRE(connection);
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const axvm::CharacterPort& port = connection->port();
  std::array<std::byte, 64> bytes;
  auto write = [&port](std::string_view text) { return port.write(std::as_bytes(std::span(text))); };
  CHECK(write("dropped") == 7);
  {
    const axvm::Descriptor first = axvm::connect_unix(path);
    const axvm::Descriptor second = axvm::connect_unix(path);
    REQUIRE((first && second));
    REQUIRE(::write(first.get(), "one", 3) == 3);
    REQUIRE(::write(second.get(), "two!", 4) == 4);
    CHECK(port.read(bytes) == 3);
    CHECK(port.read(bytes) == 0);
    CHECK(write("for one") == 7);
    char seen[16] = {};
    CHECK(::recv(first.get(), seen, 16, MSG_DONTWAIT) == 7);
    CHECK(::recv(second.get(), seen, 16, MSG_DONTWAIT) == -1);
    ::shutdown(first.get(), SHUT_RDWR);
    CHECK(port.read(bytes) == 0);  // the end of the first
    CHECK(port.read(bytes) == 4);
    CHECK(write("for two") == 7);
    // A reader that does not read: nothing blocks.
    const std::string much(1 << 16, 'm');
    for (unsigned i = 0; i < 64 && write(much) != 0; ++i) {
    }
    CHECK(write(much) == 0);
  }
  CHECK(port.read(bytes) == 0);
  CHECK(write("dropped") == 7);

  auto again = system.host<axvm::HostPart::Characters>().characters(where);
  REQUIRE_FALSE(again);
  *connection = {};
  CHECK(::access(path.c_str(), F_OK) != 0);

  // What a crash leaves is replaced; a file is not.
  {
    sockaddr_un address;
    REQUIRE(axvm::unix_address(path, address));
    const axvm::Descriptor stale(::socket(AF_UNIX, SOCK_STREAM, 0));
    REQUIRE(::bind(stale.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  CHECK(system.host<axvm::HostPart::Characters>().characters(where));
  std::ofstream(path.c_str()) << "a file";
  CHECK_FALSE(system.host<axvm::HostPart::Characters>().characters(where));
  CHECK(::access(path.c_str(), F_OK) == 0);
}

TEST_CASE("console ports: what is wrong") {
  axvm::SystemHost system;
  for (char const* where : {"tty", "pty:", "unix:", "pty:/nowhere/link", "unix:/nowhere/socket", "stdio2"}) {
    auto refused = system.host<axvm::HostPart::Characters>().characters(where);
    CHECK_FALSE(refused);
    if (!refused) CHECK_FALSE(refused.error().hint.empty());
  }
  CHECK_FALSE(axvm::Host().characters("stdio"));
  CHECK_FALSE(VirtioConsole::present({}));
}

TEST_CASE("virtio-console: in a machine beside the serial port") {
  using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Uart8250, axvm::Repeat<2, VirtioConsole>>,
                          axvm::Handlers<>, axvm::fake::Fake>;
  scratch::Directory directory;
  const axvm::Path path = directory.path("console");
  M::Config config;
  config.of<VirtioConsole, 1>().port = axvm::text<1023>("unix:", path);
  axvm::SystemHost system;
  auto machine = M::create(config, system, axvm::fake::Fake{});
  REQUIRE(machine);
  constexpr std::uint8_t halt[] = {0xf4};
  REQUIRE(machine->load(axvm::FlatCode{halt}));
  CHECK(machine->device<VirtioConsole, 0>() == nullptr);
  REQUIRE(machine->device<VirtioConsole, 1>() != nullptr);
  CHECK(axvm::connect_unix(path));
  auto states = axvm::save_states(*machine);
  REQUIRE(states);
  CHECK(axvm::restore_states(*machine, *states));
}
