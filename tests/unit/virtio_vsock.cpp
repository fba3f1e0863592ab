#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <optional>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/virtio_vsock.hpp>

#include "scratch.hpp"
#include "virtio_rig.hpp"

using namespace guest;
using axvm::StreamEvent;
using axvm::StreamHub;
using axvm::StreamTransfer;
using axvm::VirtioVsock;
using axvm::virtio::RingFault;
using axvm::virtio::VsockConnection;
using axvm::virtio::VsockCore;
using axvm::virtio::VsockHeader;
using axvm::virtio::VsockOp;

namespace {

constexpr std::uint32_t cid = 3;
constexpr std::uint64_t sent_at = 0x4'0000, received_at = 0x8'0000;

/// Programs of the host, in memory.
class Programs {
 public:
  struct Stream {
    std::string to_program, from_program;
    std::size_t room = ~std::size_t{0};
    bool ended = false;   ///< the program sends no more
    bool broken = false;  ///< writing to it fails
    bool finished = false;
    std::vector<std::byte> buffer = std::vector<std::byte>(StreamHub::buffer_size);
  };
  static constexpr int descriptor = 55;

  std::map<std::uint32_t, Stream> streams;
  std::vector<StreamEvent> events;
  std::vector<std::string> arriving;     ///< what programs that connect say first
  std::vector<std::uint32_t> listening;  ///< ports that programs serve
  std::vector<std::uint32_t> connected;  ///< ports that were asked for
  unsigned closed = 0;
  Stream last;  ///< the one dropped last

  StreamHub hub() {
    static constexpr StreamHub::Operations operations{
        .descriptor = [](void*) { return descriptor; },
        .events =
            [](void* self, std::span<StreamEvent> into) {
              auto& all = of(self).events;
              std::size_t count = std::min(into.size(), all.size());
              std::copy_n(all.begin(), count, into.begin());
              all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
              return count;
            },
        .accept =
            [](void* self, std::uint32_t stream) {
              if (of(self).arriving.empty()) return false;
              of(self).take(stream).from_program = of(self).arriving.front();
              of(self).arriving.erase(of(self).arriving.begin());
              return true;
            },
        .connect =
            [](void* self, std::uint32_t stream, std::uint32_t port) {
              of(self).connected.push_back(port);
              if (std::find(of(self).listening.begin(), of(self).listening.end(), port) == of(self).listening.end())
                return false;
              of(self).take(stream);
              return true;
            },
        .read =
            [](void* self, std::uint32_t number, axvm::Bytes into) {
              Stream& stream = of(self).streams.at(number);
              std::size_t count = std::min(into.size(), stream.from_program.size());
              std::memcpy(into.data(), stream.from_program.data(), count);
              stream.from_program.erase(0, count);
              return StreamTransfer{count, count == 0 && stream.ended};
            },
        .write =
            [](void* self, std::uint32_t number, axvm::ConstBytes from) {
              Stream& stream = of(self).streams.at(number);
              if (stream.broken) return StreamTransfer{0, true};
              std::size_t count = std::min(from.size(), stream.room);
              stream.to_program.append(reinterpret_cast<char const*>(from.data()), count);
              stream.room -= count;
              return StreamTransfer{count, false};
            },
        .buffer = [](void* self, std::uint32_t stream) { return axvm::Bytes(of(self).streams.at(stream).buffer); },
        .finish = [](void* self, std::uint32_t stream) { of(self).streams.at(stream).finished = true; },
        .drop =
            [](void* self, std::uint32_t stream) {
              of(self).last = of(self).streams.at(stream);
              of(self).streams.erase(stream);
            },
        .close = [](void* self) { ++of(self).closed; }};
    return {this, &operations};
  }

