#include <doctest/doctest.h>

#include "virtio_driver.hpp"

using namespace guest;
using axvm::virtio::BlkConfig;
namespace blk_feature = axvm::virtio::blk_feature;

namespace {
constexpr std::uint32_t IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8;
constexpr unsigned OK = 0, IOERR = 1, UNSUPP = 2;
constexpr std::uint64_t data = BlkMachine::data;
}  // namespace

TEST_CASE("virtio-blk: identity and configuration space") {
  BlkMachine m(64 * 512 + 100);
  CHECK(m.driver.in(MmioRegister::MagicValue) == 0x74726976);
  CHECK(m.driver.in(MmioRegister::Version) == 2);
  CHECK(m.driver.in(MmioRegister::DeviceID) == 2);
  CHECK(m.driver.in(0x100, 8) == 64);  // the last 100 bytes are no sector
  CHECK(m.driver.in(0x100, 4) == 64);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, seg_max), 4) == 126);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, blk_size), 4) == 512);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, blk_size) + 1, 1) == 2);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, blk_size), 2) == 512);
  m.driver.out(0x100, 8, 1);
  CHECK(m.driver.in(0x100, 8) == 64);
  CHECK(m.driver.in(0x100 + sizeof(BlkConfig), 4) == 0xffff'ffff);
  CHECK(m.driver.in(0x100 + sizeof(BlkConfig) - 2, 4) == 0xffff'0000);

  std::uint64_t offered = m.driver.offered();
  CHECK((offered & blk_feature::SEG_MAX) != 0);
  CHECK((offered & blk_feature::BLK_SIZE) != 0);
  CHECK((offered & blk_feature::FLUSH) != 0);
  CHECK((offered & blk_feature::RO) == 0);
  CHECK((offered & feature::VERSION_1) != 0);
  CHECK((offered & feature::INDIRECT_DESC) != 0);
  CHECK((offered & feature::EVENT_IDX) != 0);
}

TEST_CASE("virtio-blk: a sector is read") {
  BlkMachine m;
  m.disk.fill_sector(3, 'x');
  REQUIRE(m.start());
  CHECK(m.request(IN, 3, {{data, 512, true}}) == OK);
  CHECK(m.ram.text(data, 512) == m.disk.sector(3));
  CHECK(m.ram.get<std::uint8_t>(data + 512) == 0);
  CHECK(m.ring.used_index() == 1);
  CHECK(m.ring.last_used().id == 0);
  CHECK(m.ring.last_used().len == 513);
  CHECK(m.interrupt.edges == 1);
  CHECK(m.driver.acknowledge() == 1);
  CHECK(m.device.counters.disk.requests.value() == 1);
  CHECK(m.device.counters.disk.bytes_read.value() == 512);
  CHECK(m.device.counters.disk.errors.value() == 0);
}

TEST_CASE("virtio-blk: sectors are written") {
  BlkMachine m;
  REQUIRE(m.start());
  m.ram.put_text(data, std::string(1024, 'w'));
  CHECK(m.request(OUT, 62, {{data, 1024, false}}) == OK);
  CHECK(m.disk.sector(61) == std::string(512, '\0'));
  CHECK(m.disk.sector(62) == std::string(512, 'w'));
  CHECK(m.disk.sector(63) == std::string(512, 'w'));
  CHECK(m.ring.last_used().len == 1);
  CHECK(m.device.counters.disk.bytes_written.value() == 1024);
  CHECK(m.disk.flushes == 0);
}

TEST_CASE("virtio-blk: header, data and status need not end where descriptors end") {
  BlkMachine m;
  m.disk.fill_sector(1, 'a');
  m.disk.fill_sector(2, 'b');
  REQUIRE(m.start());
  std::uint64_t header = BlkMachine::headers;
  m.ram.put(header, axvm::virtio::BlkRequestHeader{IN, 0, 1});
  // The header in three pieces, two sectors in three pieces, of which the last also holds the status byte.
  m.ring.describe(0, {{header, 5, false},
                      {header + 5, 10, false},
                      {header + 15, 1, false},
                      {data, 700, true},
                      {data + 0x1000, 1, true},
                      {data + 0x2000, 324, true}});
  m.ring.offer(0);
  m.driver.kick();
  CHECK(m.ring.last_used().len == 1025);
  std::string both = m.ram.text(data, 700) + m.ram.text(data + 0x1000, 1) + m.ram.text(data + 0x2000, 323);
  CHECK(both == std::string(512, 'a') + std::string(512, 'b'));
  CHECK(m.ram.get<std::uint8_t>(data + 0x2000 + 323) == OK);

  // Header and data of a write in one descriptor.
  std::uint64_t joined = data + 0x4000;
  m.ram.put(joined, axvm::virtio::BlkRequestHeader{OUT, 0, 5});
  m.ram.put_text(joined + 16, std::string(512, 'j'));
  m.ring.describe(8, {{joined, 528, false}, {data, 1, true}});
  m.ring.offer(8);
  m.driver.kick();
  CHECK(m.ram.get<std::uint8_t>(data) == OK);
  CHECK(m.disk.sector(5) == std::string(512, 'j'));
}

TEST_CASE("virtio-blk: a buffer over the seam of two memory regions") {
  BlkMachine m;
  m.disk.fill_sector(7, 's');
  REQUIRE(m.start());
  CHECK(m.request(IN, 7, {{Ram::seam - 200, 512, true}}) == OK);
  CHECK(m.ram.text(Ram::seam - 200, 512) == m.disk.sector(7));
}

TEST_CASE("virtio-blk: indirect tables") {
  BlkMachine m;
  m.disk.fill_sector(9, 'i');
  REQUIRE(m.start());
  std::uint64_t header = BlkMachine::headers, table = data + 0x8000;
  m.ram.put(header, axvm::virtio::BlkRequestHeader{IN, 0, 9});

  SUBCASE("alone") {
    m.ring.describe_indirect(4, table, {{header, 16, false}, {data, 512, true}, {data + 512, 1, true}});
  }
  SUBCASE("its own WRITE flag means nothing") {
    m.ring.describe_indirect(4, table, {{header, 16, false}, {data, 512, true}, {data + 512, 1, true}});
    m.ring.put_descriptor(4, {table, 48, Descriptor::INDIRECT | Descriptor::WRITE, 0});
  }
  SUBCASE("behind ordinary descriptors") {
    m.ring.describe(4, {{header, 16, false}, {0, 0, false}});
    m.ring.describe_indirect(5, table, {{data, 512, true}, {data + 512, 1, true}});
  }
  SUBCASE("128 descriptors") {
    std::vector<Buffer> buffers{{header, 16, false}};
    for (unsigned i = 0; i < 126; ++i) buffers.push_back({data + 4 * i, 4, true});
    buffers.push_back({data + 504, 9, true});
    m.ring.describe_indirect(4, table, buffers);
  }
  m.ram.put<std::uint8_t>(data + 512, 0xee);
  m.ring.offer(4);
  m.driver.kick();
  CHECK(m.ram.get<std::uint8_t>(data + 512) == OK);
  CHECK(m.ram.text(data, 512) == m.disk.sector(9));
  CHECK(m.ring.last_used().id == 4);
  CHECK(m.ring.last_used().len == 513);
}

TEST_CASE("virtio-blk: flush and the answer to its failure") {
  BlkMachine m;
  REQUIRE(m.start());
  CHECK(m.request(FLUSH, 0) == OK);
  CHECK(m.disk.flushes == 1);
  CHECK(m.ring.last_used().len == 1);
  m.disk.fail_flushes = true;
  CHECK(m.request(FLUSH, 0) == IOERR);
  CHECK(m.device.counters.disk.errors.value() == 1);
}

TEST_CASE("virtio-blk: without FLUSH a write is on stable storage when it is reported") {
  BlkMachine m;
  REQUIRE(m.start(BlkMachine::all_features & ~blk_feature::FLUSH));
  CHECK(m.request(OUT, 0, {{data, 512, false}}) == OK);
  CHECK(m.disk.flushes == 1);
  m.disk.fail_flushes = true;
  CHECK(m.request(OUT, 0, {{data, 512, false}}) == IOERR);
}

TEST_CASE("virtio-blk: GET_ID gives the file's name") {
  BlkMachine m;
  REQUIRE(m.start());
  m.ram.put_text(data, std::string(40, '#'));
  CHECK(m.request(GET_ID, 0, {{data, 20, true}}) == OK);
  CHECK(m.ram.text(data, 21) == std::string("disk-a.img") + std::string(10, '\0') + "#");
  CHECK(m.ring.last_used().len == 21);
  // A longer buffer has a gap before the status byte, which the length may not cover.
  CHECK(m.request(GET_ID, 0, {{data, 30, true}}) == OK);
  CHECK(m.ring.last_used().len == 20);
  CHECK(m.request(GET_ID, 0, {{data + 64, 4, true}}) == OK);
  CHECK(m.ram.text(data + 64, 5) == std::string("disk") + '\0');
}

TEST_CASE("virtio-blk: unknown request types are unsupported") {
  BlkMachine m;
  REQUIRE(m.start());
  for (std::uint32_t type : {2u, 3u, 5u, 11u, 13u, 0xffff'ffffu, 0x100u}) {
    CHECK(m.request(type, 0, {{data, 512, true}}) == UNSUPP);
    CHECK(m.ring.last_used().len == 0);  // nothing of the data was written
  }
  CHECK(m.request(11, 0) == UNSUPP);
  CHECK(m.ring.last_used().len == 1);
  CHECK(m.device.counters.disk.errors.value() == 8);
  CHECK_FALSE(m.driver.needs_reset());
}

TEST_CASE("virtio-blk: requests beyond the disk or of half sectors fail and touch nothing") {
  BlkMachine m;
  REQUIRE(m.start());
  for (std::uint64_t sector : {64ull, 65ull, 1ull << 55, (1ull << 55) - 1, ~0ull, ~0ull / 512}) {
    CHECK(m.request(IN, sector, {{data, 512, true}}) == IOERR);
    CHECK(m.ring.last_used().len == 0);
    CHECK(m.request(OUT, sector, {{data, 512, false}}) == IOERR);
  }
  CHECK(m.request(IN, 63, {{data, 1024, true}}) == IOERR);
  CHECK(m.request(OUT, 63, {{data, 1024, false}}) == IOERR);
  CHECK(m.request(IN, 0, {{data, 511, true}}) == IOERR);
  CHECK(m.request(IN, 0, {{data, 513, true}}) == IOERR);
  CHECK(m.request(OUT, 0, {{data, 100, false}}) == IOERR);
  CHECK(m.disk.reads == 0);
  CHECK(m.disk.writes == 0);
  CHECK(m.request(IN, 63, {{data, 512, true}}) == OK);
  CHECK(m.request(IN, 64) == OK);  // no sectors at the end of the disk
  CHECK(m.request(IN, 65) == IOERR);
  CHECK_FALSE(m.driver.needs_reset());
}

TEST_CASE("virtio-blk: host errors become I/O errors and nothing else") {
  BlkMachine m;
  REQUIRE(m.start());
  m.disk.fail_reads = m.disk.fail_writes = true;
  CHECK(m.request(IN, 0, {{data, 512, true}}) == IOERR);
  CHECK(m.ring.last_used().len == 0);
  CHECK(m.request(OUT, 0, {{data, 512, false}}) == IOERR);
  CHECK(m.device.counters.disk.errors.value() == 2);
  CHECK(m.device.counters.disk.bytes_read.value() == 0);
  CHECK(m.device.counters.disk.bytes_written.value() == 0);
  m.disk.fail_reads = false;
  CHECK(m.request(IN, 0, {{data, 512, true}}) == OK);
  CHECK_FALSE(m.driver.needs_reset());
}

TEST_CASE("virtio-blk: a read-only disk says so and refuses writes") {
  BlkMachine m(64 * 512, true);
  CHECK((m.driver.offered() & blk_feature::RO) != 0);
  std::uint64_t features = BlkMachine::all_features;
  SUBCASE("to a driver that knows") {}
  SUBCASE("to a driver that does not") { features &= ~blk_feature::RO; }
  REQUIRE(m.start(features & ~feature::EVENT_IDX));
  CHECK(m.request(OUT, 0, {{data, 512, false}}) == IOERR);
  CHECK(m.disk.writes == 0);
  CHECK(m.request(IN, 0, {{data, 512, true}}) == OK);
  CHECK(m.request(FLUSH, 0) == OK);
}

TEST_CASE("virtio-blk: read_only holds for an image that could be written") {
  BlkMachine m;
  axvm::VirtioBlk::Config config{.path = "a.img", .read_only = true};
  axvm::VirtioBlk device(config, m.resources, m.context);
  Driver driver(device);
  CHECK((driver.offered() & blk_feature::RO) != 0);
}

TEST_CASE("virtio-blk: a batch is answered in order with one interrupt") {
  BlkMachine m;
  for (unsigned i = 0; i < 64; ++i) m.disk.fill_sector(i, static_cast<char>('A' + i));
  REQUIRE(m.start());
  for (std::uint16_t i = 0; i < 64; ++i) {
    auto head = static_cast<std::uint16_t>(3 * i);
    m.prepare(head, IN, i, {{data + 512u * i, 512, true}});
    m.ring.offer(head);
  }
  m.driver.kick();
  CHECK(m.ring.used_index() == 64);
  CHECK(m.interrupt.edges == 1);
  for (std::uint16_t i = 0; i < 64; ++i) {
    CHECK(m.ring.used_element(i).id == 3u * i);
    CHECK(m.ram.text(data + 512u * i, 512) == m.disk.sector(i));
  }
}

TEST_CASE("virtio-blk: indices wrap around the ring and around 2^16") {
  for (std::uint64_t features : {BlkMachine::all_features, BlkMachine::all_features & ~feature::EVENT_IDX}) {
    BlkMachine m;
    REQUIRE(m.start(features, 4));
    m.prepare(0, FLUSH, 0, {});
    m.prepare(2, FLUSH, 0, {});
    for (unsigned i = 0; i < 70'000; ++i) {
      m.ring.offer(i % 2 == 0 ? 0 : 2);
      m.driver.kick();
    }
    CHECK(m.disk.flushes == 70'000);
    CHECK(m.ring.used_index() == 70'000 % 0x1'0000);
    CHECK_FALSE(m.driver.needs_reset());
  }
}

TEST_CASE("virtio-blk: a request larger than a driver may make fails and moves nothing") {
  BlkMachine m(80 * axvm::MiB);
  REQUIRE(m.start());
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, size_max), 4) == 256 * axvm::KiB);
  // The same memory again and again: a small guest can ask for a lot.
  const std::vector<Buffer> largest(126, Buffer{data, 256 * axvm::KiB, true});
  const std::vector<Buffer> larger(127, Buffer{data, 256 * axvm::KiB, true});
  CHECK(m.request(IN, 0, largest) == OK);
  CHECK(m.device.counters.disk.bytes_read.value() == 126 * 256 * axvm::KiB);
  CHECK(m.request(IN, 0, larger) == IOERR);
  CHECK(m.device.counters.disk.bytes_read.value() == 126 * 256 * axvm::KiB);
}

