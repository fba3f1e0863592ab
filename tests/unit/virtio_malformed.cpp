#include <doctest/doctest.h>

#include <functional>

#include "pci_driver.hpp"

using namespace guest;

namespace {

constexpr std::uint64_t data = BlkGuest::data, header = BlkGuest::headers, table = data + 0x8000;
constexpr std::uint32_t IN = 0, FLUSH = 4;
constexpr std::uint16_t NEXT = Descriptor::NEXT, WRITE = Descriptor::WRITE, INDIRECT = Descriptor::INDIRECT;

/// The device asked for a reset, once, told the driver, answered nothing from then on, and works after the reset.
template <class Machine>
void check_needs_reset(Machine& m, std::string const& why) {
  CHECK(m.driver.needs_reset());
  CHECK(m.device.counters.transport.malformed_rings.value() == 1);
  CHECK((m.driver.acknowledge() & 2) != 0);
  CHECK(m.take_interrupts() != 0);
  REQUIRE(m.log.size() == 1);
  CHECK(m.log[0].find(why) != std::string::npos);

  std::uint16_t used = m.ring.used_index();
  unsigned calls = m.disk.reads + m.disk.writes + m.disk.flushes;
  m.driver.kick();
  m.driver.add_status(status::DRIVER_OK);
  CHECK(m.ring.used_index() == used);
  CHECK(m.disk.reads + m.disk.writes + m.disk.flushes == calls);
  CHECK(m.driver.needs_reset());

  CHECK(m.take_interrupts() == 0);
  REQUIRE(m.start());
  m.disk.fill_sector(5, '5');
  CHECK(m.request(IN, 5, {{data, 512, true}}) == 0);
  CHECK(m.ram.text(data, 512) == m.disk.sector(5));
}

/// A request in good order at head 0: header, 512 bytes to read into, status.
void good(BlkGuest& m) { m.prepare(0, IN, 0, {{data, 512, true}}); }

struct Case {
  char const* what;
  char const* why;
  std::function<void(BlkGuest&)> make;  // the ring is not offered yet; head 0 is, unless it does so itself
  bool offers = false;
};

Case const cases[] = {
    {"head beyond the queue", "head out of range", [](BlkGuest& m) { m.ring.offer(256); }, true},
    {"head of all ones", "head out of range", [](BlkGuest& m) { m.ring.offer(0xffff); }, true},
    {"index jump beyond the queue", "out of step",
     [](BlkGuest& m) { m.ram.put<std::uint16_t>(m.ring.available + 2, 257); }, true},
    {"index going backwards", "out of step",
     [](BlkGuest& m) { m.ram.put<std::uint16_t>(m.ring.available + 2, 0xffff); }, true},
    {"loop of one", "too long", [](BlkGuest& m) { m.ring.put_descriptor(0, {header, 16, NEXT, 0}); }},
    {"loop of three", "too long",
     [](BlkGuest& m) {
       m.ring.put_descriptor(0, {header, 16, NEXT, 1});
       m.ring.put_descriptor(1, {data, 512, NEXT | WRITE, 2});
       m.ring.put_descriptor(2, {data, 512, NEXT | WRITE, 1});
     }},
    {"next beyond the queue", "next descriptor out of range",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {header, 16, NEXT, 256}); }},
    {"next of all ones", "next descriptor out of range",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {header, 16, NEXT, 0xffff}); }},
    {"indirect chain with a loop", "too long",
     [](BlkGuest& m) {
       m.ring.describe_indirect(0, table, {{header, 16, false}, {data, 512, true}, {data, 1, true}});
       m.ram.put<Descriptor>(table + 32, {data, 1, NEXT | WRITE, 1});
     }},
    {"indirect next beyond the table", "next descriptor out of range",
     [](BlkGuest& m) {
       m.ring.describe_indirect(0, table, {{header, 16, false}, {data, 512, true}, {data, 1, true}});
       m.ram.put<Descriptor>(table + 16, {data, 512, NEXT | WRITE, 3});
     }},
    {"indirect table larger than the queue", "bad indirect table",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {table, 257 * 16, INDIRECT, 0}); }},
    {"indirect table of 4 GiB", "bad indirect table",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {table, 0xffff'fff0, INDIRECT, 0}); }},
    {"indirect table of no bytes", "bad indirect table",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {table, 0, INDIRECT, 0}); }},
    {"indirect table of half a descriptor", "bad indirect table",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {table, 24, INDIRECT, 0}); }},
    {"indirect table unaligned", "bad indirect table",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {table + 4, 48, INDIRECT, 0}); }},
    {"indirect table crossing the end of memory", "indirect table outside memory",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {Ram::end - 32, 48, INDIRECT, 0}); }},
    {"indirect table wrapping 2^64", "indirect table outside memory",
     [](BlkGuest& m) { m.ring.put_descriptor(0, {~0ull - 15, 48, INDIRECT, 0}); }},
    {"nested indirect table", "nested",
     [](BlkGuest& m) {
       m.ring.describe_indirect(0, table, {{header, 16, false}, {data, 512, true}, {data, 1, true}});
       m.ram.put<Descriptor>(table + 16, {table, 48, INDIRECT, 0});
     }},
    {"indirect with a next", "with a next one",
     [](BlkGuest& m) {
       m.ring.describe_indirect(0, table, {{header, 16, false}, {data, 1, true}});
       m.ring.put_descriptor(0, {table, 32, INDIRECT | NEXT, 1});
     }},
    {"buffer beyond memory", "buffer outside memory",
     [](BlkGuest& m) { m.ring.put_descriptor(1, {Ram::end, 512, NEXT | WRITE, 2}); }},
    {"buffer crossing the end of memory", "buffer outside memory",
     [](BlkGuest& m) { m.ring.put_descriptor(1, {Ram::end - 511, 512, NEXT | WRITE, 2}); }},
    {"buffer wrapping 2^64", "buffer outside memory",
     [](BlkGuest& m) { m.ring.put_descriptor(1, {~0ull - 255, 512, NEXT | WRITE, 2}); }},
    {"buffer in a device window", "buffer outside memory",
     [](BlkGuest& m) { m.ring.put_descriptor(1, {0xd000'0000, 512, NEXT | WRITE, 2}); }},
    {"zero-length buffer", "zero bytes", [](BlkGuest& m) { m.ring.put_descriptor(1, {data, 0, NEXT | WRITE, 2}); }},
    {"zero-length status", "zero bytes", [](BlkGuest& m) { m.ring.put_descriptor(2, {data, 0, WRITE, 0}); }},
    {"readable after writable", "readable descriptor after",
     [](BlkGuest& m) {
       m.ring.put_descriptor(0, {data, 512, NEXT | WRITE, 1});
       m.ring.put_descriptor(1, {header, 16, NEXT, 2});
     }},
    {"read-only status byte", "status byte",
     [](BlkGuest& m) { m.ring.describe(0, {{header, 16, false}, {header + 32, 1, false}}); }},
    {"no status byte", "status byte", [](BlkGuest& m) { m.ring.put_descriptor(0, {header, 16, 0, 0}); }},
    {"header cut short", "without a header", [](BlkGuest& m) { m.ring.put_descriptor(0, {header, 15, NEXT, 1}); }},
    {"no header", "without a header", [](BlkGuest& m) { m.ring.describe(0, {{data, 512, true}, {data, 1, true}}); }},
    {"chain of 4 GiB", "4 GiB",
     [](BlkGuest& m) {
       m.ring.put_descriptor(1, {data, 0x1000, NEXT | WRITE, 2});
       m.ring.put_descriptor(2, {data, 0xffff'ffff, WRITE, 0});
     }},
    {"head reused while in flight", "in flight",
     [](BlkGuest& m) {
       m.ring.offer(0);
       m.ring.offer(0);
     },
     true},
};

}  // namespace

TEST_CASE_TEMPLATE("virtio-blk: a malformed ring makes the device ask for a reset, and no more", Machine, BlkMachine,
                   BlkPciMachine) {
  for (Case const& malformed : cases) {
    CAPTURE(malformed.what);
    Machine m;
    REQUIRE(m.start());
    good(m);
    malformed.make(m);
    if (!malformed.offers) m.ring.offer(0);
    std::string before = m.ram.text(data, 1024);
    m.driver.kick();
    if (std::string_view(malformed.why) != "in flight") CHECK(m.ram.text(data, 1024) == before);
    check_needs_reset(m, malformed.why);
  }
}

TEST_CASE_TEMPLATE("virtio-blk: a chain longer than the queue", Machine, BlkMachine, BlkPciMachine) {
  Machine m;
  REQUIRE(m.start(BlkGuest::all_features, 8));
  SUBCASE("through an indirect table behind ordinary descriptors") {
    m.ring.describe(0, {{header, 16, false}, {0, 0, false}});
    m.ring.describe_indirect(1, table, std::vector<Buffer>(8, Buffer{data, 512, true}));
  }
  SUBCASE("in a table alone") { m.ring.describe_indirect(0, table, std::vector<Buffer>(9, Buffer{data, 512, true})); }
  m.ring.offer(0);
  m.driver.kick();
  CHECK(m.driver.needs_reset());
  CHECK(m.disk.reads == 0);
}

TEST_CASE_TEMPLATE("virtio-blk: indirect descriptors need the feature", Machine, BlkMachine, BlkPciMachine) {
  Machine m;
  REQUIRE(m.start(BlkGuest::all_features & ~feature::INDIRECT_DESC & ~feature::EVENT_IDX));
  good(m);
  m.ring.describe_indirect(0, table, {{header, 16, false}, {data, 512, true}, {data + 512, 1, true}});
  m.ring.offer(0);
  m.driver.kick();
  check_needs_reset(m, "without the feature");
}

TEST_CASE("virtio-blk: what came before the malformed chain is answered") {
  BlkMachine m;
  REQUIRE(m.start());
  std::uint64_t first = m.prepare(0, FLUSH, 0, {});
  m.ring.offer(0);
  m.ring.offer(999);
  std::uint64_t third = m.prepare(6, FLUSH, 0, {});
  m.ring.offer(6);
  m.driver.kick();
  CHECK(m.ring.used_index() == 1);
  CHECK(m.ram.get<std::uint8_t>(first) == 0);
  CHECK(m.ram.get<std::uint8_t>(third) == 0xee);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 3);
  check_needs_reset(m, "head out of range");
}

TEST_CASE_TEMPLATE("virtio-blk: a chain as long as the queue is served", Machine, BlkMachine, BlkPciMachine) {
  Machine m;
  m.disk.fill_sector(0, 'q');
  REQUIRE(m.start(BlkGuest::all_features & ~feature::EVENT_IDX, 8));
  m.ram.put(header, axvm::virtio::BlkRequestHeader{IN, 0, 0});
  m.ring.describe(0, {{header, 16, false},
                      {data, 100, true},
                      {data + 100, 100, true},
                      {data + 200, 100, true},
                      {data + 300, 100, true},
                      {data + 400, 100, true},
                      {data + 500, 12, true},
                      {data + 512, 1, true}});
  m.ring.offer(0);
  m.driver.kick();
  CHECK(m.ram.text(data, 512) == m.disk.sector(0));
}

TEST_CASE("virtio-blk: queues that are not sound do not become ready") {
  struct BadQueue {
    char const* what;
    std::uint32_t size;
    std::uint64_t descriptors, available, used;
    char const* why;
  };
  constexpr std::uint64_t d = BlkMachine::rings, a = d + 0x4000, u = d + 0x5000;
  BadQueue const queues[] = {
      {"size 0", 0, d, a, u, "queue size"},
      {"size 3", 3, d, a, u, "queue size"},
      {"size 255", 255, d, a, u, "queue size"},
      {"above the maximum", 512, d, a, u, "queue size"},
      {"2^31", 0x8000'0000, d, a, u, "queue size"},
      {"low half 0", 0x1'0000, d, a, u, "queue size"},
      {"descriptors misaligned", 256, d + 8, a, u, "misaligned"},
      {"driver area misaligned", 256, d, a + 1, u, "misaligned"},
      {"device area misaligned", 256, d, a, u + 2, "misaligned"},
      {"descriptors beyond memory", 256, Ram::end, a, u, "outside memory"},
      {"descriptors crossing the end", 256, Ram::end - 4080, a, u, "outside memory"},
      {"driver area crossing the end", 256, d, Ram::end - 516, u, "outside memory"},
      {"device area crossing the end", 256, d, a, Ram::end - 2052, "outside memory"},
      {"descriptors in the device hole", 256, 0xd000'0000, a, u, "outside memory"},
      {"driver area wrapping", 256, d, ~0ull - 1, u, "outside memory"},
      {"descriptors wrapping", 256, ~0ull - 15, a, u, "outside memory"},
      {"high half of an address", 256, d, a, u | 1ull << 40, "outside memory"},
  };
  for (BadQueue const& bad : queues) {
    CAPTURE(bad.what);
    BlkMachine m;
    REQUIRE(m.driver.negotiate(BlkMachine::all_features));
    m.driver.describe_queue(0, bad.size, bad.descriptors, bad.available, bad.used);
    m.driver.out(MmioRegister::QueueReady, 1);
    CHECK(m.driver.in(MmioRegister::QueueReady) == 0);
    CHECK(m.driver.needs_reset());
    CHECK(m.device.counters.transport.malformed_rings.value() == 1);
    REQUIRE(m.log.size() == 1);
    CHECK(m.log[0].find(bad.why) != std::string::npos);
    CHECK(m.interrupt.edges == 0);  // no driver listens before DRIVER_OK
    REQUIRE(m.start());
    CHECK(m.request(FLUSH, 0) == 0);
  }
}

TEST_CASE("virtio-blk: rings that just fit the end of memory work") {
  BlkMachine m;
  REQUIRE(m.driver.negotiate(BlkMachine::all_features));
  m.driver.describe_queue(0, 256, Ram::end - 4096, BlkMachine::rings, BlkMachine::rings + 0x1000);
  m.driver.out(MmioRegister::QueueReady, 1);
  CHECK(m.driver.in(MmioRegister::QueueReady) == 1);
}

TEST_CASE("virtio-blk: one device's bad ring leaves another alone") {
  BlkMachine a, b;
  REQUIRE(a.start());
  REQUIRE(b.start());
  a.ring.offer(777);
  a.driver.kick();
  CHECK(a.driver.needs_reset());
  CHECK_FALSE(b.driver.needs_reset());
  CHECK(b.request(FLUSH, 0) == 0);
}

TEST_CASE_TEMPLATE("virtio-blk: a guest that misbehaves for ever gets one line of log", Machine, BlkMachine,
                   BlkPciMachine) {
  Machine m;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(m.start());
    m.ring.offer(777);
    m.driver.kick();
    CHECK(m.driver.needs_reset());
  }
  CHECK(m.device.counters.transport.malformed_rings.value() == 100);
  CHECK(m.log.size() == 1);
}

TEST_CASE_TEMPLATE("virtio-blk: buffers may overlap each other and the rings; the monitor's memory stays whole",
                   Machine, BlkMachine, BlkPciMachine) {
  Machine m;
  m.disk.bytes.assign(m.disk.bytes.size(), '\xff');
  REQUIRE(m.start());
  SUBCASE("over the descriptor table") { m.request(IN, 0, {{m.ring.descriptors, 4096, true}}); }
  SUBCASE("over the available ring") { m.request(IN, 0, {{m.ring.available, 512, true}}); }
  SUBCASE("over the used ring") { m.request(IN, 0, {{m.ring.used, 2048, true}}); }
  SUBCASE("over its own header") { m.request(IN, 0, {{header, 512, true}}); }
  CHECK(m.disk.reads == 1);
  m.driver.kick();
  REQUIRE(m.start());
  CHECK(m.request(FLUSH, 0) == 0);
}
