#include <algorithm>
#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "virtio_driver.hpp"

using namespace guest;
using axvm::BlockCompletion;
using axvm::BlockOperation;
using axvm::BlockRequest;
using axvm::Segment;
using axvm::virtio::BlkConfig;
using axvm::virtio::BlkCore;
using axvm::virtio::BlkRange;
namespace blk_feature = axvm::virtio::blk_feature;

namespace {

constexpr std::uint32_t IN = 0, OUT = 1, FLUSH = 4, DISCARD = 11, WRITE_ZEROES = 13;
constexpr unsigned OK = 0, IOERR = 1, UNSUPP = 2, unanswered = 0xee;
constexpr std::uint64_t data = BlkMachine::data;

/// A disk in memory that takes requests, holds on to them, and ends them when and in the order it is told. What is
/// written is stable only after a flush that began later has ended.
class SlowDisk {
 public:
  static constexpr int descriptor = 77;

  explicit SlowDisk(std::size_t size) : bytes(size, '\0'), stable(size, '\0') {}

  std::string bytes, stable;
  std::vector<BlockRequest> begun, submitted;
  std::deque<BlockCompletion> ended;
  std::string calls;       ///< 's' each time something was submitted
  unsigned performed = 0;  ///< requests carried out one by one
  bool cancelled = false;
  bool takes = true;            ///< start() works
  std::function<void()> quick;  ///< called after each read, which then ends at once
  std::uint64_t most = ~0ull;   ///< bytes moved at a time
  std::map<BlockOperation, int> errors;
  axvm::BlockShape shape{.can_discard = true, .can_write_zeroes = true};

  axvm::BlockImage image(bool read_only = false) { return {this, &operations, bytes.size(), read_only, shape, &queue}; }

  /// Ends the `index`-th of the submitted requests.
  void end(std::size_t index = 0) {
    REQUIRE(index < submitted.size());
    const BlockRequest request = submitted[index];
    submitted.erase(submitted.begin() + static_cast<std::ptrdiff_t>(index));
    ended.push_back(carry_out(request));
  }

  std::size_t count(BlockOperation operation) const {
    return static_cast<std::size_t>(std::count_if(submitted.begin(), submitted.end(), [&](BlockRequest const& request) {
      return request.operation == operation;
    }));
  }

 private:
  BlockCompletion carry_out(BlockRequest const& request) {
    BlockCompletion completion{.token = request.token};
    if (auto found = errors.find(request.operation); found != errors.end()) {
      completion.error = found->second;
      return completion;
    }
    std::uint64_t offset = request.offset;
    switch (request.operation) {
      case BlockOperation::Read:
      case BlockOperation::Write:
        for (Segment const& segment : request.segments) {
          const std::size_t left = most - completion.moved < segment.size ? most - completion.moved : segment.size;
          if (!axvm::range_fits(offset, left, bytes.size())) throw "beyond the disk";
          if (request.operation == BlockOperation::Read) std::memcpy(segment.data, bytes.data() + offset, left);
          else std::memcpy(bytes.data() + offset, segment.data, left);
          offset += left;
          completion.moved += left;
        }
        break;
      case BlockOperation::Flush: stable = bytes; break;
      case BlockOperation::Discard: bytes.replace(offset, request.size, request.size, 'D'); break;
      case BlockOperation::WriteZeroes: bytes.replace(offset, request.size, request.size, request.unmap ? 'U' : 'Z');
    }
    return completion;
  }
  int at_once(BlockRequest const& request) {
    ++performed;
    return carry_out(request).error;
  }

