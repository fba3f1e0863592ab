#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/host/device_lock.hpp>
#include <axvm/io/io.hpp>

#include "scratch.hpp"
#include "virtio_driver.hpp"

using namespace axvm;
using guest::Buffer;
using guest::MmioRegister;

namespace {

constexpr std::uint32_t IN = 0, OUT = 1, FLUSH = 4, DISCARD = 11;

/// A disk on a real file with a real event loop; this thread plays the processor, under the device's lock.
class FileMachine {
 public:
  static constexpr std::uint64_t rings = 0x8000, headers = 0x2'0000;

  FileMachine(Path const& path, ImageOptions const& options) : resources{opened(path, options)} {
    REQUIRE(loop.open());
    context.memory = ram.memory;
    context.lines[0] = IrqLine(this, [](void* self, bool high) {
      const std::uint64_t one = 1;
      if (high && ::write(static_cast<FileMachine*>(self)->interrupts.get(), &one, sizeof one) != sizeof one)
        std::abort();
    });
    context.events = EventLoop::events_of(owner);
    device.emplace(config, resources, context);
    REQUIRE(loop.start());
    guest::Driver driver(*this);
    REQUIRE(driver.negotiate(~0ull));
    REQUIRE(driver.enable_queue(0, ring));
    driver.add_status(guest::status::DRIVER_OK);
  }
  ~FileMachine() {
    loop.stop();
    loop.forget(owner);
  }

  void read(MmioAccess& access) {
    Holding holding(lock);
    device->read(access);
  }
  void write(MmioAccess const& access) {
    Holding holding(lock);
    device->write(access);
  }

