#include <doctest/doctest.h>

#include <memory>

#include <axvm/device/pit8254.hpp>

#include "fakes.hpp"

namespace {

using axvm::PitClock;

/// The timer in a world of fakes. Ports as on a PC: 0x40 to 0x43 and 0x61.
struct Timer {
  fakes::EventLoop loop;
  fakes::InterruptRecorder irq;
  axvm::DeviceContext context;
  std::unique_ptr<axvm::Pit8254> pit;

  /// `uptime` is where the host's clock stands, in nanoseconds.
  explicit Timer(std::uint64_t uptime = 1'000'000'000) {
    loop.now = uptime;
    context.events = loop.events();
    context.lines[0] = irq.line();
    pit = std::make_unique<axvm::Pit8254>(axvm::Pit8254::Config{}, context);
  }

  unsigned in(unsigned port) const {
    axvm::PioAccess access{0, 1, ~0u};
    if (port == 0x61) {
      pit->read(axvm::In<"speaker">{}, access);
    } else {
      access.offset = static_cast<std::uint16_t>(port - 0x40);
      pit->read(axvm::In<"counters">{}, access);
    }
    return access.value;
  }
  void out(unsigned port, unsigned value) const {
    if (port == 0x61) pit->write(axvm::In<"speaker">{}, {0, 1, value});
    else pit->write(axvm::In<"counters">{}, {static_cast<std::uint16_t>(port - 0x40), 1, value});
  }
  /// Both bytes of a count.
  void load(unsigned counter, unsigned count) const {
    out(0x40 + counter, count & 0xff);
    out(0x40 + counter, count >> 8);
  }
  unsigned read16(unsigned counter) const {
    const unsigned low = in(0x40 + counter);
    return low | in(0x40 + counter) << 8;
  }
  unsigned latched(unsigned counter) const {
    out(0x43, counter << 6);
    return read16(counter);
  }
  bool out2() const { return (in(0x61) & axvm::Pit8254::TMR2_OUT_STS) != 0; }
  /// Lets exactly `n` ticks of the timer pass.
  void ticks(std::uint64_t n) {
    const std::uint64_t target = PitClock::nanoseconds(PitClock::ticks(loop.now) + n);
    loop.advance(target - loop.now);
  }
};

constexpr unsigned counter0 = 0x00, counter2 = 0x80, both = 0x30;
constexpr unsigned mode(unsigned n) { return n << 1; }

}  // namespace

TEST_CASE("pit8254: Linux's periodic tick: mode 2 interrupts at the programmed rate without drift") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 4773);  // HZ=250
  timer.irq.take();
  timer.loop.advance(100'000'000'000);
  const std::uint64_t expected = 100 * PitClock::frequency / 4773;
  CHECK(timer.irq.take() == expected);
}

TEST_CASE("pit8254: interrupts come at the right time on a host that has been up for centuries") {
  for (std::uint64_t uptime : {0ull, 30ull * 365 * 86'400 * 1'000'000'000, 500ull * 365 * 86'400 * 1'000'000'000}) {
    CAPTURE(uptime);
    Timer timer(uptime);
    timer.out(0x43, counter0 | both | mode(2));
    timer.load(0, 1193);
    timer.irq.take();
    timer.loop.advance(999'000);
    CHECK(timer.irq.take() == 0);
    timer.loop.advance(2'000);
    CHECK(timer.irq.take() == 1);
    timer.loop.advance(1'000'000'000);
    CHECK(timer.irq.take() == 1000);
  }
}

TEST_CASE("pit8254: mode 3 interrupts once per period") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(3));
  timer.load(0, 0);  // 65536: 18.2 Hz
  timer.irq.take();
  timer.loop.advance(10'000'000'000);
  CHECK(timer.irq.take() == 182);
}

TEST_CASE("pit8254: Linux's one-shot: mode 0 interrupts once, and programming it anew takes the line down") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(0));
  timer.load(0, 1000);
  CHECK_FALSE(timer.irq.level);
  timer.ticks(999);
  CHECK(timer.irq.take() == 0);
  timer.ticks(1);
  CHECK(timer.irq.take() == 1);
  timer.loop.advance(10'000'000'000);
  CHECK(timer.irq.take() == 0);
  timer.out(0x40, 0xe8);  // the first byte already stops it
  CHECK_FALSE(timer.irq.level);
  timer.out(0x40, 0x03);
  timer.ticks(1000);
  CHECK(timer.irq.take() == 1);
}

TEST_CASE("pit8254: a control word without a count stops the interrupts") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 1193);
  timer.loop.advance(10'000'000);
  timer.irq.take();
  timer.out(0x43, counter0 | both | mode(0));
  timer.loop.advance(1'000'000'000);
  CHECK(timer.irq.take() == 0);
}

