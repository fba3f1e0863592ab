
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <functional>
#include <optional>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/virtio_net.hpp>

#include "scratch.hpp"
#include "virtio_rig.hpp"

using namespace guest;
using axvm::FrameOffloads;
using axvm::Interest;
using axvm::VirtioNet;
using axvm::virtio::NetCore;
using axvm::virtio::RingFault;
namespace net_feature = axvm::virtio::net_feature;

namespace {

constexpr std::uint64_t buffers = 0x4'0000, sent_at = 0x3'0000;
constexpr std::size_t rx = NetCore::receiveq, tx = NetCore::transmitq;
constexpr std::uint64_t patience = 100'000;
constexpr std::uint64_t plain = 0, merging = net_feature::MRG_RXBUF;
constexpr std::uint64_t uncut = net_feature::GUEST_CSUM | net_feature::GUEST_TSO4 | net_feature::MRG_RXBUF;

/// An interface in memory.
struct Wire {
  static constexpr int descriptor = 66;
  std::deque<std::string> arriving;
  std::vector<std::string> sent;
  std::vector<FrameOffloads> offloads;
  std::function<void()> while_reading;  ///< what happens while a frame is read
  std::function<void()> while_writing;  ///< what happens before a frame is sent
  bool refuses = false;
  unsigned closed = 0;

  axvm::FramePort port() {
    static constexpr axvm::FramePort::Operations operations{
        .descriptor = [](void*) { return descriptor; },
        .read =
            [](void* self, std::span<const axvm::Segment> into) {
              auto& waiting = static_cast<Wire*>(self)->arriving;
              if (waiting.empty()) return std::size_t{0};
              if (auto& happens = static_cast<Wire*>(self)->while_reading) happens();
              std::string const frame = waiting.front();
              waiting.pop_front();
              std::size_t done = 0;
              for (axvm::Segment const& segment : into) {
                std::size_t const count = std::min(segment.size, frame.size() - done);
                std::memcpy(segment.data, frame.data() + done, count);
                done += count;
              }
              return done;
            },
        .write =
            [](void* self, std::span<const axvm::Segment> frame) {
              if (auto& happens = static_cast<Wire*>(self)->while_writing) happens();
              std::string all;
              for (axvm::Segment const& segment : frame)
                all.append(reinterpret_cast<char const*>(segment.data), segment.size);
              if (!static_cast<Wire*>(self)->refuses) static_cast<Wire*>(self)->sent.push_back(all);
              return !static_cast<Wire*>(self)->refuses;
            },
        .set_offloads = [](void* self, FrameOffloads asked) { static_cast<Wire*>(self)->offloads.push_back(asked); },
        .close = [](void* self) { ++static_cast<Wire*>(self)->closed; }};
    return {this, &operations};
  }
};

/// A frame with its header: zeros, then letters.
std::string frame(std::size_t payload, char letter = 'f') {
  return std::string(12, '\0') + std::string(payload, letter);
}

/// The core by itself.
struct Rig {
  explicit Rig(std::uint64_t features = plain, std::uint64_t of_queues = 0, std::uint16_t size = 16)
      : transport(ram, 2, features, of_queues, size) {}
  Ram ram;
  fakes::EventLoop events;
  Wire wire;
  axvm::FramePort port = wire.port();
  axvm::virtio::NetCounters counters;
  std::uint16_t held = 0;
  FakeTransport transport;
  std::optional<NetCore> made{
      std::in_place,
      port,
      NetCore::Setup{.mac = {2, 0, 0, 0, 0, 1}, .patience = patience},
      held,
      events.events(),
      NetCore::Calls{axvm::Callback::to<&Rig::attend>(*this), axvm::Callback::to<&Rig::tell>(*this)},
      counters};
  NetCore& core = *made;