  void offer(std::uint16_t head, std::uint32_t type, std::uint64_t sector, std::vector<Buffer> buffers) {
    const std::uint64_t header = headers + 64u * head;
    ram.put(header, virtio::BlkRequestHeader{type, 0, sector});
    ram.put<std::uint8_t>(header + 32, 0xee);
    buffers.insert(buffers.begin(), Buffer{header, 16, false});
    buffers.push_back({header + 32, 1, true});
    ring.describe(head, buffers);
    ring.offer(head);
  }
  void kick() { guest::Driver(*this).kick(); }
  /// Waits until the device has something to show from `seen` on; acknowledges the interrupt as Linux does.
  void wait(std::uint16_t seen) {
    for (;;) {
      guest::Driver(*this).acknowledge();
      REQUIRE(ram.memory.store_release(ring.available + ring.layout.used_event(), seen));
      __atomic_thread_fence(__ATOMIC_SEQ_CST);  // the device publishes, then looks what we want to hear of
      if (used_index() != seen) return;
      pollfd waiting{interrupts.get(), POLLIN, 0};
      REQUIRE(::poll(&waiting, 1, 20'000) == 1);
      std::uint64_t value = 0;
      REQUIRE(::read(interrupts.get(), &value, sizeof value) == sizeof value);
    }
  }
  std::uint16_t used_index() {
    return ram.memory.load_acquire<std::uint16_t>(ring.used + virtio::RingLayout::idx).value();
  }
  std::uint8_t answer(std::uint16_t head) { return ram.get<std::uint8_t>(headers + 64u * head + 32); }

  guest::Ram ram;
  Descriptor interrupts{::eventfd(0, EFD_CLOEXEC)};
  DeviceLock lock;
  EventLoop loop;
  EventLoop::Owner owner{&loop, LockReference::to(lock)};
  VirtioBlk::Config config{.path = "disk"};
  VirtioBlk::Resources resources;
  DeviceContext context;
  std::optional<VirtioBlk> device;
  guest::Ring ring{ram, 256, rings};

 private:
  static BlockImage opened(Path const& path, ImageOptions const& options) {
    auto image = BlockFile::open(path, options);
    REQUIRE(image);
    return *std::move(image);
  }
};

}  // namespace

TEST_CASE("virtio-blk on a file: many requests at once, each answered once and right") {
  const scratch::Directory directory;
  constexpr std::size_t sectors = 2048;
  for (const ImageOptions options :
       {ImageOptions{}, ImageOptions{.at_once = false}, ImageOptions{.queue = false}, ImageOptions{.direct = true}}) {
    CAPTURE(options.direct);
    CAPTURE(options.queue);
    std::string expected(sectors * 512, '\0');
    directory.put("disk", expected);
    if (options.direct && !BlockFile::open(directory.path("disk"), options)) {
      MESSAGE("this file system has no direct access");
      continue;
    }
    FileMachine m(directory.path("disk"), options);
    std::mt19937 random(7);
    struct Request {
      std::uint32_t type = 0;
      std::uint64_t sector = 0;
      std::size_t size = 0;
    };
    std::map<std::uint16_t, Request> open;
    std::uint16_t used = 0;
    unsigned begun = 0;
    while (begun < 3000 || !open.empty()) {
      // Each head has sectors of its own, so that the order of requests does not matter.
      for (unsigned i = 0; i < 16 && begun < 3000; ++i) {
        const auto slot = static_cast<std::uint16_t>(random() % 32);
        const auto head = static_cast<std::uint16_t>(8 * slot);
        if (open.contains(head)) continue;
        const std::uint64_t sector = 64 * slot + random() % 48;
        const std::size_t size = 512 * (random() % 16 + 1);
        const std::uint64_t place = 0x4'0000 + 0x2000u * slot;
        const auto half = static_cast<std::uint32_t>(size / 2);
        const unsigned choice = static_cast<unsigned>(random() % 8);
        if (choice == 0) {
          m.offer(head, FLUSH, 0, {});
          open[head] = {FLUSH, 0, 0};
        } else if (choice < 4) {
          const std::string text(size, static_cast<char>(random()));
          m.ram.put_text(place, text);
          expected.replace(512 * sector, size, text);
          m.offer(head, OUT, sector, {{place, half, false}, {place + half, half, false}});
          open[head] = {OUT, sector, size};
        } else {
          m.offer(head, IN, sector, {{place, half, true}, {place + half, half, true}});
          open[head] = {IN, sector, size};
        }
        ++begun;
      }
      m.kick();
      m.wait(used);
      for (; used != m.used_index(); ++used) {
        const auto element = m.ring.used_element(used);
        const auto head = static_cast<std::uint16_t>(element.id);
        REQUIRE(open.contains(head));
        const Request request = open[head];
        open.erase(head);
        REQUIRE(m.answer(head) == 0);
        if (request.type != IN) continue;
        REQUIRE(element.len == request.size + 1);
        REQUIRE(m.ram.text(0x4'0000 + 0x2000u * (head / 8), request.size) ==
                expected.substr(512 * request.sector, request.size));
      }
    }
    m.offer(0, DISCARD, 0, {{0x4'0000, 16, false}});
    m.ram.put(0x4'0000, virtio::BlkRange{0, sectors / 2, 0});
    m.kick();
    m.wait(used);
    CHECK(m.answer(0) == 0);
    expected.replace(0, sectors / 2 * 512, sectors / 2 * 512, '\0');
    CHECK(directory.contents("disk") == expected);
  }
}

TEST_CASE("virtio-blk on a file: a file that grows makes the disk grow, one that shrinks makes it shrink") {
  const scratch::Directory directory;
  directory.put("disk", std::string(8 * 512, 'a'));
  FileMachine m(directory.path("disk"), {});
  guest::Driver driver(m);
  const auto capacity = [&] { return driver.in(0x100, 4); };
  const auto resized = [&](off_t size) {
    REQUIRE(::truncate(directory.name("disk").c_str(), size) == 0);
    Holding holding(m.lock);
    m.device->image_resized();
  };
  const auto read = [&](std::uint64_t sector) {
    const std::uint16_t seen = m.used_index();
    m.offer(0, IN, sector, {{0x4'0000, 512, true}});
    m.kick();
    m.wait(seen);
    return unsigned{m.answer(0)};
  };
  CHECK(capacity() == 8);
  CHECK(read(8) == 1);
  const std::uint32_t generation = driver.in(MmioRegister::ConfigGeneration);
  resized(8 * 512);
  CHECK(driver.in(MmioRegister::ConfigGeneration) == generation);
  CHECK((driver.in(MmioRegister::InterruptStatus)&virtio::interrupt::configuration_change) == 0);
  resized(16 * 512);
  CHECK(capacity() == 16);
  CHECK(driver.in(MmioRegister::ConfigGeneration) == generation + 1);
  CHECK((driver.acknowledge() & virtio::interrupt::configuration_change) != 0);
  CHECK(read(8) == 0);
  CHECK(m.ram.get<std::uint8_t>(0x4'0000) == 0);
  resized(4 * 512);
  CHECK(capacity() == 4);
  CHECK(read(4) == 1);
  CHECK(read(3) == 0);
  CHECK(m.ram.get<std::uint8_t>(0x4'0000) == 'a');
}

TEST_CASE("virtio-blk on a file: resets with requests under way") {
  const scratch::Directory directory;
  FileMachine m(directory.put("disk", std::string(1 << 20, 'r')), {});
  guest::Driver driver(m);
  for (unsigned round = 0; round < 50; ++round) {
    m.ring = guest::Ring(m.ram, 256, FileMachine::rings);
    REQUIRE(driver.negotiate(~0ull));
    REQUIRE(driver.enable_queue(0, m.ring));
    driver.add_status(guest::status::DRIVER_OK);
    for (std::uint16_t i = 0; i < 60; ++i) {
      const auto head = static_cast<std::uint16_t>(4 * i);
      m.offer(head,
              i % 3 == 0   ? OUT
              : i % 3 == 1 ? IN
                           : FLUSH,
              0, i % 3 == 2 ? std::vector<Buffer>{} : std::vector<Buffer>{{0x4'0000, 4096, i % 3 == 1}});
    }
    driver.kick();
    driver.out(MmioRegister::Status, 0);
    const std::uint16_t used = m.used_index();
    REQUIRE(m.ram.memory.fill(0x4'0000, 4096, std::byte{'g'}));
    // Nothing comes any more: the loop has gone round once when it answers this.
    m.loop.stop();
    CHECK(m.used_index() == used);
    CHECK(m.ram.text(0x4'0000, 4096) == std::string(4096, 'g'));
    REQUIRE(m.loop.start());
  }
  CHECK_FALSE(driver.needs_reset());
}