TEST_CASE("pit8254: mode 4 interrupts one tick after the count, modes 1 and 5 of counter 0 never") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(4));
  timer.load(0, 1000);
  timer.irq.take();
  timer.ticks(1000);
  CHECK(timer.irq.take() == 0);
  timer.ticks(1);
  CHECK(timer.irq.take() == 1);
  for (unsigned m : {1u, 5u}) {
    timer.out(0x43, counter0 | both | mode(m));
    timer.load(0, 1000);
    timer.irq.take();
    timer.loop.advance(1'000'000'000);
    CHECK(timer.irq.take() == 0);
  }
}

TEST_CASE("pit8254: a greedy guest gets a bounded rate, and a pause is made up for by one interrupt") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 1);
  timer.irq.take();
  timer.loop.advance(1'000'000'000);
  const unsigned greedy = timer.irq.take();
  CHECK(greedy <= 1'000'000'000 / axvm::Pit8254::min_interval);
  CHECK(greedy > 5000);

  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 1193);
  timer.irq.take();
  timer.loop.stall(3'600'000'000'000);
  CHECK(timer.irq.take() == 1);
  timer.loop.advance(1'000'000'000);
  CHECK(timer.irq.take() == 1000);
}

TEST_CASE("pit8254: a latched count stays until both bytes are read") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 0x1234);
  timer.ticks(0x34);
  timer.out(0x43, counter0);
  timer.ticks(0x100);
  timer.out(0x43, counter0);  // a second latch command changes nothing
  CHECK(timer.in(0x40) == 0x00);
  timer.ticks(0x100);
  CHECK(timer.in(0x40) == 0x12);
  CHECK(timer.latched(0) == 0x1000);
}

TEST_CASE("pit8254: LSB-only and MSB-only access, and the two-byte flip-flop") {
  Timer timer;
  timer.out(0x43, counter2 | 0x10 | mode(0));
  timer.out(0x42, 0x80);
  CHECK(timer.in(0x42) == 0x80);
  CHECK(timer.in(0x42) == 0x80);
  timer.out(0x43, counter2 | 0x20 | mode(0));
  timer.out(0x42, 0x80);
  CHECK(timer.in(0x42) == 0x80);
  timer.out(0x43, counter2);
  CHECK(timer.in(0x42) == 0x80);
  timer.out(0x43, counter2 | both | mode(0));
  timer.load(2, 0x8001);
  CHECK(timer.in(0x42) == 0x01);
  CHECK(timer.in(0x42) == 0x80);
  CHECK(timer.in(0x42) == 0x01);
  timer.out(0x43, counter2 | both | mode(0));  // resets the flip-flop
  timer.load(2, 0x8001);
  CHECK(timer.in(0x42) == 0x01);
  CHECK(timer.in(0x43) == 0xff);
}

TEST_CASE("pit8254: read-back latches status and count of several counters, the status is read first") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(2));
  timer.out(0x43, counter2 | both | mode(3) | 1);
  timer.load(2, 0x0500);  // BCD
  timer.out(0x43, 0xc0 | 0x02 | 0x08);
  CHECK(timer.in(0x40) == (0x80 | 0x40 | both | mode(2)));  // OUT high, null count: nothing written yet
  timer.in(0x40);
  timer.in(0x40);
  CHECK(timer.in(0x42) == (0x80 | both | mode(3) | 1));
  CHECK(timer.read16(2) == 0x0500);
  timer.load(0, 500);
  timer.out(0x43, 0xe0 | 0x02);  // status only
  CHECK(timer.in(0x40) == (0x80 | both | mode(2)));
  timer.ticks(1);
  CHECK(timer.latched(0) == 499);
}

TEST_CASE("pit8254: a new count in a running mode 2 waits for the end of the period") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 1000);
  timer.ticks(400);
  timer.load(0, 2000);
  timer.out(0x43, 0xe0 | 0x02);
  CHECK((timer.in(0x40) & 0x40) != 0);
  CHECK(timer.latched(0) == 600);
  timer.ticks(599);
  CHECK(timer.latched(0) == 1);
  timer.irq.take();
  timer.ticks(1);
  CHECK(timer.irq.take() == 1);
  CHECK(timer.latched(0) == 2000);
  timer.out(0x43, 0xe0 | 0x02);
  CHECK((timer.in(0x40) & 0x40) == 0);
  timer.ticks(1999);
  CHECK(timer.irq.take() == 0);
  timer.ticks(1);
  CHECK(timer.irq.take() == 1);
}