TEST_CASE("virtio-blk: a round ends when enough was moved, and the rest is served soon after") {
  BlkMachine m(80 * axvm::MiB);
  REQUIRE(m.start());
  const std::vector<Buffer> sixteen_mib(64, Buffer{data, 256 * axvm::KiB, true});
  for (std::uint16_t head : {std::uint16_t{0}, std::uint16_t{70}, std::uint16_t{140}}) {
    m.prepare(head, IN, 0, sixteen_mib);
    m.ring.offer(head);
  }
  m.driver.kick();
  CHECK(m.ring.used_index() == 2);
  m.events.advance(1000);
  CHECK(m.ring.used_index() == 3);
}

TEST_CASE("virtio-blk: reset forgets everything and the disk goes on") {
  BlkMachine m;
  REQUIRE(m.start());
  CHECK(m.request(IN, 0, {{data, 512, true}}) == OK);
  m.prepare(0, IN, 0, {{data, 512, true}});
  m.ring.offer(0);  // a request under way, not yet notified
  m.driver.out(MmioRegister::Status, 0);
  CHECK(m.driver.in(MmioRegister::Status) == 0);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
  CHECK(m.driver.in(MmioRegister::QueueReady) == 0);
  unsigned reads = m.disk.reads;
  m.driver.kick();
  CHECK(m.disk.reads == reads);
  CHECK(m.device.state == axvm::VirtioBlk::State{});
  REQUIRE(m.start());
  CHECK(m.request(IN, 0, {{data, 512, true}}) == OK);
  CHECK(m.ring.used_index() == 1);
}