  static SlowDisk& of(void* self) { return *static_cast<SlowDisk*>(self); }
  static const axvm::BlockImage::Operations operations;
  static const axvm::BlockImage::Queue queue;
};

constexpr axvm::BlockImage::Operations SlowDisk::operations{
    [](void* self, std::uint64_t offset, std::span<const Segment> segments) {
      return of(self).at_once({.operation = BlockOperation::Read, .offset = offset, .segments = segments});
    },
    [](void* self, std::uint64_t offset, std::span<const Segment> segments) {
      return of(self).at_once({.operation = BlockOperation::Write, .offset = offset, .segments = segments});
    },
    [](void* self) { return of(self).at_once({.operation = BlockOperation::Flush}); },
    [](void*) {},
    [](void* self, std::uint64_t offset, std::uint64_t size) {
      return of(self).at_once({.operation = BlockOperation::Discard, .offset = offset, .size = size});
    },
    [](void* self, std::uint64_t offset, std::uint64_t size, bool unmap) {
      return of(self).at_once(
          {.operation = BlockOperation::WriteZeroes, .unmap = unmap, .offset = offset, .size = size});
    }};

constexpr axvm::BlockImage::Queue SlowDisk::queue{
    [](void* self, BlockRequest const& request) {
      if (of(self).takes) of(self).begun.push_back(request);
      return of(self).takes;
    },
    [](void* self) {
      SlowDisk& disk = of(self);
      if (!disk.begun.empty()) disk.calls += 's';
      disk.submitted.insert(disk.submitted.end(), disk.begun.begin(), disk.begun.end());
      disk.begun.clear();
    },
    [](void* self, std::span<BlockCompletion> into) {
      std::size_t count = 0;
      for (auto& ended = of(self).ended; count < into.size() && !ended.empty(); ended.pop_front())
        into[count++] = ended.front();
      return count;
    },
    [](void* self) {
      SlowDisk& disk = of(self);
      if (!disk.begun.empty()) throw "waits for what was not submitted";
      if (!disk.ended.empty()) return;
      if (disk.submitted.empty()) throw "waits for nothing";
      if (!disk.cancelled) return disk.end(0);
      disk.ended.push_back({.token = disk.submitted[0].token, .error = ECANCELED});
      disk.submitted.erase(disk.submitted.begin());
    },
    [](void* self) { of(self).cancelled = true; },
    [](void*) { return descriptor; },
    [](void* self, BlockRequest const& request) {
      SlowDisk& disk = of(self);
      if (!disk.quick || disk.at_once(request) != 0) return false;
      disk.quick();
      return true;
    }};

/// BlkMachine with a slow disk.
class SlowMachine {
 public:
  static constexpr std::uint64_t rings = 0x8000, headers = 0x2'0000;

  explicit SlowMachine(std::size_t size = 64 * 512) : disk(size) {}

  bool start(std::uint64_t features = ~feature::EVENT_IDX, std::uint16_t size = 256) {
    ring = Ring(ram, size, rings);
    if (!driver.negotiate(features) || !driver.enable_queue(0, ring)) return false;
    driver.add_status(status::DRIVER_OK);
    return (driver.in(MmioRegister::Status)&status::DRIVER_OK) != 0;
  }
  void offer(std::uint16_t head, std::uint32_t type, std::uint64_t sector, std::vector<Buffer> buffers) {
    const std::uint64_t header = headers + 64u * head;
    ram.put(header, axvm::virtio::BlkRequestHeader{type, 0, sector});
    ram.put<std::uint8_t>(header + 32, unanswered);
    buffers.insert(buffers.begin(), Buffer{header, 16, false});
    buffers.push_back({header + 32, 1, true});
    ring.describe(head, buffers);
    ring.offer(head);
  }
  unsigned answer(std::uint16_t head) { return ram.get<std::uint8_t>(headers + 64u * head + 32); }
  void put_ranges(std::uint64_t address, std::vector<BlkRange> const& ranges) {
    for (std::size_t i = 0; i < ranges.size(); ++i) ram.put(address + 16 * i, ranges[i]);
  }
  /// The image's descriptor becomes readable.
  void ready() { REQUIRE(events.ready(SlowDisk::descriptor, axvm::Interest::Readable)); }
  void end(std::size_t index = 0) {
    disk.end(index);
    ready();
  }
  /// Ends everything, in order.
  void end_all() {
    while (!disk.submitted.empty()) end();
  }

  Ram ram;
  fakes::InterruptRecorder interrupt;
  fakes::EventLoop events;
  SlowDisk disk;
  axvm::VirtioBlk::Config config{.path = "slow.img"};
  axvm::VirtioBlk::Resources resources{disk.image()};
  axvm::DeviceContext context = connect();
  axvm::VirtioBlk device{config, resources, context};
  Driver<axvm::VirtioBlk> driver{device};
  Ring ring{ram, 256, rings};

 private:
  axvm::DeviceContext connect() {
    axvm::DeviceContext made;
    made.memory = ram.memory;
    made.lines[0] = interrupt.line();
    made.events = events.events();
    return made;
  }
};

}  // namespace

