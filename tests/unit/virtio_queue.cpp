#include <doctest/doctest.h>

#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>
#include <utility>

#include "virtio_driver.hpp"

using namespace guest;
using namespace axvm::virtio;

namespace {

/// A queue of `size` entries without a device.
struct Bare {
  explicit Bare(std::uint16_t size, std::uint64_t features = feature::INDIRECT_DESC) : ring(ram, size, 0x8000) {
    state = {
        .size = size, .descriptor_area = ring.descriptors, .driver_area = ring.available, .device_area = ring.used};
    REQUIRE(queue.start(1024, features) == RingFault::None);
  }
  Ram ram;
  Ring ring;
  QueueState state;
  axvm::GuestMemory const& memory = ram.memory;
  Queue queue{state, memory};
  std::array<axvm::Segment, 16> segments{};
  Chain chain{segments};
};

std::string joined(std::span<const axvm::Segment> segments) {
  std::string out(size_of(segments), ' ');
  REQUIRE(gather(segments, 0, std::as_writable_bytes(std::span(out))));
  return out;
}

/// Guest memory whose page at 0x2000 calls back on the first write to it, just before the write happens.
struct Trap {
  inline static std::byte* pages = nullptr;
  inline static void (*act)() = nullptr;

  static void spring(int, siginfo_t*, void*) {
    mprotect(pages + 0x2000, 0x1000, PROT_READ | PROT_WRITE);
    act();
  }
  explicit Trap(void (*action)()) {
    pages = static_cast<std::byte*>(mmap(nullptr, 0x3000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    act = action;
    struct sigaction handler{};
    handler.sa_sigaction = spring;
    handler.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &handler, &before);
    mprotect(pages + 0x2000, 0x1000, PROT_READ);
  }
  ~Trap() {
    sigaction(SIGSEGV, &before, nullptr);
    munmap(pages, 0x3000);
  }
  struct sigaction before{};
};

}  // namespace

TEST_CASE("virtio segments: bytes are found whatever the cuts") {
  std::string a = "abc", b = "d", c = "efghij";
  auto segment = [](std::string& text) {
    return axvm::Segment{reinterpret_cast<std::byte*>(text.data()), text.size()};
  };
  for (std::size_t offset = 0; offset <= 10; ++offset)
    for (std::size_t length = 0; offset + length <= 10; ++length) {
      std::array segments{segment(a), segment(b), segment(c)};
      std::string expected = std::string("abcdefghij").substr(offset, length);
      std::string copy(length, '?');
      CHECK(gather(segments, offset, std::as_writable_bytes(std::span(copy))));
      CHECK(copy == expected);
      CHECK(joined(narrow(segments, offset, length)) == expected);
    }
  std::array segments{segment(a), segment(b), segment(c)};
  std::string copy(5, '?');
  CHECK_FALSE(gather(segments, 6, std::as_writable_bytes(std::span(copy))));
  CHECK_FALSE(gather(segments, ~0ull, std::as_writable_bytes(std::span(copy))));
  CHECK(copy == "?????");
  CHECK(narrow(segments, 6, 5).empty());
  CHECK(narrow(segments, 11, 0).empty());
  CHECK_FALSE(scatter(segments, 8, std::as_bytes(std::span(copy))));
  CHECK(c == "efghij");
  CHECK(scatter(segments, 2, std::as_bytes(std::span(copy))));
  CHECK(a + b + c == "ab?????hij");
}

TEST_CASE("virtio queue: chains may be handed back in any order, and are seen when published") {
  Bare q(8);
  for (std::uint16_t head : std::array<std::uint16_t, 3>{6, 1, 3}) {
    q.ring.describe(head, {{0x2'0000u + head, 1, true}});
    q.ring.offer(head);
  }
  CHECK(q.queue.refresh() == 3);
  for (std::uint16_t head : std::array<std::uint16_t, 3>{6, 1, 3}) {
    REQUIRE(q.queue.pop(q.chain));
    CHECK(q.chain.head() == head);
    CHECK(q.chain.writable_size() == 1);
  }
  CHECK_FALSE(q.queue.pop(q.chain));
  q.queue.push(3, 1);
  q.queue.push(6, 0);
  CHECK(q.ring.used_index() == 0);
  CHECK(q.queue.publish());
  CHECK(q.ring.used_index() == 2);
  CHECK(q.ring.used_element(0).id == 3);
  CHECK(q.ring.used_element(0).len == 1);
  CHECK(q.ring.used_element(1).id == 6);
  CHECK_FALSE(q.queue.publish());
  q.queue.push(1, 1);
  CHECK(q.queue.publish());
  CHECK(q.ring.used_index() == 3);
}

TEST_CASE("virtio queue: a head is handed back once, and only if it was taken") {
  Bare q(8);
  q.ring.describe(2, {{0x2'0000, 1, true}});
  q.ring.offer(2);
  q.queue.refresh();
  REQUIRE(q.queue.pop(q.chain));
  q.queue.push(5, 1);
  q.queue.push(0xffff, 1);
  q.queue.push(2, 1);
  q.queue.push(2, 1);
  CHECK(q.queue.publish());
  CHECK(q.ring.used_index() == 1);
  q.queue.push(2, 1);
  CHECK_FALSE(q.queue.publish());
}

TEST_CASE("virtio queue: a head in flight over several rounds is not taken again, and afterwards it is") {
  Bare q(8);
  q.ring.describe(2, {{0x2'0000, 1, true}});
  q.ring.offer(2);
  q.queue.refresh();
  REQUIRE(q.queue.pop(q.chain));
  SUBCASE("in flight") {}
  SUBCASE("handed back but not seen") { q.queue.push(2, 0); }
  SUBCASE("seen") {
    q.queue.push(2, 0);
    CHECK(q.queue.publish());
    q.ring.offer(2);
    q.queue.refresh();
    CHECK(q.queue.pop(q.chain));
    q.queue.push(2, 0);
    CHECK(q.queue.publish());
    return;
  }
  q.ring.offer(2);
  q.queue.refresh();
  CHECK_FALSE(q.queue.pop(q.chain));
  CHECK(q.queue.fault() == RingFault::HeadInFlight);
  CHECK_FALSE(q.queue.running());
  CHECK(q.queue.refresh() == 0);
}

TEST_CASE("virtio queue: chains that the owner has no room for") {
  Bare q(32);
  q.ring.describe(0, std::vector<Buffer>(16, Buffer{0x2'0000, 1, true}));
  q.ring.offer(0);
  q.queue.refresh();
  CHECK(q.queue.pop(q.chain));
  q.ring.describe(1, std::vector<Buffer>(17, Buffer{0x2'0000, 1, true}));
  q.ring.offer(1);
  q.queue.refresh();
  CHECK_FALSE(q.queue.pop(q.chain));
  CHECK(q.queue.fault() == RingFault::TooManySegments);
}

TEST_CASE("virtio queue: readable and writable parts, and a buffer over a region's seam") {
  Bare q(8);
  q.ram.put_text(Ram::seam - 3, "abcdef");
  q.ring.describe(0, {{Ram::seam - 3, 6, false}, {0x2'0000, 10, true}, {0x3'0000, 20, true}});
  q.ring.offer(0);
  q.queue.refresh();
  REQUIRE(q.queue.pop(q.chain));
  CHECK(joined(q.chain.readable()) == "abcdef");
  CHECK(q.chain.readable().size() == 2);
  CHECK(q.chain.readable_size() == 6);
  CHECK(q.chain.writable().size() == 2);
  CHECK(q.chain.writable_size() == 30);
}

TEST_CASE("virtio queue: a full queue of 1024, every round bounded by it") {
  Bare q(1024);
  for (std::uint16_t head = 0; head < 1024; ++head) q.ring.describe(head, {{0x2'0000, 1, true}});
  for (std::uint16_t head = 0; head < 1024; ++head) q.ring.offer(head);
  CHECK(q.queue.refresh() == 1024);
  unsigned taken = 0;
  while (q.queue.pop(q.chain)) {
    q.queue.push(q.chain.head(), 1);
    ++taken;
  }
  CHECK(taken == 1024);
  CHECK(q.queue.publish());
  CHECK(q.ring.used_index() == 1024);
  CHECK(q.queue.fault() == RingFault::None);
}

TEST_CASE("virtio queue: an index that goes back between two looks is a fault") {
  Bare q(8);
  q.ring.describe(0, {{0x2'0000, 1, true}});
  q.ring.offer(0);
  q.ring.offer(0);
  CHECK(q.queue.refresh() == 2);
  q.ram.put<std::uint16_t>(q.ring.available + RingLayout::idx, 1);
  CHECK(q.queue.refresh() == 0);
  CHECK(q.queue.fault() == RingFault::IndexJump);
}

TEST_CASE("virtio queue: a stopped queue does nothing") {
  Bare q(8);
  q.ring.describe(0, {{0x2'0000, 1, true}});
  q.ring.offer(0);
  q.queue.refresh();
  REQUIRE(q.queue.pop(q.chain));
  q.queue.stop();
  q.queue.push(0, 1);
  CHECK_FALSE(q.queue.publish());
  CHECK(q.queue.refresh() == 0);
  CHECK_FALSE(q.queue.pop(q.chain));
  CHECK(q.ring.used_index() == 0);
}

TEST_CASE("virtio queue: what the driver adds while the device asks to be notified is in the round") {
  constexpr std::uint64_t driver_area = 0x1000, device_area = 0x2000;
  auto index = [] { return reinterpret_cast<std::uint16_t*>(Trap::pages + driver_area + RingLayout::idx); };
  // The device has seen one chain and is about to write avail_event; now come two more, for which the driver, seeing
  // the old avail_event, would not notify.
  Trap trap([] { *reinterpret_cast<std::uint16_t*>(Trap::pages + driver_area + RingLayout::idx) = 3; });
  *index() = 1;
  axvm::GuestRegion const region{0, 0x3000, Trap::pages};
  axvm::GuestMemory const memory(std::span(&region, 1));
  QueueState state{.size = 8, .descriptor_area = 0, .driver_area = driver_area, .device_area = device_area};
  Queue queue(state, memory);
  REQUIRE(queue.start(8, feature::EVENT_IDX) == RingFault::None);
  CHECK(queue.refresh() == 3);
  CHECK(memory.load<std::uint16_t>(device_area + RingLayout{8}.avail_event()) == 3);
}

TEST_CASE("virtio queue: a look asks for no notification") {
  Bare q(8, feature::EVENT_IDX);
  for (std::uint16_t head = 0; head < 8; ++head) q.ring.describe(head, {{0x2'0000, 1, true}});
  q.ring.offer(0);
  CHECK(q.ring.wants_kick(0));
  CHECK(q.queue.look() == 1);
  q.ring.offer(1);
  CHECK_FALSE(q.ring.wants_kick(1));
  CHECK(q.queue.look() == 2);
  CHECK(q.queue.waiting() == 2);
  CHECK(q.queue.refresh() == 2);
  q.ring.offer(2);
  CHECK(q.ring.wants_kick(2));
  q.ram.put<std::uint16_t>(q.ring.available + RingLayout::idx, 100);
  CHECK(q.queue.look() == 0);
  CHECK(q.queue.fault() == RingFault::IndexJump);
  q.queue.stop();
  CHECK(q.queue.look() == 0);
}

TEST_CASE("virtio queue: a round takes what the driver adds meanwhile, and it need not notify of that") {
  Bare q(8, feature::EVENT_IDX);
  for (std::uint16_t head = 0; head < 8; ++head) q.ring.describe(head, {{0x2'0000, 1, true}});
  q.ring.offer(0);
  Round round(q.queue);
  for (std::uint16_t head = 0; head < 5; ++head) {
    REQUIRE(round.pop(q.chain));
    CHECK(q.chain.head() == head);
    if (head == 4) break;
    q.ring.offer(static_cast<std::uint16_t>(head + 1));
    CHECK_FALSE(q.ring.wants_kick(static_cast<std::uint16_t>(head + 1)));
  }
  CHECK_FALSE(round.pop(q.chain));
  q.ring.offer(5);
  CHECK(q.ring.wants_kick(5));
}

TEST_CASE("virtio queue: a round ends, however fast the driver adds; of the rest it notifies") {
  Bare q(8, feature::EVENT_IDX);
  for (std::uint16_t head = 0; head < 8; ++head) q.ring.describe(head, {{0x2'0000, 1, true}});
  q.ring.offer(0);
  Round round(q.queue);
  unsigned taken = 0;
  bool told = false, in_bulk = false;
  SUBCASE("one by one") {}
  SUBCASE("the whole ring") { in_bulk = true; }
  while (round.pop(q.chain)) {
    REQUIRE(++taken <= 16);
    q.queue.push(q.chain.head(), 1);
    (void)q.queue.publish();
    // One at a time, or as much as there is room for just before the round has been long enough.
    if (in_bulk && taken < 7) {
      q.ring.offer(q.ring.next % 8);
      continue;
    }
    do {
      const std::uint16_t before = q.ring.next;
      q.ring.offer(before % 8);
      told |= q.ring.wants_kick(before);
    } while (in_bulk && static_cast<std::uint16_t>(q.ring.next - q.ring.used_index()) < 8);
  }
  CHECK(taken >= 8);
  CHECK(told);
  CHECK(Round(q.queue).pop(q.chain));
  CHECK(q.queue.fault() == RingFault::None);
}

TEST_CASE("virtio queue: an interrupt that is put off is asked for again") {
  for (const bool event_idx : {false, true}) {
    CAPTURE(event_idx);
    Bare q(8, event_idx ? feature::EVENT_IDX : 0);
    auto answer = [&] {
      const auto head = static_cast<std::uint16_t>(q.ring.next % 8);
      q.ring.describe(head, {{0x2'0000, 1, true}});
      q.ring.offer(head);
      (void)q.queue.refresh();
      REQUIRE(q.queue.pop(q.chain));
      q.queue.push(head, 1);
    };
    auto listen = [&](std::uint16_t seen) {
      q.ring.set_used_event(seen);
      q.ring.set_flags(0);
    };
    auto sleep = [&](std::uint16_t seen) {
      q.ring.set_used_event(static_cast<std::uint16_t>(seen + 4));
      q.ring.set_flags(axvm::virtio::VIRTQ_AVAIL_NO_INTERRUPT);
    };
    CHECK_FALSE(q.queue.show());
    CHECK_FALSE(q.queue.publish());
    listen(0);
    answer();
    CHECK(q.queue.show());
    CHECK(q.ring.used_index() == 1);
    answer();
    CHECK(q.queue.show());
    CHECK(q.ring.used_index() == 2);
    CHECK(q.queue.publish());
    CHECK_FALSE(q.queue.publish());
    // It has seen the answers by itself meanwhile, and goes on without interrupts.
    listen(2);
    answer();
    CHECK(q.queue.show());
    sleep(3);
    CHECK_FALSE(q.queue.publish());
    CHECK_FALSE(q.queue.show());
    // Not wanted when it was shown: nothing is owed for it.
    answer();
    CHECK_FALSE(q.queue.show());
    listen(4);
    CHECK_FALSE(q.queue.publish());
    answer();
    CHECK(q.queue.publish());
    // A queue that starts anew owes nothing.
    listen(5);
    answer();
    CHECK(q.queue.show());
    q.queue.stop();
    CHECK_FALSE(q.queue.publish());
  }
}

TEST_CASE("virtio queue: no notification and no interrupt is lost between two threads with EVENT_IDX") {
  // The driver puts in as much as fits, asks to be interrupted at the first answer and sleeps; the device sleeps until
  // it is notified. Each flag is set only when the other side asks for it: a lost one stops both for ever. The same
  // where the device puts its interrupts off to the end of a round.
  bool puts_off = false;
  SUBCASE("at once") {}
  SUBCASE("put off") { puts_off = true; }
  constexpr std::uint32_t total = 50'000;
  Bare q(8, feature::EVENT_IDX);
  for (std::uint16_t head = 0; head < 8; ++head) q.ring.describe(head, {{0x2'0000, 1, true}});
  std::atomic<unsigned> kicks = 1, interrupts = 0;
  std::atomic<bool> end = false;
  std::thread device([&] {
    bool wanted = false;
    for (unsigned seen = 0;; ++seen) {
      while (kicks.load() <= seen)
        if (end) return;
        else std::this_thread::yield();
      seen = kicks.load() - 1;
      for (Round round(q.queue); round.pop(q.chain);) {
        q.queue.push(q.chain.head(), 1);
        if (puts_off) wanted |= q.queue.show();
        else if (q.queue.publish()) ++interrupts;
      }
      if (std::exchange(wanted, false) && q.queue.publish()) ++interrupts;
    }
  });
  auto* const ring = q.memory.at(q.ring.available, q.ring.layout.driver_area());
  auto* const used = q.memory.at(q.ring.used, q.ring.layout.device_area());
  auto at = [](std::byte* area, std::uint64_t offset) { return reinterpret_cast<std::uint16_t*>(area + offset); };
  auto used_index = [&] { return __atomic_load_n(at(used, RingLayout::idx), __ATOMIC_ACQUIRE); };
  std::uint16_t next = 0, done = 0;
  std::uint32_t answered = 0, stalls = 0;
  unsigned handled = 0;
  while (answered < total && stalls < 2'000'000) {
    for (; static_cast<std::uint16_t>(next - done) < 8;) {
      __atomic_store_n(at(ring, RingLayout::ring + 2u * (next % 8)), static_cast<std::uint16_t>(next % 8),
                       __ATOMIC_RELAXED);
      std::uint16_t old = next++;
      __atomic_store_n(at(ring, RingLayout::idx), next, __ATOMIC_RELEASE);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      std::uint16_t event = __atomic_load_n(at(used, q.ring.layout.avail_event()), __ATOMIC_RELAXED);
      if (static_cast<std::uint16_t>(next - event - 1) < static_cast<std::uint16_t>(next - old)) ++kicks;
    }
    __atomic_store_n(at(ring, q.ring.layout.used_event()), done, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (used_index() == done) {
      for (stalls = 0; interrupts.load() == handled && stalls < 2'000'000; ++stalls) std::this_thread::yield();
      handled = interrupts.load();
    }
    std::uint16_t now = used_index();
    answered += static_cast<std::uint16_t>(now - done);
    done = now;
  }
  end = true;
  device.join();
  CHECK(stalls < 2'000'000);
  CHECK(answered >= total);
  CHECK(q.queue.fault() == RingFault::None);
}