 private:
  static Programs& of(void* self) { return *static_cast<Programs*>(self); }
  Stream& take(std::uint32_t number) {
    if (number >= StreamHub::max_streams || streams.contains(number)) throw "not a free number";
    return streams[number];
  }
};

/// A packet as the guest has it.
struct Packet {
  VsockHeader header;
  std::string bytes;
  [[nodiscard]] VsockOp op() const { return static_cast<VsockOp>(header.op); }
};

/// The core by itself and a guest that answers nothing by itself.
struct Rig {
  explicit Rig(std::uint64_t of_queues = 0) : transport(ram, 3, ~0ull, of_queues) {}
  Ram ram;
  fakes::EventLoop events;
  Programs programs;
  StreamHub hub = programs.hub();
  axvm::virtio::VsockCounters counters;
  FakeTransport transport;
  std::optional<VsockCore> made{std::in_place, hub, cid, events.events(), axvm::Callback::to<&Rig::attend>(*this),
                                counters};
  VsockCore& core = *made;
  std::uint16_t seen = 0, next_head = 0;
  std::uint32_t buf_alloc = 1u << 20, fwd_cnt = 0;

  void attend() { core.attend(transport); }
  /// The guest has room for so many packets more.
  void make_room(unsigned count, std::uint32_t size = 4096) {
    for (unsigned i = 0; i < count; ++i) {
      std::uint16_t const head = transport.ring(0).next % 16;
      transport.ring(0).describe(head, {{received_at + 0x1000u * head, size, true}});
      transport.ring(0).offer(head);
    }
    core.notified(transport, 0);
  }
  /// The next packet that the guest got, if there is one.
  std::optional<Packet> next() {
    Ring const& ring = transport.ring(0);
    if (ring.used_index() == seen) return std::nullopt;
    axvm::virtio::UsedElement const element = ring.used_element(seen++);
    std::uint64_t const at = received_at + 0x1000u * element.id;
    Packet packet;
    std::string raw = ram.text(at, VsockHeader::size);
    raw.resize(sizeof packet.header);
    std::memcpy(&packet.header, raw.data(), sizeof packet.header);
    packet.bytes = ram.text(at + VsockHeader::size, packet.header.len);
    CHECK(element.len == VsockHeader::size + packet.header.len);
    return packet;
  }
  VsockOp next_op() {
    auto packet = next();
    return packet ? packet->op() : VsockOp::INVALID;
  }
  VsockHeader header(VsockOp op, std::uint32_t guest_port, std::uint32_t host_port) const {
    VsockHeader made_header;
    made_header.src_cid = cid;
    made_header.dst_cid = 2;
    made_header.src_port = guest_port;
    made_header.dst_port = host_port;
    made_header.type = 1;
    made_header.op = static_cast<std::uint16_t>(op);
    made_header.buf_alloc = buf_alloc;
    made_header.fwd_cnt = fwd_cnt;
    return made_header;
  }
  void put(VsockHeader const& packet, std::string_view bytes = {}, bool tell_device = true) {
    std::string raw(reinterpret_cast<char const*>(&packet), VsockHeader::size);
    ram.put_text(sent_at, raw + std::string(bytes));
    transport.ring(1).describe(0, {{sent_at, static_cast<std::uint32_t>(raw.size() + bytes.size()), false}});
    transport.ring(1).offer(0);
    if (tell_device) core.notified(transport, 1);
  }
  void put(VsockOp op, std::uint32_t guest_port, std::uint32_t host_port, std::string_view bytes = {},
           std::uint32_t flags = 0) {
    VsockHeader packet = header(op, guest_port, host_port);
    packet.len = static_cast<std::uint32_t>(bytes.size());
    packet.flags = flags;
    put(packet, bytes);
  }
  bool tell(StreamEvent const& event) {
    programs.events.push_back(event);
    return events.ready(Programs::descriptor, axvm::Interest::Readable);
  }
  /// A program connects and says this.
  void arrive(std::string_view words) {
    programs.arriving.emplace_back(words);
    tell({});
  }
  /// A connection from port 1000 of the guest to port 7 of the host, whose stream is number 0.
  void connect() {
    programs.listening = {7};
    make_room(8);
    put(VsockOp::REQUEST, 1000, 7);
    REQUIRE(next_op() == VsockOp::RESPONSE);
  }
};

}  // namespace