TEST_CASE("virtio-blk queue: what a notification brings is submitted together, answers in any order") {
  SlowMachine m;
  for (std::size_t i = 0; i < m.disk.bytes.size(); ++i) m.disk.bytes[i] = static_cast<char>('a' + i / 512);
  REQUIRE(m.start());
  for (std::uint16_t i = 0; i < 3; ++i)
    m.offer(static_cast<std::uint16_t>(3 * i), IN, i, {{data + 512u * i, 512, true}});
  m.driver.kick();
  CHECK(m.disk.calls == "s");
  CHECK(m.disk.submitted.size() == 3);
  CHECK(m.ring.used_index() == 0);
  CHECK(m.interrupt.edges == 0);
  m.end(1);
  CHECK(m.ring.used_index() == 1);
  CHECK(m.ring.last_used().id == 3);
  CHECK(m.ring.last_used().len == 513);
  CHECK(m.answer(3) == OK);
  CHECK(m.answer(0) == unanswered);
  CHECK(m.ram.text(data + 512, 512) == std::string(512, 'b'));
  CHECK(m.interrupt.take() == 1);
  m.driver.acknowledge();
  // Two that end before anybody looks are one publication and one interrupt.
  m.disk.end(1);
  m.disk.end(0);
  m.ready();
  CHECK(m.ring.used_index() == 3);
  CHECK(m.ring.used_element(1).id == 6);
  CHECK(m.ring.used_element(2).id == 0);
  CHECK(m.interrupt.take() == 1);
  CHECK(m.device.counters.disk.bytes_read.value() == 3 * 512);
  CHECK(m.disk.performed == 0);
  m.ready();  // for nothing
  CHECK(m.ring.used_index() == 3);
}

TEST_CASE("virtio-blk queue: a request that moves in pieces") {
  SlowMachine m;
  for (std::size_t i = 0; i < m.disk.bytes.size(); ++i) m.disk.bytes[i] = static_cast<char>(i * 7 + i / 300);
  const std::string before = m.disk.bytes;
  REQUIRE(m.start());
  const std::vector<std::size_t> pieces{1, 100, 511, 512, 513, 700, 1536};
  for (const std::size_t most : pieces) {
    CAPTURE(most);
    m.disk.most = most;
    m.offer(0, IN, 3, {{data, 600, true}, {data + 0x1000, 36, true}, {data + 0x2000, 900, true}});
    m.offer(8, OUT, 20, {{data + 0x3000, 512, false}, {data + 0x4000, 512, false}});
    m.ram.put_text(data + 0x3000, std::string(512, 'x'));
    m.ram.put_text(data + 0x4000, std::string(512, 'y'));
    m.driver.kick();
    m.end_all();
    CHECK(m.answer(0) == OK);
    CHECK(m.answer(8) == OK);
    CHECK(m.ram.text(data, 600) + m.ram.text(data + 0x1000, 36) + m.ram.text(data + 0x2000, 900) ==
          before.substr(3 * 512, 1536));
    CHECK(m.disk.bytes.substr(20 * 512, 1024) == std::string(512, 'x') + std::string(512, 'y'));
    m.disk.bytes = before;
  }
  m.disk.most = 0;  // the image has become shorter
  m.offer(0, IN, 3, {{data, 512, true}});
  m.driver.kick();
  m.end_all();
  CHECK(m.answer(0) == IOERR);
  CHECK(m.ring.last_used().len == 0);
}

TEST_CASE("virtio-blk queue: of reads that end at once the driver sees the first while the others are carried out") {
  SlowMachine m(64 * 4096);
  REQUIRE(m.start());
  std::vector<std::uint16_t> seen;
  m.disk.quick = [&] { seen.push_back(m.ring.used_index()); };
  for (std::uint16_t i = 0; i < 20; ++i)
    m.offer(static_cast<std::uint16_t>(3 * i), IN, 8u * i, {{data + 4096u * i, 4096, true}});
  m.driver.kick();
  CHECK(m.ring.used_index() == 20);
  // 32 KiB at a time.
  REQUIRE(seen.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) CHECK(seen[i] == i / 8 * 8);
  CHECK(m.interrupt.edges == 3);
  CHECK(m.disk.calls.empty());
  m.offer(60, IN, 0, {{data, 4096, true}});
  m.driver.kick();
  CHECK(m.ring.used_index() == 21);
  CHECK(seen.back() == 20);
}

TEST_CASE("virtio-blk queue: what is shown in parts makes the interrupt that the driver waits for, when it is there") {
  SlowMachine m(64 * 4096);
  REQUIRE(m.start(~0ull));
  m.ring.set_used_event(11);
  std::vector<unsigned> edges;
  m.disk.quick = [&] { edges.push_back(m.interrupt.edges); };
  for (std::uint16_t i = 0; i < 20; ++i)
    m.offer(static_cast<std::uint16_t>(3 * i), IN, 8u * i, {{data + 4096u * i, 4096, true}});
  m.driver.kick();
  CHECK(m.ring.used_index() == 20);
  CHECK(m.interrupt.edges == 1);
  // With the sixteenth, which is shown together with the twelfth; before that nothing.
  REQUIRE(edges.size() == 20);
  CHECK(edges[15] == 0);
  CHECK(edges[16] == 1);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 1);
  m.driver.out(MmioRegister::InterruptACK, 1);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
}