TEST_CASE("virtio-blk: the saved state goes on in another device, requests waiting included") {
  BlkMachine m;
  m.disk.fill_sector(1, '1');
  m.disk.fill_sector(2, '2');
  REQUIRE(m.start(BlkMachine::all_features));
  CHECK(m.request(IN, 1, {{data, 512, true}}) == OK);
  m.ring.set_used_event(1);
  m.prepare(3, IN, 2, {{data + 512, 512, true}});
  m.ring.offer(3);  // its notification is lost with the machine
  axvm::VirtioBlk::State saved = m.device.state;

  fakes::InterruptRecorder line;
  fakes::EventLoop events;
  axvm::DeviceContext context = m.context;
  context.lines[0] = line.line();
  context.events = events.events();
  axvm::VirtioBlk other(m.config, m.resources, context);
  other.state = saved;
  other.restored();
  CHECK(other.state == saved);
  CHECK(line.edges == 1);  // the interrupt that had not been acknowledged
  CHECK(m.ring.used_index() == 1);
  events.advance(1'000);
  CHECK(m.ring.used_index() == 2);
  CHECK(m.ring.last_used().id == 3);
  CHECK(m.ram.text(data + 512, 512) == m.disk.sector(2));
  Driver driver(other);
  CHECK(driver.acknowledge() == 1);
}

TEST_CASE("virtio-blk: a restored state that cannot be is refused like a bad ring") {
  BlkMachine m;
  REQUIRE(m.start());
  axvm::VirtioBlk::State saved = m.device.state;
  SUBCASE("rings outside memory") { saved.transport.queues[0].device_area = Ram::end; }
  SUBCASE("a size that is none") { saved.transport.queues[0].size = 3; }
  SUBCASE("features that are not offered") { saved.transport.driver_features |= blk_feature::RO; }
  SUBCASE("a queue before the features") { saved.transport.status = status::ACKNOWLEDGE | status::DRIVER; }
  axvm::VirtioBlk other(m.config, m.resources, m.context);
  other.state = saved;
  other.restored();
  Driver driver(other);
  CHECK(driver.needs_reset());
  CHECK(other.counters.transport.malformed_rings.value() == 1);
  m.prepare(0, FLUSH, 0, {});
  m.ring.offer(0);
  driver.kick();
  m.events.advance(1'000);
  CHECK(m.disk.flushes == 0);
}

TEST_CASE("virtio-blk: opening") {
  Disk disk(1024);
  guest::Host host(disk);
  CHECK_FALSE(axvm::VirtioBlk::present({}));
  CHECK(axvm::VirtioBlk::present({.path = "a.img"}));
  {
    auto opened = axvm::VirtioBlk::open({.path = "a.img", .read_only = true}, host.host());
    REQUIRE(opened);
    CHECK(host.opened == "a.img");
    CHECK(host.opened_read_only);
    CHECK(opened->image.size() == 1024);
    CHECK(disk.closed == 0);
  }
  CHECK(disk.closed == 1);
  auto missing = axvm::VirtioBlk::open({.path = "missing.img"}, host.host());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == axvm::ErrorCode::NotFound);
  CHECK(missing.error().operation.view().find("missing.img") != std::string_view::npos);
  auto no_host = axvm::VirtioBlk::open({.path = "a.img"}, axvm::Host{});
  REQUIRE_FALSE(no_host);
  CHECK(no_host.error().operation.view().find("a.img") != std::string_view::npos);
  std::string long_path(2000, 'p');
  auto too_long = axvm::VirtioBlk::open({.path = std::string_view(long_path)}, host.host());
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().code == axvm::ErrorCode::InvalidArgument);
  CHECK(too_long.error().operation.view().find("pppp") != std::string_view::npos);
}

TEST_CASE("virtio-blk: without an image every request fails and nothing breaks") {
  BlkMachine m;
  axvm::VirtioBlk::Resources nothing;
  axvm::VirtioBlk device(m.config, nothing, m.context);
  Driver driver(device);
  REQUIRE(driver.negotiate(BlkMachine::all_features));
  REQUIRE(driver.enable_queue(0, m.ring));
  driver.add_status(status::DRIVER_OK);
  std::uint64_t answer = m.prepare(0, FLUSH, 0, {});
  m.ring.offer(0);
  driver.kick();
  CHECK(m.ram.get<std::uint8_t>(answer) == IOERR);
  answer = m.prepare(0, IN, 0, {{data, 512, true}});
  m.ring.offer(0);
  driver.kick();
  CHECK(m.ram.get<std::uint8_t>(answer) == IOERR);
}