TEST_CASE("pit8254: a new count took effect at the end of the period, however late anybody looks") {
  Timer timer;
  timer.out(0x61, 0x01);
  timer.out(0x43, counter2 | both | mode(2));
  timer.load(2, 1000);
  timer.ticks(400);
  timer.load(2, 2000);
  timer.ticks(1600);
  CHECK(timer.latched(2) == 1000);
}

TEST_CASE("pit8254: Linux's TSC calibration: counter 2 in mode 0, gated and watched through port 0x61") {
  Timer timer;
  timer.out(0x61, (timer.in(0x61) & ~0x02u) | 0x01);
  timer.out(0x43, 0xb0);
  timer.load(2, 11'931);  // 10 ms
  CHECK_FALSE(timer.out2());
  timer.ticks(11'930);
  CHECK_FALSE(timer.out2());
  timer.ticks(1);
  CHECK(timer.out2());
  timer.loop.advance(1'000'000'000);
  CHECK(timer.out2());
}

TEST_CASE("pit8254: Linux's quick calibration: unlatched reads of a running counter, low byte then high byte") {
  Timer timer;
  timer.out(0x61, 0x01);
  timer.out(0x43, 0xb0);
  timer.load(2, 0xffff);
  for (unsigned expected = 0xff; expected > 0xf0; --expected) {
    timer.in(0x42);
    CHECK(timer.in(0x42) == expected);
    timer.ticks(256);
  }
}

TEST_CASE("pit8254: a low gate holds counter 2, and in modes 2 and 3 a rising one starts it over") {
  Timer timer;
  timer.out(0x61, 0x01);
  timer.out(0x43, counter2 | both | mode(0));
  timer.load(2, 1000);
  timer.ticks(300);
  timer.out(0x61, 0x00);
  timer.ticks(5000);
  CHECK(timer.latched(2) == 700);
  CHECK_FALSE(timer.out2());
  timer.out(0x61, 0x01);
  timer.ticks(700);
  CHECK(timer.out2());

  timer.out(0x43, counter2 | both | mode(3));
  timer.load(2, 1000);
  timer.ticks(600);
  CHECK_FALSE(timer.out2());
  timer.out(0x61, 0x00);
  CHECK(timer.out2());  // forced high
  timer.ticks(5000);
  CHECK(timer.out2());
  timer.out(0x61, 0x01);
  CHECK(timer.latched(2) == 1000);
  timer.ticks(499);
  CHECK(timer.out2());
  timer.ticks(1);
  CHECK_FALSE(timer.out2());
}

TEST_CASE("pit8254: modes 1 and 5 start with the gate and can be started again") {
  Timer timer;
  timer.out(0x43, counter2 | both | mode(1));
  timer.load(2, 1000);
  timer.ticks(2000);
  CHECK(timer.out2());
  timer.out(0x61, 0x01);
  CHECK_FALSE(timer.out2());
  timer.ticks(900);
  timer.out(0x61, 0x00);  // the level does not matter
  CHECK_FALSE(timer.out2());
  timer.out(0x61, 0x01);
  timer.ticks(900);
  CHECK_FALSE(timer.out2());
  timer.ticks(100);
  CHECK(timer.out2());

  timer.out(0x61, 0x00);
  timer.out(0x43, counter2 | both | mode(5));
  timer.load(2, 1000);
  timer.out(0x61, 0x01);
  timer.ticks(999);
  CHECK(timer.out2());
  timer.ticks(1);
  CHECK_FALSE(timer.out2());
  timer.ticks(1);
  CHECK(timer.out2());
}

TEST_CASE("pit8254: mode 3 counts down by two in each half, and its odd counts have a longer high half") {
  Timer timer;
  timer.out(0x61, 0x01);
  timer.out(0x43, counter2 | both | mode(3));
  timer.load(2, 7);
  const unsigned counts[] = {6, 4, 2, 0, 6, 4, 2, 6};
  const bool levels[] = {true, true, true, true, false, false, false, true};
  for (unsigned i = 0; i < 8; ++i) {
    CAPTURE(i);
    CHECK(timer.latched(2) == counts[i]);
    CHECK(timer.out2() == levels[i]);
    timer.ticks(1);
  }
}

TEST_CASE("pit8254: mode 2 has OUT low for the last tick; mode 4 for one tick") {
  Timer timer;
  timer.out(0x61, 0x01);
  timer.out(0x43, counter2 | both | mode(2));
  timer.load(2, 3);
  for (bool level : {true, true, false, true, true, false, true}) {
    CHECK(timer.out2() == level);
    timer.ticks(1);
  }
  timer.out(0x43, counter2 | both | mode(4));
  timer.load(2, 2);
  for (bool level : {true, true, false, true, true}) {
    CHECK(timer.out2() == level);
    timer.ticks(1);
  }
}

TEST_CASE("pit8254: counts go on below zero, in binary and in BCD; a count of zero is the greatest") {
  Timer timer;
  timer.out(0x61, 0x01);
  timer.out(0x43, counter2 | both | mode(0));
  timer.load(2, 2);
  timer.ticks(3);
  CHECK(timer.latched(2) == 0xffff);
  timer.out(0x43, counter2 | both | mode(0) | 1);
  timer.load(2, 0x1000);
  timer.ticks(1);
  CHECK(timer.latched(2) == 0x0999);
  timer.ticks(1000);
  CHECK(timer.latched(2) == 0x9999);
  timer.load(2, 0);
  timer.ticks(9999);
  CHECK_FALSE(timer.out2());
  timer.ticks(1);
  CHECK(timer.out2());
  timer.out(0x43, counter2 | both | mode(0));
  timer.load(2, 0);
  timer.ticks(65'535);
  CHECK_FALSE(timer.out2());
  timer.ticks(1);
  CHECK(timer.out2());
}

TEST_CASE("pit8254: port 0x61 keeps its four bits and toggles with the refresh") {
  Timer timer;
  timer.out(0x61, 0xff);
  CHECK((timer.in(0x61) & 0xcf) == 0x0f);
  unsigned toggles = 0, last = timer.in(0x61) & axvm::Pit8254::REF_TOGGLE;
  for (unsigned i = 0; i < 1000; ++i) {
    timer.loop.advance(1000);
    const unsigned now = timer.in(0x61) & axvm::Pit8254::REF_TOGGLE;
    toggles += now != last;
    last = now;
  }
  CHECK(toggles >= 65);  // a millisecond of 15 us each
  CHECK(toggles <= 67);
}

TEST_CASE("pit8254: a word access is two byte accesses, and mode bits 110 and 111 are modes 2 and 3") {
  Timer timer;
  timer.out(0x43, counter0 | both | mode(6));
  timer.load(0, 0x0203);
  timer.out(0x43, 0xe0 | 0x02);
  CHECK((timer.in(0x40) & 0x0e) == mode(2));
  timer.out(0x43, 0x40 | 0x10 | mode(7));
  timer.out(0x41, 0x10);
  axvm::PioAccess word{0, 2, ~0u};
  timer.pit->read(axvm::In<"counters">{}, word);
  CHECK(word.value == 0x1003);
}

TEST_CASE("pit8254: a restored state goes on where it stood, on a clock that shows something else") {
  Timer timer(7'000'000'000'000);
  timer.out(0x43, counter0 | both | mode(2));
  timer.load(0, 10'000);
  timer.out(0x61, 0x01);
  timer.out(0x43, counter2 | both | mode(0));
  timer.load(2, 5000);
  timer.ticks(4000);
  timer.out(0x43, counter2);  // latched, half of it read
  timer.in(0x42);
  const axvm::Pit8254::State saved = timer.pit->state;
  Timer other(5'000'000);
  other.pit->state = saved;
  other.pit->restored();
  other.irq.take();
  CHECK(other.in(0x42) == 1000 >> 8);
  CHECK(other.latched(0) == 6000);
  other.ticks(999);
  CHECK_FALSE(other.out2());
  other.ticks(1);
  CHECK(other.out2());
  CHECK(other.irq.take() == 0);
  other.ticks(5000);
  CHECK(other.irq.take() == 1);
}

TEST_CASE("pit8254: any bytes in a state and any bytes written do no harm") {
  std::uint32_t random = 1;
  auto next = [&random] { return random = random * 1'664'525 + 1'013'904'223; };
  for (unsigned run = 0; run < 200; ++run) {
    Timer timer;
    for (axvm::PitCounter& counter : timer.pit->state.counters) {
      counter.mode = static_cast<std::uint8_t>(next() >> 24);
      counter.access = static_cast<std::uint8_t>(next() >> 24);
      counter.count_latched = static_cast<std::uint8_t>(next() >> 24);
      counter.counting = counter.bcd = (next() >> 31) != 0;
      counter.loaded = static_cast<std::uint16_t>(next() >> 16);
      counter.start = std::uint64_t{next()} << 32 | next();
      counter.reload_at = std::uint64_t{next()} << 32 | next();
    }
    timer.pit->restored();
    for (unsigned i = 0; i < 100; ++i) {
      const unsigned port = next() >> 30 == 0 ? 0x61 : 0x40 + (next() >> 30);
      timer.out(port, next() >> 24);
      timer.in(port);
      timer.loop.advance(next() >> 16);
    }
  }
  CHECK(true);
}