TEST_CASE("virtio-vsock: the guest connects to a program, and both talk") {
  Rig rig;
  rig.programs.listening = {7};
  rig.make_room(8);
  rig.put(VsockOp::REQUEST, 1000, 7);
  CHECK(rig.programs.connected == std::vector<std::uint32_t>{7});
  auto response = rig.next();
  REQUIRE(response);
  CHECK(response->op() == VsockOp::RESPONSE);
  CHECK(response->header.src_cid == 2);
  CHECK(response->header.dst_cid == cid);
  CHECK(response->header.src_port == 7);
  CHECK(response->header.dst_port == 1000);
  CHECK(response->header.type == 1);
  CHECK(response->header.buf_alloc == StreamHub::buffer_size);
  // The stream had nothing when it was looked at: a credit update at most.
  while (auto packet = rig.next()) CHECK(packet->op() == VsockOp::CREDIT_UPDATE);

  rig.put(VsockOp::RW, 1000, 7, "to the program");
  CHECK(rig.programs.streams.at(0).to_program == "to the program");
  rig.programs.streams.at(0).from_program = "to the guest";
  CHECK(rig.tell({.stream = 0, .readable = true}));
  auto data = rig.next();
  REQUIRE(data);
  CHECK(data->op() == VsockOp::RW);
  CHECK(data->bytes == "to the guest");
  CHECK(data->header.fwd_cnt == 14);
  CHECK(rig.counters.bytes_to_guest.value() == 12);
  CHECK(rig.counters.bytes_to_host.value() == 14);
  CHECK(rig.counters.connections.value() == 1);

  // The guest closes: both ways, answered with RST, and the stream is gone.
  rig.put(VsockOp::SHUTDOWN, 1000, 7, {}, 3);
  CHECK(rig.next_op() == VsockOp::RST);
  CHECK(rig.programs.streams.empty());
  CHECK_FALSE(rig.programs.last.finished);
}

TEST_CASE("virtio-vsock: a program connects to the guest") {
  Rig rig;
  rig.make_room(4);
  rig.arrive("CONNECT 52\nfirst words");
  auto request = rig.next();
  REQUIRE(request);
  CHECK(request->op() == VsockOp::REQUEST);
  CHECK(request->header.dst_port == 52);
  std::uint32_t const port = request->header.src_port;
  CHECK_FALSE(rig.next());  // nothing more before the guest has answered
  SUBCASE("accepted") {
    rig.put(VsockOp::RESPONSE, 52, port);
    CHECK(rig.programs.streams.at(0).to_program == "OK " + std::to_string(port) + "\n");
    auto data = rig.next();
    REQUIRE(data);
    CHECK(data->bytes == "first words");
    CHECK(data->header.fwd_cnt == 0);  // the line was not the guest's
  }
  SUBCASE("refused") {
    rig.put(VsockOp::RST, 52, port);
    CHECK(rig.programs.streams.empty());
    CHECK(rig.programs.last.to_program.empty());
  }
  SUBCASE("answered with something else") {
    rig.put(VsockOp::RW, 52, port, "x");
    CHECK(rig.next_op() == VsockOp::RST);
    CHECK(rig.programs.streams.empty());
  }
  SUBCASE("the program does not wait for the answer") {
    rig.tell({.stream = 0, .readable = true, .ended = true, .hung_up = true});
    CHECK(rig.next_op() == VsockOp::RST);
    CHECK(rig.programs.streams.empty());
  }
  SUBCASE("a second one has a port of its own") {
    rig.arrive("CONNECT 52\n");
    auto second = rig.next();
    REQUIRE(second);
    CHECK(second->header.src_port != port);
  }
}