TEST_CASE("virtio-blk queue: a driver that adds while the device is at work does not notify") {
  SlowMachine m(64 * 512);
  REQUIRE(m.start(~0ull));
  unsigned kicks = 0;
  std::uint16_t next = 1;
  auto add = [&] {
    const std::uint16_t before = m.ring.next;
    m.offer(static_cast<std::uint16_t>(3 * next), IN, next, {{data + 512u * next, 512, true}});
    ++next;
    if (m.ring.wants_kick(before)) ++kicks;
  };
  m.disk.quick = [&] {
    if (next < 40) add();
  };
  add();
  CHECK(kicks == 1);
  m.driver.kick();
  CHECK(m.ring.used_index() == 39);
  CHECK(kicks == 1);
  add();
  CHECK(kicks == 2);
}

TEST_CASE("virtio-blk queue: a write is handed over before a driver has read for long") {
  SlowMachine m(64 * 4096);
  REQUIRE(m.start());
  unsigned reads = 0, reads_before = 0;
  std::uint16_t next = 0;
  auto read = [&] {
    m.offer(static_cast<std::uint16_t>(next % 60 * 4), IN, 8u * (next % 60),
            {{data + 4096u * (next % 60), 4096, true}});
    ++next;
  };
  m.disk.quick = [&] {
    ++reads;
    if (m.disk.submitted.empty()) reads_before = reads;
    if (next < 60) read();
  };
  m.offer(252, OUT, 0, {{data, 512, false}});
  read();
  m.driver.kick();
  CHECK(reads == 60);
  CHECK(m.disk.count(BlockOperation::Write) == 1);
  CHECK(reads_before <= 8);
}