  void attend() { core.attend(transport); }
  void tell() { core.tell(transport); }
  /// Makes buffers of this size available, each 4 KiB after the one before.
  void give(unsigned count, std::uint32_t size, bool tell = true) {
    Ring& ring = transport.ring(rx);
    for (unsigned i = 0; i < count; ++i) {
      std::uint16_t const head = ring.next % 16;
      ring.describe(head, {{at(head), size, true}});
      ring.offer(head);
    }
    if (tell) core.notified(transport, rx);
  }
  static std::uint64_t at(unsigned head) { return buffers + 0x1'0000u * head; }
  bool arrive(std::string const& one) {
    wire.arriving.push_back(one);
    return events.ready(Wire::descriptor, Interest::Readable);
  }
  [[nodiscard]] unsigned used() { return transport.ring(rx).used_index(); }
  void send(std::vector<Buffer> const& chain) {
    transport.ring(tx).describe(0, chain);
    transport.ring(tx).offer(0);
    core.notified(transport, tx);
  }
};

}  // namespace

TEST_CASE("virtio-net: a frame of the guest goes out as it is") {
  Rig rig;
  rig.ram.put_text(sent_at, "0123456789ab" + std::string(60, 'x'));
  rig.send({{sent_at, 5, false}, {sent_at + 5, 40, false}, {sent_at + 45, 27, false}});
  REQUIRE(rig.wire.sent.size() == 1);
  CHECK(rig.wire.sent[0] == "0123456789ab" + std::string(60, 'x'));
  CHECK(rig.transport.ring(tx).last_used().len == 0);
  CHECK(rig.counters.frames_to_host.value() == 1);
  CHECK(rig.counters.bytes_to_host.value() == 72);
  rig.wire.refuses = true;
  rig.send({{sent_at, 72, false}});
  CHECK(rig.transport.ring(tx).used_index() == 2);
  CHECK(rig.counters.dropped.value() == 1);
}

TEST_CASE("virtio-net: what was sent is shown at once, and the interrupt for it waits for more") {
  Rig rig(plain, feature::EVENT_IDX);
  Ring& ring = rig.transport.ring(tx);
  unsigned& interrupts = rig.transport.interrupts[tx];
  auto send = [&] { rig.send({{sent_at, 72, false}}); };
  auto wants_all_after = [&](std::uint16_t seen) { ring.set_used_event(seen); };
  send();
  CHECK(interrupts == 1);
  CHECK(rig.events.deadline(NetCore::tell_timer) == 0);
  const std::uint64_t told = rig.events.now;
  rig.events.advance(2000);
  wants_all_after(1);
  send();
  CHECK(ring.used_index() == 2);
  CHECK(interrupts == 1);
  // A quarter of the queue are four. One frame in two microseconds: eight of them, if they go on like that.
  CHECK(rig.events.deadline(NetCore::tell_timer) == told + 8'000);

  SUBCASE("until there are four") {
    for (unsigned i = 0; i < 2; ++i) send();
    CHECK(interrupts == 1);
    CHECK(ring.used_index() == 4);
    send();
    CHECK(interrupts == 2);
    CHECK(rig.events.arm_calls == 1);
    // The timer comes all the same, and finds nothing.
    rig.events.advance(patience);
    CHECK(interrupts == 2);
  }
  SUBCASE("and a timer that comes after the interrupt says nothing of the driver") {
    for (unsigned i = 0; i < 3; ++i) send();
    CHECK(interrupts == 2);
    wants_all_after(100);
    send();
    rig.events.advance(10'000);
    wants_all_after(6);
    send();
    CHECK(interrupts == 2);
    CHECK(rig.events.deadline(NetCore::tell_timer) != 0);
  }
  SUBCASE("until there would be four") {
    send();
    rig.events.advance(5'999);
    CHECK(interrupts == 1);
    rig.events.advance(1);
    CHECK(interrupts == 2);
    // A slow one is not kept for longer than there is patience.
    rig.events.advance(patience / 2);
    wants_all_after(3);
    send();
    CHECK(rig.events.deadline(NetCore::tell_timer) == told + 8'000 + patience);
    rig.events.advance(patience / 2 - 1);
    CHECK(interrupts == 2);
    rig.events.advance(1);
    CHECK(interrupts == 3);
    rig.events.advance(patience);
    wants_all_after(4);
    send();
    CHECK(interrupts == 4);
  }
  SUBCASE("and where the driver has seen it meanwhile there is none") {
    wants_all_after(3);
    rig.events.advance(patience);
    CHECK(interrupts == 1);
    send();
    CHECK(interrupts == 1);
    send();
    CHECK(interrupts == 2);
  }
  SUBCASE("nor where the device was reset") {
    rig.core.reset();
    rig.transport.queue(tx).stop();
    CHECK(rig.events.deadline(NetCore::tell_timer) == 0);
    rig.events.advance(10 * patience);
    CHECK(interrupts == 1);
  }
  SUBCASE("nor where the queue was taken away") {
    rig.transport.queue(tx).stop();
    rig.events.advance(patience);
    CHECK(interrupts == 1);
  }
}

TEST_CASE("virtio-net: a long round shows what was sent, and interrupts for it, before its end") {
  Rig rig(plain, feature::EVENT_IDX);
  Ring& ring = rig.transport.ring(tx);
  std::vector<unsigned> shown, interrupts;
  rig.wire.while_writing = [&] {
    shown.push_back(ring.used_index());
    interrupts.push_back(rig.transport.interrupts[tx]);
  };
  for (std::uint16_t head = 0; head < 12; ++head) {
    ring.describe(head, {{sent_at, 72, false}});
    ring.offer(head);
  }
  rig.core.notified(rig.transport, tx);
  CHECK(shown == std::vector<unsigned>{0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8});
  CHECK(interrupts == std::vector<unsigned>{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1});
  CHECK(ring.used_index() == 12);
  CHECK(rig.transport.interrupts[tx] == 1);
}

TEST_CASE("virtio-net: interrupts do not wait for a driver that sends several frames and waits for one") {
  // A quarter of the queue are 16: less than are sent at a time, more than are shown at a time.
  Rig rig(plain, feature::EVENT_IDX, 64);
  Ring& ring = rig.transport.ring(tx);
  unsigned waits = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    rig.events.advance(1000);
    const unsigned before = rig.transport.interrupts[tx];
    ring.set_used_event(ring.used_index());
    for (std::uint16_t head = 0; head < 12; ++head) {
      ring.describe(head, {{sent_at, 72, false}});
      ring.offer(head);
    }
    rig.core.notified(rig.transport, tx);
    if (rig.transport.interrupts[tx] == before) {
      ++waits;
      rig.events.advance(patience);
    }
    REQUIRE(rig.transport.interrupts[tx] == before + 1);
  }
  CHECK(waits >= 10);
  CHECK(waits <= 25);
}

TEST_CASE("virtio-net: interrupts do not wait for a driver that waits for them") {
  Rig rig(plain, feature::EVENT_IDX);
  Ring& ring = rig.transport.ring(tx);
  unsigned& interrupts = rig.transport.interrupts[tx];
  // One frame at a time, the next one a microsecond after the interrupt for the one before.
  unsigned waits = 0;
  auto exchange = [&] {
    rig.events.advance(1000);
    const unsigned before = interrupts;
    ring.set_used_event(ring.used_index());
    rig.send({{sent_at, 72, false}});
    if (interrupts == before) {
      ++waits;
      rig.events.advance(patience);
    }
    CHECK(interrupts == before + 1);
  };
  exchange();
  for (unsigned i = 0; i < 1000; ++i) exchange();
  CHECK(waits >= 10);
  CHECK(waits <= 25);
  // It goes on sending while it waits: so interrupts wait again.
  const unsigned before = interrupts;
  for (unsigned i = 0; i < 1000; ++i) {
    rig.events.advance(1000);
    ring.set_used_event(ring.used_index());
    rig.send({{sent_at, 72, false}});
  }
  CHECK(interrupts - before < 400);
}

TEST_CASE("virtio-net: of a frame in many buffers an interrupt waits for few, and a fault waits for nothing") {
  Rig rig(plain, feature::EVENT_IDX);
  Ring& ring = rig.transport.ring(tx);
  rig.send({{sent_at, 72, false}});
  rig.events.advance(1000);
  ring.set_used_event(1);
  std::vector<Buffer> frame_in_parts;
  for (unsigned i = 0; i < 4; ++i) frame_in_parts.push_back({sent_at + 64 * i, 64, false});
  rig.send(frame_in_parts);
  CHECK(rig.transport.interrupts[tx] == 2);

  rig.events.advance(1000);
  ring.set_used_event(2);
  ring.describe(0, {{sent_at, 72, false}});
  ring.offer(0);
  ring.describe(1, {{sent_at, 12, false}});
  ring.offer(1);
  rig.core.notified(rig.transport, tx);
  CHECK(rig.transport.fault(tx) == RingFault::BadRequest);
  CHECK(rig.transport.interrupts[tx] == 3);
}

TEST_CASE("virtio-net: without an event loop each frame is interrupted for at once") {
  Rig rig(plain, feature::EVENT_IDX);
  NetCore core{rig.port, {.mac = {}, .patience = patience}, rig.held, {}, {}, rig.counters};
  for (std::uint16_t i = 0; i < 3; ++i) {
    rig.transport.ring(tx).set_used_event(i);
    rig.transport.ring(tx).describe(0, {{sent_at, 72, false}});
    rig.transport.ring(tx).offer(0);
    core.notified(rig.transport, tx);
  }
  CHECK(rig.transport.interrupts[tx] == 3);
}

TEST_CASE("virtio-net: frames of the host, one buffer each") {
  Rig rig;
  CHECK(rig.events.interest(Wire::descriptor) == Interest::Nothing);
  rig.give(2, 1526);
  CHECK(rig.events.interest(Wire::descriptor) == Interest::Readable);
  rig.wire.arriving.push_back(frame(100, 'a'));
  CHECK(rig.arrive(frame(1514, 'b')));
  CHECK(rig.used() == 2);
  CHECK(rig.transport.ring(rx).used_element(0).len == 112);
  CHECK(rig.transport.ring(rx).used_element(1).len == 1526);
  CHECK(rig.ram.text(Rig::at(0) + 12, 100) == std::string(100, 'a'));
  CHECK(rig.ram.get<std::uint16_t>(Rig::at(0) + 10) == 1);  // num_buffers
  CHECK(rig.ram.text(Rig::at(1) + 12, 1514) == std::string(1514, 'b'));
  // No room: frames wait at the host.
  CHECK(rig.events.interest(Wire::descriptor) == Interest::Nothing);
  rig.wire.arriving.push_back(frame(60, 'c'));
  CHECK(rig.used() == 2);
  rig.give(1, 1526);
  CHECK(rig.used() == 3);
  CHECK(rig.counters.frames_to_guest.value() == 3);
  CHECK(rig.counters.dropped.value() == 0);
}

TEST_CASE("virtio-net: large frames over several buffers") {
  Rig rig(uncut);
  rig.give(16, 0x8000);
  REQUIRE(rig.arrive(frame(0x8000 * 2, 'L')));
  CHECK(rig.used() == 3);
  CHECK(rig.transport.ring(rx).used_element(0).len == 0x8000);
  CHECK(rig.transport.ring(rx).used_element(1).len == 0x8000);
  CHECK(rig.transport.ring(rx).used_element(2).len == 12);
  CHECK(rig.ram.get<std::uint16_t>(Rig::at(0) + 10) == 3);
  CHECK(rig.ram.text(Rig::at(1), 0x8000) == std::string(0x8000, 'L'));
  CHECK(rig.ram.text(Rig::at(2), 12) == std::string(12, 'L'));
  // Small ones take one each; what was taken ahead is used in order.
  CHECK(rig.held == 3);
  REQUIRE(rig.arrive(frame(60, 's')));
  CHECK(rig.used() == 4);
  CHECK(rig.transport.ring(rx).used_element(3).id == 3);
  CHECK(rig.ram.text(Rig::at(3) + 12, 60) == std::string(60, 's'));
}

TEST_CASE("virtio-net: with too little room for the largest frame, frames wait; they are not cut off") {
  Rig rig(uncut);
  rig.give(16, 0x2000);
  while (rig.used() < 8) REQUIRE(rig.arrive(frame(0x1000)));
  CHECK(rig.events.interest(Wire::descriptor) == Interest::Nothing);
  rig.wire.arriving.push_back(frame(0xf000, 'w'));
  rig.core.notified(rig.transport, rx);
  CHECK(rig.used() == 8);  // eight buffers of 8 KiB are not quite enough
  rig.give(1, 0x2000);
  CHECK(rig.used() == 16);
  CHECK(rig.counters.dropped.value() == 0);
}

TEST_CASE("virtio-net: a driver that never gives room for the largest frame gets what fits") {
  Rig rig(uncut);
  rig.give(4, 0x800);
  REQUIRE(rig.arrive(frame(0x1800, 'x')));
  CHECK(rig.used() == 4);
  rig.give(4, 0x800);
  REQUIRE(rig.arrive(frame(0x4000, 'y')));
  CHECK(rig.used() == 4);
  CHECK(rig.counters.dropped.value() == 1);
  REQUIRE(rig.arrive(frame(60, 'z')));
  CHECK(rig.used() == 5);
}

TEST_CASE("virtio-net: buffers are asked for only where there are none left") {
  Rig rig(merging, feature::EVENT_IDX);
  Ring& ring = rig.transport.ring(rx);
  auto gives = [&](unsigned count) {
    const std::uint16_t before = ring.next;
    rig.give(count, 1526, false);
    return ring.wants_kick(before);
  };
  CHECK(gives(4));
  rig.core.notified(rig.transport, rx);
  REQUIRE(rig.arrive(frame(100)));
  CHECK(rig.used() == 1);
  CHECK_FALSE(gives(2));
  for (unsigned i = 0; i < 5; ++i) REQUIRE(rig.arrive(frame(100)));
  CHECK(rig.used() == 6);
  // All are taken: now it waits for some.
  CHECK(gives(1));
}

TEST_CASE("virtio-net: buffers that come while the device is at work are used, and need not be notified of") {
  Rig rig(merging, feature::EVENT_IDX);
  Ring& ring = rig.transport.ring(rx);
  rig.give(1, 1526);
  unsigned kicks = 0;
  rig.wire.while_reading = [&] {
    const std::uint16_t before = ring.next;
    if (before < 10) rig.give(1, 1526, false);
    if (ring.next != before && ring.wants_kick(before)) ++kicks;
  };
  for (unsigned i = 0; i < 9; ++i) rig.wire.arriving.push_back(frame(100));
  REQUIRE(rig.arrive(frame(100)));
  CHECK(rig.used() == 10);
  CHECK(kicks == 0);
  // None are left, and the driver is to say when there are.
  const std::uint16_t before = ring.next;
  rig.give(1, 1526, false);
  CHECK(ring.wants_kick(before));
}

TEST_CASE("virtio-net: the host makes what the driver takes") {
  Rig rig(uncut);
  CHECK(rig.wire.offloads.size() == 1);
  CHECK_FALSE(rig.wire.offloads.back().checksum);
  CHECK(rig.core.features() == (net_feature::CSUM | net_feature::GUEST_CSUM | net_feature::MAC |
                                net_feature::GUEST_TSO4 | net_feature::GUEST_TSO6 | net_feature::HOST_TSO4 |
                                net_feature::HOST_TSO6 | net_feature::MRG_RXBUF | net_feature::STATUS));
  rig.give(1, 2048);
  rig.give(1, 2048);
  REQUIRE(rig.wire.offloads.size() == 2);
  CHECK(rig.wire.offloads.back().checksum);
  CHECK(rig.wire.offloads.back().tso4);
  CHECK_FALSE(rig.wire.offloads.back().tso6);
  rig.core.reset();
  CHECK(rig.wire.offloads.size() == 3);
  CHECK_FALSE(rig.wire.offloads.back().checksum);
  CHECK(rig.events.interest(Wire::descriptor) == Interest::Nothing);
  CHECK(rig.held == 0);
}

TEST_CASE("virtio-net: a hostile guest") {
  Rig rig(merging);
  SUBCASE("a frame that is only a header") {
    rig.send({{sent_at, 12, false}});
    CHECK(rig.transport.fault(tx) == RingFault::BadRequest);
    CHECK(rig.wire.sent.empty());
  }
  SUBCASE("a frame of a megabyte") {
    rig.send({{0, 0x10'0000, false}});
    CHECK(rig.wire.sent.empty());
    CHECK(rig.counters.dropped.value() == 1);
    CHECK(rig.transport.ring(tx).used_index() == 1);
  }
  SUBCASE("a buffer too small for a header") {
    rig.give(1, 12);
    CHECK(rig.transport.fault(rx) == RingFault::BadRequest);
  }
  SUBCASE("a buffer to read from") {
    rig.transport.ring(rx).describe(0, {{buffers, 16, false}, {buffers + 16, 2000, true}});
    rig.transport.ring(rx).offer(0);
    rig.core.notified(rig.transport, rx);
    CHECK(rig.transport.fault(rx) == RingFault::BadRequest);
  }
  SUBCASE("the header in pieces") {
    rig.transport.ring(rx).describe(0,
                                    {{buffers, 11, true}, {buffers + 0x100, 1, true}, {buffers + 0x200, 1600, true}});
    rig.transport.ring(rx).offer(0);
    rig.core.notified(rig.transport, rx);
    REQUIRE(rig.arrive(frame(60, 'p')));
    CHECK(rig.ram.get<std::uint8_t>(buffers + 10) == 1);
    CHECK(rig.ram.get<std::uint8_t>(buffers + 0x100) == 0);
    CHECK(rig.ram.text(buffers + 0x200, 60) == std::string(60, 'p'));
  }
  SUBCASE("bytes of buffers that are taken ahead of a frame stay as they are") {
    rig.give(4, 13);
    rig.ram.put_text(Rig::at(0), std::string(13, 'g'));
    CHECK(rig.used() == 0);
    rig.core.reset();
    CHECK(rig.ram.text(Rig::at(0), 13) == std::string(13, 'g'));
  }
}

TEST_CASE("virtio-net: InterruptStatus is exact where that is asked for") {
  Wire wire;
  VirtioNet::Resources resources{wire.port(), {0x52, 0x54, 0, 1, 2, 3}};
  CHECK(counts_used_buffers<VirtioNet>({}, true, resources));
  CHECK(!counts_used_buffers<VirtioNet>({}, false, resources));
}

TEST_CASE("virtio-net: on MMIO; saved and restored no buffer is lost, and a queue that is stopped keeps none") {
  World world;
  Wire wire;
  VirtioNet::Resources resources{wire.port(), {0x52, 0x54, 0, 1, 2, 3}};
  axvm::DeviceContext context = world.context();
  std::optional<VirtioNet> device(std::in_place, VirtioNet::Config{.tap = "tap0", .mac = {}}, resources, context);
  Driver<VirtioNet> driver(*device);
  CHECK(driver.in(MmioRegister::DeviceID) == 1);
  CHECK(driver.in(0x100, 8) == 0x0001'0302'0100'5452);
  std::vector<Ring> rings = start(driver, world.ram, 2);
  for (std::uint16_t head = 0; head < 16; ++head) {
    rings[rx].describe(head, {{Rig::at(head), 0x8000, true}});
    rings[rx].offer(head);
  }
  driver.kick(rx);
  wire.arriving.push_back(frame(60, '1'));
  CHECK(world.events.ready(Wire::descriptor, Interest::Readable));
  CHECK(rings[rx].used_index() == 1);
  CHECK(device->state.held != 0);

  Wire other_wire;
  VirtioNet::Resources other_resources{other_wire.port(), {0x52, 0x54, 0, 1, 2, 3}};
  axvm::DeviceContext other_context = world.context();
  VirtioNet other({}, other_resources, other_context);
  other.state = device->state;
  other.restored();
  other_wire.arriving.push_back(frame(60, '2'));
  world.events.advance(1);
  CHECK(rings[rx].used_index() == 2);
  CHECK(rings[rx].last_used().id == 1);
  CHECK(world.ram.text(Rig::at(1) + 12, 60) == std::string(60, '2'));

  Driver<VirtioNet> other_driver(other);
  other_driver.out(MmioRegister::QueueSel, rx);
  other_driver.out(MmioRegister::QueueReady, 0);
  CHECK(other.state.held == 0);
  other_wire.arriving.push_back(frame(60, '3'));
  world.events.ready(Wire::descriptor, Interest::Readable);
  CHECK(world.ram.text(Rig::at(2) + 12, 60) == std::string(60, '\0'));
  device.reset();
  resources = {};
  CHECK(wire.closed == 1);
}

TEST_CASE("virtio-net: addresses") {
  CHECK(axvm::parse_mac("02:0a:BC:00:00:ff") == std::array<std::uint8_t, 6>{2, 10, 0xbc, 0, 0, 255});
  for (char const* wrong : {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:5g", "52-54-00-12-34-56",
                            "01:00:00:00:00:00", "00:00:00:00:00:00", "52:54:00:12:34:567"})
    CHECK_FALSE(axvm::parse_mac(wrong));
  CHECK(VirtioNet::mac_of("tap0") != VirtioNet::mac_of("tap1"));
  CHECK((VirtioNet::mac_of("tap0")[0] & 1) == 0);
  CHECK_FALSE(VirtioNet::present({}));
  auto refused = VirtioNet::open({.tap = "tap0", .mac = "nonsense"}, axvm::Host{});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().operation.view().find("nonsense") != std::string_view::npos);
}

TEST_CASE("virtio-net: a TAP that cannot be had") {
  for (char const* name : {"", "sixteen-bytes-16", "a/b", "tap%d"}) {
    auto refused = axvm::Tap::open(name);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == axvm::ErrorCode::InvalidArgument);
  }
  using M = axvm::Machine<axvm::Portable, axvm::Devices<VirtioNet>, axvm::Handlers<>, axvm::fake::Fake>;
  M::Config config;
  config.of<VirtioNet>().tap = "lo";  // there is one, and it is no TAP
  axvm::SystemHost system;
  auto refused = M::create(config, system, axvm::fake::Fake{});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().operation.view().find("TAP lo") != std::string_view::npos);
  CHECK_FALSE(refused.error().hint.empty());
}

TEST_CASE("virtio-net: a user without rights hears what an administrator has to do") {
  scratch::Unprivileged user;
  if (!user) {
    MESSAGE("this process cannot give up its rights");
    return;
  }
  auto refused = axvm::Tap::open("axvmtest1");
  REQUIRE_FALSE(refused);
  if (refused.error().os_error == ENOENT) {
    MESSAGE("no /dev/net/tun here");
    return;
  }
  CHECK(refused.error().code == axvm::ErrorCode::PermissionDenied);
  CHECK(refused.error().hint.view().find("ip tuntap add axvmtest1 mode tap") != std::string_view::npos);
}

namespace {

/// What happens to frames on a real TAP, in a network of its own; the number of the step that failed, or 77 when there
/// is no network to be had.
int use_tap() {
  if (::unshare(CLONE_NEWNET) != 0) return 77;
  auto port = axvm::Tap::open("axvmtest2");
  if (!port) return 77;
  const axvm::Descriptor peer(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  ifreq request{};
  std::strcpy(request.ifr_name, "axvmtest2");
  request.ifr_flags = IFF_UP;
  if (!peer || ::ioctl(peer.get(), SIOCSIFFLAGS, &request) != 0 || ::ioctl(peer.get(), SIOCGIFINDEX, &request) != 0)
    return 77;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = request.ifr_ifindex;
  if (::bind(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 77;

  // Ours are of a type of their own; the kernel sends some by itself.
  auto ours = [](char letter) { return std::string(12, '\x02') + "\x88\xb5" + std::string(60, letter); };
  auto is_ours = [](std::string_view got) { return got.size() >= 14 && got.substr(12, 2) == "\x88\xb5"; };
  std::string out = std::string(12, '\0') + ours('o');
  const axvm::Segment parts[] = {{reinterpret_cast<std::byte*>(out.data()), 20},
                                 {reinterpret_cast<std::byte*>(out.data()) + 20, out.size() - 20}};
  if (!port->write(parts)) return 1;
  char bytes[256];
  for (;;) {
    pollfd poll{peer.get(), POLLIN, 0};
    if (::poll(&poll, 1, 5000) != 1) return 2;
    const ssize_t got = ::recv(peer.get(), bytes, sizeof bytes, 0);
    if (got > 0 && is_ours({bytes, static_cast<std::size_t>(got)})) {
      if (std::string(bytes, static_cast<std::size_t>(got)) != ours('o')) return 3;
      break;
    }
  }
  const std::string in = ours('i');
  if (::send(peer.get(), in.data(), in.size(), 0) < 0) return 4;
  for (;;) {
    pollfd poll{port->descriptor(), POLLIN, 0};
    if (::poll(&poll, 1, 5000) != 1) return 5;
    std::memset(bytes, 'x', sizeof bytes);
    const axvm::Segment into[] = {{reinterpret_cast<std::byte*>(bytes), 10},
                                  {reinterpret_cast<std::byte*>(bytes) + 10, sizeof bytes - 10}};
    const std::size_t got = port->read(into);
    if (got < 12 || !is_ours({bytes + 12, got - 12})) continue;
    if (std::string(bytes + 12, got - 12) != in) return 6;
    break;
  }
  while (port->read(parts) != 0) {
  }
  port->set_offloads({.checksum = true, .tso4 = true, .tso6 = true});
  // Nobody else can attach to it.
  auto second = axvm::Tap::open("axvmtest2");
  return second || second.error().os_error != EBUSY ? 7 : 0;
}

}  // namespace

TEST_CASE("virtio-net: frames through a real TAP") {
  const int status = scratch::end_of(scratch::start_child([] { ::_exit(use_tap()); }));
  if (scratch::exited_with(status, 77)) {
    MESSAGE("no network of its own, or no TAP, to be had here");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(WIFEXITED(status));
}