TEST_CASE("virtio-vsock: a driver that is not ready is told nothing yet") {
  Rig rig;
  rig.transport.ring(0).describe(0, {{received_at, 4096, true}});
  rig.transport.ring(0).offer(0);
  rig.arrive("CONNECT 52\n");
  CHECK_FALSE(rig.next());
  rig.core.notified(rig.transport, 0);
  CHECK(rig.next_op() == VsockOp::REQUEST);
}

TEST_CASE("virtio-vsock: what programs say first, in pieces and wrongly") {
  Rig rig;
  rig.make_room(4);
  SUBCASE("in pieces") {
    rig.arrive("CONN");
    CHECK(rig.programs.streams.size() == 1);
    rig.programs.streams.at(0).from_program = "ECT 9\n";
    rig.tell({.stream = 0, .readable = true});
    CHECK(rig.next_op() == VsockOp::REQUEST);
  }
  SUBCASE("wrongly") {
    for (char const* words : {"CONNECT\n", "CONNECT x\n", "CONNECT -1\n", "CONNECT 4294967295\n", "connect 1\n", "\n",
                              "CONNECT 1 \n", "CONNECT 00000000000000000001", "GET / HTTP/1.1\r\n\r\n"}) {
      rig.arrive(words);
      CHECK(rig.programs.streams.empty());
    }
    CHECK_FALSE(rig.next());
  }
  SUBCASE("and then gone") {
    rig.arrive("CONN");
    rig.programs.streams.at(0).ended = true;
    rig.tell({.stream = 0, .readable = true, .ended = true});
    CHECK(rig.programs.streams.empty());
  }
  SUBCASE("gone before the guest was asked") {
    Rig late;
    late.arrive("CONNECT 9\n");
    late.tell({.stream = 0, .readable = true, .ended = true, .hung_up = true});
    CHECK(late.programs.streams.empty());
    late.make_room(1);
    CHECK_FALSE(late.next());
  }
}