TEST_CASE("virtio-blk queue: what was left for want of room is served although another queue is taken away") {
  SlowMachine m(64 * 4096);
  Ring other(m.ram, 16, 0x1'8000);
  m.ring = Ring(m.ram, 256, SlowMachine::rings);
  REQUIRE(m.driver.negotiate(~0ull));
  REQUIRE(m.driver.enable_queue(0, m.ring));
  REQUIRE(m.driver.enable_queue(1, other));
  m.driver.add_status(status::DRIVER_OK);
  // Five segments each: there is room for 32 of them.
  for (std::uint16_t i = 0; i < 33; ++i) {
    std::vector<Buffer> buffers;
    for (unsigned k = 0; k < 5; ++k) buffers.push_back({data + 512u * k, 512, true});
    m.offer(static_cast<std::uint16_t>(7 * i), IN, 0, buffers);
  }
  m.driver.kick();
  REQUIRE(m.disk.submitted.size() == 32);
  m.driver.out(MmioRegister::QueueSel, 1);
  m.driver.out(MmioRegister::QueueReady, 0);
  CHECK(m.ring.used_index() == 32);
  m.events.advance(1'000'000);
  m.end_all();
  CHECK(m.ring.used_index() == 33);
}

TEST_CASE("virtio-blk queue: a fault after some answers were shown stops the device") {
  SlowMachine m(64 * 4096);
  REQUIRE(m.start());
  m.disk.quick = [] {};
  for (std::uint16_t i = 0; i < 8; ++i)
    m.offer(static_cast<std::uint16_t>(3 * i), IN, 8u * i, {{data + 4096u * i, 4096, true}});
  m.ring.offer(0x7000);
  m.driver.kick();
  CHECK(m.ring.used_index() == 8);
  CHECK((m.driver.in(MmioRegister::Status)&status::DEVICE_NEEDS_RESET) != 0);
}

TEST_CASE("virtio-blk queue: more than five hundred requests, ended in random order, are each answered once") {
  std::mt19937 random(1);
  for (const bool event_idx : {false, true}) {
    SlowMachine m(4096 * 512);
    for (std::size_t i = 0; i < m.disk.bytes.size(); ++i) m.disk.bytes[i] = static_cast<char>(i / 512 * 31 + i % 7);
    REQUIRE(m.start(event_idx ? ~0ull : ~feature::EVENT_IDX));
    std::map<std::uint16_t, std::pair<std::uint64_t, unsigned>> open;  // head: sector and how many
    std::uint16_t used = 0;
    unsigned answered = 0;
    for (unsigned step = 0; step < 4000; ++step) {
      const auto head = static_cast<std::uint16_t>(random() % 32 * 8);
      if (random() % 3 != 0 && !open.contains(head)) {
        // Up to six segments: some need room of their own.
        const auto sectors = static_cast<unsigned>(random() % 6 + 1);
        const std::uint64_t sector = random() % 4000, place = data + 0x1000u * (head / 8);
        std::vector<Buffer> buffers;
        for (unsigned i = 0; i < sectors; ++i) buffers.push_back({place + 512 * i, 512, true});
        m.offer(head, IN, sector, buffers);
        open[head] = {sector, sectors};
        if (random() % 4 != 0) m.driver.kick();
      } else if (!m.disk.submitted.empty()) {
        m.disk.end(random() % m.disk.submitted.size());
        if (random() % 2 == 0) m.ready();
      }
      for (; used != m.ring.used_index(); ++used, ++answered) {
        const auto element = m.ring.used_element(used);
        const auto id = static_cast<std::uint16_t>(element.id);
        REQUIRE(open.contains(id));
        const auto [sector, sectors] = open[id];
        REQUIRE(element.len == 512 * sectors + 1);
        REQUIRE(m.answer(id) == OK);
        REQUIRE(m.ram.text(data + 0x1000u * (id / 8), 512 * sectors) ==
                m.disk.bytes.substr(512 * sector, 512 * sectors));
        open.erase(id);
      }
    }
    CHECK(answered > 500);
    CHECK_FALSE(m.driver.needs_reset());
  }
}

TEST_CASE("virtio-blk queue: what finds no room waits, and is begun as soon as there is some") {
  SlowMachine m;
  REQUIRE(m.start());
  // 33 requests of five segments each; 32 can have room of their own.
  for (std::uint16_t i = 0; i < 33; ++i) {
    std::vector<Buffer> buffers;
    for (unsigned j = 0; j < 4; ++j) buffers.push_back({data + 100 * j, 100, true});
    buffers.push_back({data + 400, 112, true});
    m.offer(static_cast<std::uint16_t>(7 * i), IN, 0, buffers);
  }
  m.driver.kick();
  CHECK(m.disk.submitted.size() == 32);
  m.driver.kick();
  CHECK(m.disk.submitted.size() == 32);
  m.end(31);
  CHECK(m.disk.submitted.size() == 32);
  CHECK(m.ring.used_index() == 1);
  m.end_all();
  CHECK(m.ring.used_index() == 33);
  CHECK(m.answer(7 * 32) == OK);
}

TEST_CASE("virtio-blk queue: one flush at a time, for all that wait, and writes go on beside it") {
  SlowMachine m;
  REQUIRE(m.start());
  m.ram.put_text(data, std::string(512, 'w'));
  m.offer(0, FLUSH, 0, {});
  m.driver.kick();
  CHECK(m.disk.count(BlockOperation::Flush) == 1);
  m.offer(3, OUT, 0, {{data, 512, false}});
  m.offer(6, FLUSH, 0, {});
  m.offer(9, FLUSH, 0, {});
  m.driver.kick();
  // The write does not wait; the later flushes do, for the first one may not cover what was done before them.
  CHECK(m.disk.count(BlockOperation::Flush) == 1);
  CHECK(m.disk.count(BlockOperation::Write) == 1);
  m.end(1);
  CHECK(m.answer(3) == OK);
  m.end(0);
  CHECK(m.answer(0) == OK);
  CHECK(m.answer(6) == unanswered);
  CHECK(m.disk.count(BlockOperation::Flush) == 1);
  m.end(0);
  CHECK(m.answer(6) == OK);
  CHECK(m.answer(9) == OK);
  CHECK(m.device.counters.disk.flushes.value() == 2);
  CHECK(m.disk.stable.substr(0, 512) == std::string(512, 'w'));
  m.disk.errors[BlockOperation::Flush] = EIO;
  m.offer(0, FLUSH, 0, {});
  m.driver.kick();
  m.end(0);
  CHECK(m.answer(0) == IOERR);
}

TEST_CASE("virtio-blk queue: write-through: a write is answered when it is stable") {
  SlowMachine m;
  SUBCASE("because the driver knows no flush") { REQUIRE(m.start(~feature::EVENT_IDX & ~blk_feature::FLUSH)); }
  SUBCASE("because it wants so, and did before the machine was saved") {
    REQUIRE(m.start());
    m.device.state.writeback = false;
    m.device.restored();
  }
  m.ram.put_text(data, std::string(1024, 't'));
  m.offer(0, OUT, 0, {{data, 512, false}});
  m.offer(3, OUT, 1, {{data, 512, false}});
  m.driver.kick();
  m.end(0);
  CHECK(m.answer(0) == unanswered);
  CHECK(m.disk.count(BlockOperation::Flush) == 1);
  m.end(0);  // the second write, while the flush is under way
  CHECK(m.answer(3) == unanswered);
  m.end(0);
  CHECK(m.answer(0) == OK);
  CHECK(m.answer(3) == unanswered);
  m.end(0);
  CHECK(m.answer(3) == OK);
  m.disk.errors[BlockOperation::Flush] = ENOSPC;
  m.offer(0, OUT, 0, {{data, 512, false}});
  m.driver.kick();
  m.end_all();
  CHECK(m.answer(0) == IOERR);
}

TEST_CASE("virtio-blk queue: errors of the host become I/O errors") {
  SlowMachine m;
  REQUIRE(m.start());
  m.disk.errors[BlockOperation::Read] = EIO;
  m.disk.errors[BlockOperation::Write] = ENOSPC;
  m.offer(0, IN, 0, {{data, 512, true}});
  m.offer(3, OUT, 0, {{data, 512, false}});
  m.driver.kick();
  m.end_all();
  CHECK(m.answer(0) == IOERR);
  CHECK(m.ring.used_element(0).len == 0);
  CHECK(m.answer(3) == IOERR);
  CHECK(m.device.counters.disk.errors.value() == 2);
  CHECK_FALSE(m.driver.needs_reset());
}

TEST_CASE("virtio-blk queue: what the queue cannot take or gives back is carried out at once") {
  SlowMachine m;
  m.disk.bytes[0] = '!';
  REQUIRE(m.start());
  SUBCASE("not taken") {
    m.disk.takes = false;
    m.offer(0, IN, 0, {{data, 512, true}});
    m.offer(3, FLUSH, 0, {});
    m.driver.kick();
  }
  SUBCASE("given back") {
    m.disk.errors[BlockOperation::Read] = m.disk.errors[BlockOperation::Flush] = axvm::BlockImage::perform_now;
    m.offer(0, IN, 0, {{data, 512, true}});
    m.offer(3, FLUSH, 0, {});
    m.driver.kick();
    m.disk.end();
    m.disk.end();
    m.disk.errors.clear();
    m.ready();
  }
  CHECK(m.disk.performed == 2);
  CHECK(m.answer(0) == OK);
  CHECK(m.answer(3) == OK);
  CHECK(m.ram.text(data, 1) == "!");
}

TEST_CASE("virtio-blk queue: without an event loop to wait in, requests are carried out at once") {
  SlowMachine m;
  axvm::DeviceContext context = m.context;
  context.events = {};
  axvm::VirtioBlk device(m.config, m.resources, context);
  Driver driver(device);
  REQUIRE(driver.negotiate(~feature::EVENT_IDX));
  REQUIRE(driver.enable_queue(0, m.ring));
  driver.add_status(status::DRIVER_OK);
  m.offer(0, IN, 0, {{data, 512, true}});
  driver.kick();
  CHECK(m.answer(0) == OK);
  CHECK(m.disk.performed == 1);
}

TEST_CASE("virtio-blk queue: a reset calls off what is under way and touches nothing afterwards") {
  SlowMachine m;
  m.disk.bytes.assign(m.disk.bytes.size(), 'd');
  REQUIRE(m.start());
  for (std::uint16_t i = 0; i < 40; ++i) m.offer(static_cast<std::uint16_t>(3 * i), IN, 0, {{data, 512, true}});
  m.offer(130, FLUSH, 0, {});
  m.driver.kick();
  CHECK(m.disk.submitted.size() == 41);
  m.driver.out(MmioRegister::Status, 0);
  CHECK(m.disk.cancelled);
  CHECK(m.disk.submitted.empty());
  CHECK(m.disk.ended.empty());
  CHECK(m.ram.text(data, 512) == std::string(512, '\0'));
  CHECK(m.answer(0) == unanswered);
  CHECK(m.ring.used_index() == 0);
  m.disk.cancelled = false;
  REQUIRE(m.start());
  m.offer(0, IN, 0, {{data, 512, true}});
  m.offer(3, FLUSH, 0, {});
  m.driver.kick();
  m.end_all();
  CHECK(m.answer(0) == OK);
  CHECK(m.answer(3) == OK);
  CHECK(m.ring.used_index() == 2);
}

TEST_CASE("virtio-blk queue: a device that goes leaves nothing under way") {
  SlowMachine m;
  axvm::BlockImage image = m.disk.image();
  {
    axvm::VirtioBlk::Resources resources{std::move(image)};
    axvm::VirtioBlk device(m.config, resources, m.context);
    Driver driver(device);
    REQUIRE(driver.negotiate(~feature::EVENT_IDX));
    REQUIRE(driver.enable_queue(0, m.ring));
    driver.add_status(status::DRIVER_OK);
    m.offer(0, IN, 0, {{data, 512, true}});
    driver.kick();
    CHECK(m.disk.submitted.size() == 1);
  }
  CHECK(m.disk.submitted.empty());
}

TEST_CASE("virtio-blk queue: a machine that stops has every request answered in the state that is saved") {
  SlowMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX & ~blk_feature::FLUSH));
  m.ram.put_text(data, std::string(512, 'w'));
  m.offer(0, OUT, 0, {{data, 512, false}});
  m.offer(3, IN, 1, {{data + 512, 512, true}});
  m.driver.kick();
  m.offer(6, IN, 1, {{data + 512, 512, true}});  // not taken yet
  m.device.quiesce();
  CHECK(m.answer(0) == OK);
  CHECK(m.answer(3) == OK);
  CHECK(m.answer(6) == unanswered);
  CHECK(m.disk.stable.substr(0, 512) == std::string(512, 'w'));
  CHECK(m.device.state.transport.queues[0].used_index == 2);
  CHECK(m.device.state.transport.queues[0].next_available == 2);
  m.driver.kick();
  m.end_all();
  CHECK(m.answer(6) == OK);
}

TEST_CASE("virtio-blk: discard and write-zeroes, range after range") {
  SlowMachine m;
  m.disk.bytes.assign(m.disk.bytes.size(), '.');
  REQUIRE(m.start());
  CHECK((m.driver.offered() & blk_feature::DISCARD) != 0);
  CHECK((m.driver.offered() & blk_feature::WRITE_ZEROES) != 0);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, max_discard_seg), 4) == 32);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, max_discard_sectors), 4) == 2u << 20);
  CHECK(m.driver.in(0x100 + offsetof(BlkConfig, write_zeroes_may_unmap), 1) == 1);
  m.put_ranges(data, {{1, 2, 0}, {10, 0, 0}, {60, 4, 0}});
  m.put_ranges(data + 0x100, {{5, 1, BlkRange::UNMAP}, {7, 1, 0}});
  // The ranges need not lie in one piece either.
  m.offer(0, DISCARD, 99, {{data, 7, false}, {data + 7, 30, false}, {data + 37, 11, false}});
  m.offer(8, WRITE_ZEROES, 99, {{data + 0x100, 32, false}});
  m.driver.kick();
  m.end_all();
  CHECK(m.answer(0) == OK);
  CHECK(m.answer(8) == OK);
  CHECK(m.ring.last_used().len == 1);
  std::string sectors;
  for (std::size_t i = 0; i < 64; ++i) sectors += m.disk.bytes[512 * i];
  CHECK(sectors == ".DD..U.Z" + std::string(52, '.') + "DDDD");
  CHECK(m.device.counters.disk.bytes_discarded.value() == 6 * 512);
  CHECK(m.device.counters.disk.bytes_zeroed.value() == 2 * 512);
}