TEST_CASE("virtio-vsock: a program that does not read holds the guest back, and loses nothing") {
  Rig rig;
  rig.connect();
  Programs::Stream& stream = rig.programs.streams.at(0);
  stream.room = 10;
  std::string all;
  for (char c = 'a'; c < 'a' + 16; ++c) {
    std::string const part(4096, c);
    all += part;
    rig.put(VsockOp::RW, 1000, 7, part);
  }
  CHECK(stream.to_program.size() == 10);
  while (auto packet = rig.next()) CHECK(packet->op() == VsockOp::CREDIT_UPDATE);
  SUBCASE("it reads again") {
    stream.room = 20'000;
    rig.make_room(4);
    CHECK(rig.tell({.stream = 0, .writable = true}));
    CHECK(stream.to_program == all.substr(0, 20'010));
    auto update = rig.next();
    REQUIRE(update);
    CHECK(update->op() == VsockOp::CREDIT_UPDATE);
    CHECK(update->header.fwd_cnt == 20'010);
    // Around the end of the ring.
    rig.put(VsockOp::RW, 1000, 7, std::string(20'000, 'z'));
    stream.room = 1'000'000;
    CHECK(rig.tell({.stream = 0, .writable = true}));
    CHECK(stream.to_program == all + std::string(20'000, 'z'));
  }
  SUBCASE("the guest sends more than it may") {
    rig.put(VsockOp::RW, 1000, 7, std::string(11, '!'));
    CHECK(rig.next_op() == VsockOp::RST);
    CHECK(rig.programs.streams.empty());
  }
  SUBCASE("the guest closes: the program gets what was sent") {
    rig.put(VsockOp::SHUTDOWN, 1000, 7, {}, 3);
    CHECK(rig.programs.streams.size() == 1);
    stream.room = 1'000'000;
    CHECK(rig.tell({.stream = 0, .writable = true}));
    CHECK(rig.next_op() == VsockOp::RST);
    CHECK(rig.programs.last.to_program == all);
  }
  SUBCASE("the guest sends no more, but listens") {
    rig.put(VsockOp::SHUTDOWN, 1000, 7, {}, 2);
    CHECK_FALSE(stream.finished);
    stream.room = 1'000'000;
    CHECK(rig.tell({.stream = 0, .writable = true}));
    CHECK(stream.finished);
    stream.from_program = "answer";
    rig.make_room(4);
    CHECK(rig.tell({.stream = 0, .readable = true}));
    std::string got;
    while (auto packet = rig.next()) got += packet->bytes;
    CHECK(got == "answer");
    rig.put(VsockOp::RW, 1000, 7, "but it said it would not");
    CHECK(rig.next_op() == VsockOp::RST);
  }
  SUBCASE("it breaks") {
    stream.broken = true;
    CHECK(rig.tell({.stream = 0, .writable = true}));
    CHECK(rig.next_op() == VsockOp::RST);
    CHECK(rig.programs.streams.empty());
  }
}

TEST_CASE("virtio-vsock: a guest that does not read holds the program back") {
  Rig rig;
  rig.buf_alloc = 100;
  rig.connect();
  while (rig.next()) {
  }
  Programs::Stream& stream = rig.programs.streams.at(0);
  stream.from_program = std::string(150, 'p');
  CHECK(rig.tell({.stream = 0, .readable = true}));
  auto data = rig.next();
  REQUIRE(data);
  CHECK(data->bytes.size() == 100);
  CHECK(stream.from_program.size() == 50);
  rig.fwd_cnt = 60;
  rig.put(VsockOp::CREDIT_UPDATE, 1000, 7);
  data = rig.next();
  REQUIRE(data);
  CHECK(data->bytes.size() == 50);
  CHECK(rig.transport.fault(0) == RingFault::None);

  // Numbers that make no sense give nothing.
  rig.fwd_cnt = 5'000'000;
  stream.from_program = "more";
  rig.put(VsockOp::CREDIT_UPDATE, 1000, 7);
  rig.tell({.stream = 0, .readable = true});
  CHECK(stream.from_program == "more");
}

TEST_CASE("virtio-vsock: a program ends its side, then all") {
  Rig rig;
  rig.connect();
  while (rig.next()) {
  }
  Programs::Stream& stream = rig.programs.streams.at(0);
  stream.from_program = "last";
  stream.ended = true;
  CHECK(rig.tell({.stream = 0, .readable = true, .ended = true}));
  auto data = rig.next();
  REQUIRE(data);
  CHECK(data->bytes == "last");
  auto shutdown = rig.next();
  REQUIRE(shutdown);
  CHECK(shutdown->op() == VsockOp::SHUTDOWN);
  CHECK(shutdown->header.flags == VsockHeader::SHUTDOWN_SEND);
  CHECK_FALSE(rig.next());
  rig.put(VsockOp::RW, 1000, 7, "still heard");
  CHECK(stream.to_program == "still heard");
  CHECK(rig.tell({.stream = 0, .readable = true, .ended = true, .hung_up = true}));
  shutdown = rig.next();
  REQUIRE(shutdown);
  CHECK(shutdown->op() == VsockOp::SHUTDOWN);
  CHECK(shutdown->header.flags == 3);
  rig.put(VsockOp::RST, 1000, 7);
  CHECK(rig.programs.streams.empty());
}

TEST_CASE("virtio-vsock: everything wrong is answered with RST, or with nothing") {
  Rig rig;
  rig.connect();
  while (rig.next()) {
  }
  rig.make_room(4);
  auto refused = [&rig](VsockHeader const& packet) {
    rig.put(packet);
    auto answer = rig.next();
    if (!answer || answer->op() != VsockOp::RST) return false;
    return answer->header.src_port == packet.dst_port && answer->header.dst_port == packet.src_port &&
           answer->header.src_cid == packet.dst_cid && answer->header.type == packet.type;
  };
  VsockHeader packet = rig.header(VsockOp::RW, 1, 2);
  SUBCASE("no such connection") { CHECK(refused(packet)); }
  SUBCASE("nobody serves the port") { CHECK(refused(rig.header(VsockOp::REQUEST, 1, 8))); }
  SUBCASE("another guest") {
    packet = rig.header(VsockOp::REQUEST, 1, 7);
    packet.dst_cid = 4;
    CHECK(refused(packet));
  }
  SUBCASE("not a stream") {
    packet = rig.header(VsockOp::REQUEST, 1, 7);
    packet.type = 2;
    CHECK(refused(packet));
  }
  SUBCASE("longer than the chain") {
    packet = rig.header(VsockOp::RW, 1000, 7);
    packet.len = 1;
    CHECK(refused(packet));
    CHECK(rig.programs.streams.size() == 1);
  }
  SUBCASE("an RST for nothing is answered with nothing") {
    rig.put(VsockOp::RST, 1, 2);
    packet.dst_cid = 9;
    packet.op = static_cast<std::uint16_t>(VsockOp::RST);
    rig.put(packet);
    CHECK_FALSE(rig.next());
  }
  SUBCASE("somebody else's name") {
    packet.src_cid = 5;
    rig.put(packet);
    CHECK_FALSE(rig.next());
  }
  SUBCASE("asking twice, unknown and unfit operations end the connection") {
    VsockOp op{};
    SUBCASE("twice") { op = VsockOp::REQUEST; }
    SUBCASE("response") { op = VsockOp::RESPONSE; }
    SUBCASE("invalid") { op = VsockOp::INVALID; }
    SUBCASE("unknown") { op = static_cast<VsockOp>(99); }
    CHECK(refused(rig.header(op, 1000, 7)));
    CHECK(rig.programs.streams.empty());
  }
  SUBCASE("too many connections") {
    rig.make_room(4);
    for (std::uint32_t i = 0; i < StreamHub::max_streams - 1; ++i) {
      rig.put(VsockOp::REQUEST, 2000 + i, 7);
      rig.make_room(2);
      while (rig.next()) {
      }
    }
    CHECK(rig.programs.streams.size() == StreamHub::max_streams);
    CHECK(refused(rig.header(VsockOp::REQUEST, 5000, 7)));
    // A program has to wait until one has gone.
    rig.arrive("CONNECT 1\n");
    CHECK(rig.programs.arriving.size() == 1);
    rig.put(VsockOp::RST, 1000, 7);
    CHECK(rig.programs.arriving.empty());
  }
  SUBCASE("a packet shorter than a header") {
    rig.transport.ring(1).describe(0, {{sent_at, VsockHeader::size - 1, false}});
    rig.transport.ring(1).offer(0);
    rig.core.notified(rig.transport, 1);
    CHECK(rig.transport.fault(1) == RingFault::BadRequest);
  }
  SUBCASE("a buffer too small for a header") {
    Rig small;
    small.make_room(1, VsockHeader::size - 1);
    small.put(VsockOp::RW, 1, 2);
    CHECK(small.transport.fault(0) == RingFault::BadRequest);
  }
  SUBCASE("a buffer with room for a header only is used for one") {
    Rig small;
    small.programs.listening = {7};
    small.make_room(3, VsockHeader::size);
    small.put(VsockOp::REQUEST, 1000, 7);
    small.programs.streams.at(0).from_program = "data";
    small.tell({.stream = 0, .readable = true});
    CHECK(small.programs.streams.at(0).from_program == "data");
    CHECK(small.transport.fault(0) == RingFault::None);
  }
}

TEST_CASE("virtio-vsock: without room for answers the guest's packets wait") {
  Rig rig;
  for (unsigned i = 0; i < 16; ++i) rig.put(VsockOp::RW, i, 1);
  for (unsigned round = 0; round < 3; ++round)
    for (unsigned i = 0; i < 16; ++i) rig.put(VsockOp::RW, i, 1);
  CHECK(rig.transport.ring(1).used_index() == 64);
  rig.put(VsockOp::RW, 77, 1);
  CHECK(rig.transport.ring(1).used_index() == 64);
  rig.make_room(2);
  CHECK(rig.transport.agains == 1);
  rig.core.notified(rig.transport, 1);  // what again() brings
  CHECK(rig.transport.ring(1).used_index() == 65);
  CHECK(rig.counters.resets.value() == 2);
}

TEST_CASE("virtio-vsock: what the guest adds while there is no room for answers is notified of") {
  Rig rig(feature::EVENT_IDX);
  for (unsigned i = 0; i < 64; ++i) rig.put(VsockOp::RW, i, 1);
  REQUIRE(rig.transport.ring(1).used_index() == 64);
  const std::uint16_t before = rig.transport.ring(1).next;
  rig.put(rig.header(VsockOp::RW, 77, 1), {}, false);
  CHECK(rig.transport.ring(1).wants_kick(before));
  // The device may find room before it comes.
  rig.make_room(2);
  REQUIRE(rig.transport.agains == 1);
  rig.core.notified(rig.transport, 1);
  CHECK(rig.transport.ring(1).used_index() == 65);
}

TEST_CASE("virtio-vsock: a reset and a restored state end all connections, and the guest hears of the latter") {
  Rig rig;
  rig.connect();
  SUBCASE("reset") {
    rig.core.reset();
    CHECK(rig.programs.streams.empty());
  }
  SUBCASE("restored") {
    rig.core.restored();
    CHECK(rig.programs.streams.empty());
    rig.ram.put<std::uint32_t>(sent_at, 77);
    rig.transport.ring(2).describe(0, {{sent_at, 4, true}});
    rig.transport.ring(2).offer(0);
    rig.core.notified(rig.transport, 2);
    CHECK(rig.ram.get<std::uint32_t>(sent_at) == 0);
    CHECK(rig.transport.ring(2).last_used().len == 4);
    rig.transport.ring(2).offer(0);
    rig.core.notified(rig.transport, 2);
    CHECK(rig.transport.ring(2).used_index() == 1);  // once
  }
  SUBCASE("an event buffer that is none") {
    rig.core.restored();
    rig.transport.ring(2).describe(0, {{sent_at, 3, true}});
    rig.transport.ring(2).offer(0);
    rig.core.notified(rig.transport, 2);
    CHECK(rig.transport.fault(2) == RingFault::BadRequest);
  }
}

TEST_CASE("virtio-vsock: InterruptStatus is exact where that is asked for") {
  Programs programs;
  VirtioVsock::Resources resources{programs.hub()};
  CHECK(counts_used_buffers<VirtioVsock>({}, true, resources));
  CHECK(!counts_used_buffers<VirtioVsock>({}, false, resources));
}

TEST_CASE("virtio-vsock: on MMIO") {
  World world;
  Programs programs;
  VirtioVsock::Resources resources{programs.hub()};
  axvm::DeviceContext context = world.context();
  std::optional<VirtioVsock> device(std::in_place, VirtioVsock::Config{.path = "x", .cid = 77}, resources, context);
  Driver<VirtioVsock> driver(*device);
  CHECK(driver.in(MmioRegister::DeviceID) == 19);
  CHECK(driver.in(0x100, 8) == 77);
  std::vector<Ring> rings = start(driver, world.ram, 3);
  programs.arriving = {"CONNECT 5\n"};
  programs.events.push_back({});
  rings[0].describe(0, {{received_at, 4096, true}});
  rings[0].offer(0);
  driver.kick(0);
  CHECK(world.events.ready(Programs::descriptor, axvm::Interest::Readable));
  CHECK(rings[0].used_index() == 1);
  CHECK(programs.streams.size() == 1);
  device->restored();
  CHECK(programs.streams.empty());
  device.reset();
  CHECK(programs.closed == 0);
  resources = {};
  CHECK(programs.closed == 1);
}

TEST_CASE("vsock sockets: programs connect and are connected to") {
  scratch::Directory directory;
  const axvm::Path path = directory.path("vsock");
  axvm::SystemHost system;
  auto opened = system.host<axvm::HostPart::Streams>().streams(path);
  REQUIRE(opened);
  StreamHub const& hub = *opened;
  std::array<StreamEvent, 4> events;
  std::array<std::byte, 64> bytes;
  auto write = [](axvm::Descriptor const& to, std::string_view text) {
    return ::write(to.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  };
  (void)hub.events(events);
  CHECK_FALSE(hub.accept(0));
  axvm::Descriptor program = axvm::connect_unix(path);
  REQUIRE(program);
  REQUIRE(hub.events(events) == 1);
  CHECK(events[0].stream == StreamEvent::arrival);
  REQUIRE(hub.accept(9));
  REQUIRE(hub.events(events) == 1);
  CHECK(events[0].stream == 9);
  CHECK(events[0].writable);
  CHECK_FALSE(events[0].readable);
  CHECK(hub.read(9, bytes).count == 0);
  CHECK_FALSE(hub.read(9, bytes).over);
  REQUIRE(write(program, "hello"));
  REQUIRE(hub.events(events) == 1);
  CHECK(events[0].readable);
  CHECK_FALSE(events[0].ended);
  CHECK(hub.events(events) == 0);
  CHECK(hub.read(9, bytes).count == 5);
  CHECK(hub.write(9, std::as_bytes(std::span("reply", 5))).count == 5);
  CHECK(::read(program.get(), bytes.data(), 64) == 5);
  CHECK(hub.buffer(9).size() == StreamHub::buffer_size);

  // Half closed, each way, and then gone.
  hub.finish(9);
  CHECK(::read(program.get(), bytes.data(), 64) == 0);
  REQUIRE(write(program, "end"));
  program = axvm::Descriptor();
  REQUIRE(hub.events(events) == 1);
  CHECK(events[0].ended);
  CHECK(events[0].hung_up);
  CHECK(hub.read(9, bytes).count == 3);
  CHECK(hub.read(9, bytes).over);
  CHECK(hub.write(9, std::as_bytes(std::span("x", 1))).over);
  hub.drop(9);

  // The other way.
  CHECK_FALSE(hub.connect(1, 1234));
  auto served = axvm::UnixListener::open(directory.name("vsock_1234"));
  REQUIRE(served);
  REQUIRE(hub.connect(1, 1234));
  CHECK(served->accept());

  // A program that does not read.
  const axvm::Descriptor slow = axvm::connect_unix(path);
  REQUIRE(hub.accept(2));
  const std::vector<std::byte> much(1 << 16);
  for (unsigned i = 0; i < 64 && hub.write(2, much).count != 0; ++i) {
  }
  CHECK(hub.write(2, much).count == 0);
  CHECK_FALSE(hub.write(2, much).over);

  CHECK_FALSE(system.host<axvm::HostPart::Streams>().streams(path));
  CHECK_FALSE(axvm::Host().streams(path));
  *opened = {};
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("virtio-vsock: in a machine, absent without a path") {
  using M =
      axvm::Machine<axvm::Portable, axvm::Devices<axvm::Repeat<2, VirtioVsock>>, axvm::Handlers<>, axvm::fake::Fake>;
  scratch::Directory directory;
  const axvm::Path path = directory.path("vsock");
  M::Config config;
  config.of<VirtioVsock, 1>().path = path;
  axvm::SystemHost system;
  auto machine = M::create(config, system, axvm::fake::Fake{});
  REQUIRE(machine);
  constexpr std::uint8_t halt[] = {0xf4};
  REQUIRE(machine->load(axvm::FlatCode{halt}));
  CHECK(machine->device<VirtioVsock, 0>() == nullptr);
  CHECK(machine->device<VirtioVsock, 1>() != nullptr);
  auto states = axvm::save_states(*machine);
  REQUIRE(states);
  CHECK(axvm::restore_states(*machine, *states));
}