TEST_CASE("virtio-blk: ranges that cannot be") {
  SlowMachine m;
  const std::string before = m.disk.bytes;
  REQUIRE(m.start());
  auto status_of = [&](std::uint32_t type, std::vector<BlkRange> const& ranges, std::uint32_t extra = 0) {
    m.put_ranges(data, ranges);
    m.offer(0, type, 0, {{data, static_cast<std::uint32_t>(16 * ranges.size() + extra), false}});
    m.driver.kick();
    m.end_all();
    return m.answer(0);
  };
  for (const std::uint32_t type : {DISCARD, WRITE_ZEROES}) {
    CAPTURE(type);
    CHECK(status_of(type, {{0, 65, 0}}) == IOERR);
    CHECK(status_of(type, {{64, 1, 0}}) == IOERR);
    CHECK(status_of(type, {{~0ull, 2, 0}}) == IOERR);
    CHECK(status_of(type, {{1ull << 55, 1, 0}}) == IOERR);
    CHECK(status_of(type, {{0, 0xffff'ffff, 0}}) == IOERR);
    CHECK(status_of(type, {{0, 1, 2}}) == UNSUPP);
    CHECK(status_of(type, {{0, 1, 0x8000'0000}}) == UNSUPP);
    CHECK(status_of(type, {{0, 0, 0}}, 1) == IOERR);
    CHECK(status_of(type, std::vector<BlkRange>(33)) == IOERR);
    CHECK(status_of(type, std::vector<BlkRange>(32)) == OK);
    m.offer(0, type, 0, {});
    m.driver.kick();
    CHECK(m.answer(0) == IOERR);
  }
  CHECK(status_of(DISCARD, {{0, 1, BlkRange::UNMAP}}) == UNSUPP);
  CHECK(m.disk.bytes == before);
  CHECK_FALSE(m.driver.needs_reset());
  // What comes before a bad range is done.
  CHECK(status_of(DISCARD, {{0, 1, 0}, {64, 1, 0}}) == IOERR);
  CHECK(m.disk.bytes[0] == 'D');
  CHECK(m.device.counters.disk.bytes_discarded.value() == 0);
  m.disk.errors[BlockOperation::Discard] = axvm::BlockImage::unsupported;
  CHECK(status_of(DISCARD, {{0, 1, 0}}) == UNSUPP);
  m.disk.errors[BlockOperation::Discard] = ENOSPC;
  CHECK(status_of(DISCARD, {{0, 1, 0}}) == IOERR);
}

TEST_CASE("virtio-blk: a read-only disk has no discard") {
  SlowMachine m;
  axvm::VirtioBlk device({.path = "a.img", .read_only = true}, m.resources, m.context);
  Driver driver(device);
  CHECK((driver.offered() & (blk_feature::DISCARD | blk_feature::WRITE_ZEROES)) == 0);
  REQUIRE(driver.negotiate(~feature::EVENT_IDX));
  REQUIRE(driver.enable_queue(0, m.ring));
  driver.add_status(status::DRIVER_OK);
  m.put_ranges(data, {{0, 1, 0}});
  m.offer(0, DISCARD, 0, {{data, 16, false}});
  driver.kick();
  CHECK(m.answer(0) == IOERR);
  CHECK(m.disk.submitted.empty());
}

TEST_CASE("virtio-blk: the shape of the image is the shape of the disk") {
  SlowDisk disk(1 << 20);
  disk.shape = {.logical_block = 1024, .physical_block = 8192, .first_block = 2048, .best_size = 65536};
  axvm::BlockImage image = disk.image();
  axvm::virtio::BlkCounters counters;
  BlkCore core(image, false, "id", counters, 3);
  BlkConfig config;
  REQUIRE(core.config().size() == sizeof config);
  std::memcpy(&config, core.config().data(), sizeof config);
  CHECK(config.capacity == 2048);
  CHECK(config.blk_size == 1024);
  CHECK(config.physical_block_exp == 3);
  CHECK(config.alignment_offset == 2);
  CHECK(config.min_io_size == 8);
  CHECK(config.opt_io_size == 64);
  CHECK(config.num_queues == 3);
  CHECK(core.queue_count() == 3);
  CHECK((core.features() & blk_feature::MQ) != 0);
  CHECK((core.features() & (blk_feature::DISCARD | blk_feature::WRITE_ZEROES)) == 0);
  CHECK(config.max_discard_sectors == 0);
  BlkCore single(image, false, "id", counters);
  CHECK((single.features() & blk_feature::MQ) == 0);
}

TEST_CASE("virtio-blk: writeback is the driver's choice, and what was written before it is flushed") {
  SlowDisk disk(1 << 20);
  axvm::BlockImage image = disk.image();
  axvm::virtio::BlkCounters counters;
  BlkCore core(image, false, "id", counters);
  const std::byte off[] = {std::byte{0}}, on[] = {std::byte{1}};
  constexpr std::size_t field = offsetof(BlkConfig, writeback);
  CHECK(core.writeback());
  core.write_config(field, off);
  CHECK_FALSE(core.writeback());
  CHECK(core.config()[field] == std::byte{0});
  CHECK(disk.performed == 1);
  core.write_config(field, on);
  CHECK(core.writeback());
  CHECK(disk.performed == 1);
  // Nothing else can be written, and a wider access is taken by its byte.
  const std::vector<std::byte> before(core.config().begin(), core.config().end());
  for (std::size_t offset = 0; offset < 72; ++offset)
    if (offset != field) core.write_config(offset, off);
  CHECK(std::vector<std::byte>(core.config().begin(), core.config().end()) == before);
  const std::byte wide[] = {std::byte{9}, std::byte{0}, std::byte{9}, std::byte{9}};
  core.write_config(field - 1, wide);
  CHECK_FALSE(core.writeback());
  core.reset();
  CHECK(core.writeback());
}

TEST_CASE("virtio-blk: several queues share what is under way") {
  SlowMachine m;
  axvm::VirtioBlk device({.path = "a.img", .queues = 2}, m.resources, m.context);
  Driver driver(device);
  REQUIRE((driver.offered() & blk_feature::MQ) != 0);
  REQUIRE(driver.negotiate(~feature::EVENT_IDX));
  Ring second(m.ram, 256, 0x1'0000);
  REQUIRE(driver.enable_queue(0, m.ring));
  REQUIRE(driver.enable_queue(1, second));
  driver.add_status(status::DRIVER_OK);
  m.offer(0, IN, 0, {{data, 512, true}});
  driver.kick(0);
  std::swap(m.ring, second);
  m.offer(3, IN, 1, {{data + 512, 512, true}});
  driver.kick(1);
  CHECK(m.disk.submitted.size() == 2);
  m.end(1);
  CHECK(m.ring.used_index() == 1);
  CHECK(m.ring.last_used().id == 3);
  CHECK(second.used_index() == 0);
  m.end(0);
  CHECK(second.used_index() == 1);
  CHECK(second.last_used().id == 0);
}
