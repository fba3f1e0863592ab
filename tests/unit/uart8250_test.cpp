#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <axvm/device/uart8250.hpp>

#include "fakes.hpp"

namespace {

using R = axvm::Uart8250Registers;
using axvm::Interest;

constexpr int input = fakes::CharacterPort::input, output = fakes::CharacterPort::output;

/// COM1 in a world of fakes, used as a driver would: in(register), out(register, value).
struct Com1 {
  fakes::EventLoop loop;
  fakes::InterruptRecorder irq;
  fakes::CharacterPort host;
  axvm::Uart8250::Config config;
  axvm::Uart8250::Resources resources{host.port()};
  axvm::DeviceContext context;
  std::unique_ptr<axvm::Uart8250> uart;

  explicit Com1(bool flow_control = true) {
    config.flow_control = flow_control;
    context.events = loop.events();
    context.lines[0] = irq.line();
    power_on();
  }
  void power_on() { uart = std::make_unique<axvm::Uart8250>(config, resources, context); }

  unsigned in(std::uint16_t offset, std::uint8_t width = 1) const {
    axvm::PioAccess access{offset, width, ~0u};
    uart->read(access);
    return access.value;
  }
  void out(std::uint16_t offset, std::uint32_t value, std::uint8_t width = 1) const {
    uart->write({offset, width, value});
  }
  /// What follows "open" in a driver: interrupts connected, ready to receive.
  void open(unsigned ier, unsigned fcr) const {
    out(R::FCR, fcr);
    out(R::MCR, R::MCR_DTR | R::MCR_RTS | R::MCR_OUT2);
    out(R::IER, ier);
  }
  void type(std::string_view text) {
    host.type(text);
    loop.ready(input, Interest::Readable);
  }
  /// Reads while there is data, as drivers do.
  std::string read_all() const {
    std::string text;
    while ((in(R::LSR)&R::LSR_DR) != 0) text += static_cast<char>(in(R::RBR));
    return text;
  }
};

}  // namespace

TEST_CASE("uart8250: after power-on the registers read as the manual's reset table says") {
  Com1 com;
  CHECK(com.in(R::IER) == 0);
  CHECK(com.in(R::IIR) == 0x01);
  CHECK(com.in(R::LCR) == 0);
  CHECK(com.in(R::MCR) == 0);
  CHECK(com.in(R::LSR) == 0x60);
  CHECK(com.in(R::MSR) == (R::MSR_CTS | R::MSR_DSR | R::MSR_DCD));
  CHECK_FALSE(com.irq.level);
}

TEST_CASE("uart8250: bytes written to THR reach the host in order") {
  Com1 com;
  for (char c : std::string("hello")) com.out(R::THR, static_cast<unsigned char>(c));
  CHECK(com.host.sent == "hello");
  CHECK(com.in(R::LSR) == 0x60);
  CHECK(com.uart->counters.sent.value() == 5);
}

TEST_CASE("uart8250: DLAB swaps the divisor latch in and out") {
  Com1 com;
  com.out(R::IER, 0x05);
  com.out(R::LCR, R::LCR_DLAB | 3);
  com.out(R::DLL, 0x34);
  com.out(R::DLM, 0x12);
  CHECK(com.in(R::DLL) == 0x34);
  CHECK(com.in(R::DLM) == 0x12);
  com.out(R::LCR, 3);
  CHECK(com.in(R::IER) == 0x05);
  com.out(R::THR, 'x');
  CHECK(com.host.sent == "x");
  com.out(R::LCR, R::LCR_DLAB | 3);
  CHECK(com.in(R::DLL) == 0x34);
}

TEST_CASE("uart8250: wider accesses are byte accesses to consecutive registers") {
  Com1 com;
  com.out(R::LCR, R::LCR_DLAB);
  com.out(R::DLL, 0x0102, 2);
  CHECK(com.in(R::DLL) == 0x02);
  CHECK(com.in(R::DLM) == 0x01);
  CHECK(com.in(R::LCR, 4) == 0xb0'60'00'80u);
}

TEST_CASE("uart8250: unused bits stay clear, scratch keeps all of its bits") {
  Com1 com;
  com.out(R::IER, 0xff);
  CHECK(com.in(R::IER) == 0x0f);
  com.out(R::MCR, 0xff);
  CHECK(com.in(R::MCR) == 0x1f);
  for (unsigned value : {0xa5u, 0x5au}) {
    com.out(R::SCR, value);
    CHECK(com.in(R::SCR) == value);
  }
}

TEST_CASE("uart8250: Linux's autoconfig finds a plain 16550A") {
  Com1 com;
  // A UART is there at all if IER keeps its low bits and only those.
  com.out(R::IER, 0);
  CHECK((com.in(R::IER) & 0x0f) == 0);
  com.out(R::IER, 0x0f);
  CHECK((com.in(R::IER) & 0x0f) == 0x0f);
  com.out(R::IER, 0);
  // In loopback RTS shows as CTS and OUT2 as DCD.
  const unsigned mcr = com.in(R::MCR);
  com.out(R::MCR, R::MCR_LOOP | R::MCR_OUT2 | R::MCR_RTS);
  CHECK((com.in(R::MSR) & 0xf0) == (R::MSR_DCD | R::MSR_CTS));
  com.out(R::MCR, mcr);
  // Chips with an EFR have it at offset 2 while LCR is 0xbf; here that is FCR.
  com.out(R::LCR, 0xbf);
  com.out(2, 0);
  com.out(R::LCR, 0);
  com.out(R::FCR, R::FCR_ENABLE);
  CHECK((com.in(R::IIR)&R::IIR_FIFOS) == R::IIR_FIFOS);
  // An EFR would read zero, in either configuration mode.
  com.out(R::LCR, 0x80);
  CHECK(com.in(2) != 0);
  com.out(R::LCR, 0xbf);
  CHECK(com.in(2) != 0);
  // National's SuperIO mirrors MCR's loop bit at offset 2 while LCR is 0xe0.
  com.out(R::LCR, 0);
  const unsigned before = com.in(R::MCR);
  com.out(R::LCR, 0xe0);
  const bool mirrored = ((com.in(2) ^ before) & R::MCR_LOOP) == 0;
  com.out(R::LCR, 0);
  com.out(R::MCR, before ^ R::MCR_LOOP);
  com.out(R::LCR, 0xe0);
  const bool mirrored_still = ((com.in(2) ^ before ^ R::MCR_LOOP) & R::MCR_LOOP) == 0;
  com.out(R::LCR, 0);
  com.out(R::MCR, before);
  CHECK_FALSE((mirrored && mirrored_still));
  // A 16750 shows its 64-byte FIFO when it is enabled with DLAB set.
  com.out(R::FCR, R::FCR_ENABLE | 0x20);
  CHECK((com.in(R::IIR) & 0xe0) == 0xc0);
  com.out(R::LCR, 0x80);
  com.out(R::FCR, R::FCR_ENABLE | 0x20);
  CHECK((com.in(R::IIR) & 0xe0) == 0xc0);
  com.out(R::LCR, 0);
  // An XScale UART keeps IER's unit enable bit.
  com.out(R::IER, 0x40);
  CHECK((com.in(R::IER) & 0x40) == 0);
  CHECK(com.irq.edges == 0);
}

TEST_CASE("uart8250: Linux's startup tests see a healthy transmitter") {
  Com1 com;
  com.out(R::FCR, R::FCR_ENABLE);
  com.out(R::FCR, R::FCR_ENABLE | R::FCR_CLEAR_RCVR | R::FCR_CLEAR_XMIT);
  com.out(R::FCR, 0);
  CHECK(com.in(R::LSR) != 0xff);
  com.in(R::RBR);
  com.in(R::IIR);
  com.in(R::MSR);
  // THRE is reasserted when its interrupt is enabled again although it was already reported.
  com.out(R::IER, R::IER_ETBEI);
  CHECK(com.in(R::IIR) == R::IIR_THRE);
  CHECK(com.in(R::IIR) == R::IIR_NONE);
  com.out(R::IER, 0);
  com.out(R::IER, R::IER_ETBEI);
  CHECK(com.in(R::IIR) == R::IIR_THRE);
  com.out(R::IER, 0);
  // An empty transmitter announces itself as soon as it may.
  com.out(R::MCR, R::MCR_OUT2);
  com.out(R::IER, R::IER_ETBEI);
  CHECK(com.irq.level);
  CHECK((com.in(R::LSR)&R::LSR_TEMT) != 0);
  CHECK((com.in(R::IIR)&R::IIR_NONE) == 0);
  com.out(R::IER, 0);
  CHECK_FALSE(com.irq.level);
}

TEST_CASE("uart8250: FCR without the enable bit does nothing, and turning FIFOs on or off empties them") {
  Com1 com;
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0x80);
  com.type("abc");
  com.out(R::FCR, R::FCR_ENABLE | R::FCR_CLEAR_XMIT | 0x80);
  CHECK((com.in(R::LSR)&R::LSR_DR) != 0);
  com.out(R::FCR, R::FCR_ENABLE | R::FCR_CLEAR_RCVR | 0x80);
  CHECK((com.in(R::LSR)&R::LSR_DR) == 0);
  CHECK_FALSE(com.irq.level);
  com.type("d");
  com.out(R::FCR, 0xc6);
  CHECK(com.in(R::IIR) == R::IIR_NONE);
  CHECK((com.in(R::LSR)&R::LSR_DR) == 0);
}

TEST_CASE("uart8250: the interrupt reaches the bus only through OUT2, and not in loopback") {
  Com1 com;
  com.out(R::IER, R::IER_ETBEI);
  CHECK_FALSE(com.irq.level);
  com.out(R::MCR, R::MCR_OUT2);
  CHECK(com.irq.level);
  com.out(R::MCR, R::MCR_OUT2 | R::MCR_LOOP);
  CHECK_FALSE(com.irq.level);
  CHECK(com.in(R::IIR) == R::IIR_THRE);
}

TEST_CASE("uart8250: interrupts are reported by priority, each cleared in its own way") {
  Com1 com;
  com.out(R::FCR, R::FCR_ENABLE);  // trigger level 1
  com.out(R::MCR, R::MCR_LOOP | R::MCR_DTR);
  com.in(R::MSR);
  com.out(R::IER, 0x0f);
  com.out(R::MCR, R::MCR_LOOP);                          // DSR goes away: modem status
  for (unsigned i = 0; i < 17; ++i) com.out(R::THR, i);  // the last is one too many: line status
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_RLS));
  CHECK((com.in(R::LSR)&R::LSR_OE) != 0);
  CHECK((com.in(R::LSR)&R::LSR_OE) == 0);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_RDA));
  for (unsigned i = 0; i < 16; ++i) CHECK(com.in(R::RBR) == i);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_THRE));
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_MS));
  CHECK((com.in(R::MSR) & 0x0f) == R::MSR_DDSR);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_NONE));
}

TEST_CASE("uart8250: a THRE interrupt ends when IIR tells it or THR is written, and every write causes a new edge") {
  Com1 com;
  com.open(R::IER_ETBEI, R::FCR_ENABLE);
  CHECK(com.irq.take() == 1);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_THRE));
  CHECK_FALSE(com.irq.level);
  com.out(R::THR, 'a');
  CHECK(com.irq.take() == 1);
  com.out(R::THR, 'b');  // a driver that never reads IIR must not wait for ever
  CHECK(com.irq.take() == 1);
  CHECK(com.irq.level);
}

TEST_CASE("uart8250: loopback carries bytes and modem lines back and keeps them from the host") {
  Com1 com;
  com.out(R::FCR, R::FCR_ENABLE);
  com.in(R::MSR);
  com.out(R::MCR, R::MCR_LOOP | R::MCR_DTR | R::MCR_RTS | R::MCR_OUT1 | R::MCR_OUT2);
  CHECK(com.in(R::MSR) == 0xf0);
  com.out(R::MCR, R::MCR_LOOP);
  CHECK(com.in(R::MSR) == (R::MSR_DCTS | R::MSR_DDSR | R::MSR_TERI | R::MSR_DDCD));
  CHECK(com.in(R::MSR) == 0);
  com.out(R::MCR, R::MCR_LOOP | R::MCR_OUT1);
  CHECK(com.in(R::MSR) == R::MSR_RI);  // only RI's trailing edge is a change
  com.out(R::THR, 0xae);
  CHECK(com.in(R::LSR) == (R::LSR_DR | R::LSR_THRE | R::LSR_TEMT));
  CHECK(com.in(R::RBR) == 0xae);
  CHECK(com.host.sent.empty());
  com.type("x");
  CHECK((com.in(R::LSR)&R::LSR_DR) == 0);
}

TEST_CASE("uart8250: an overrun keeps the old bytes in a FIFO, and the new one without FIFOs") {
  Com1 com;
  com.out(R::MCR, R::MCR_LOOP);
  com.out(R::THR, 'a');
  com.out(R::THR, 'b');
  CHECK((com.in(R::LSR)&R::LSR_OE) != 0);
  CHECK(com.in(R::RBR) == 'b');
  CHECK((com.in(R::LSR)&R::LSR_DR) == 0);
  com.out(R::FCR, R::FCR_ENABLE);
  for (char c = 'a'; c <= 'q'; ++c) com.out(R::THR, static_cast<unsigned char>(c));
  CHECK(com.read_all() == "abcdefghijklmnop");
  CHECK(com.uart->counters.overruns.value() == 2);
}

TEST_CASE("uart8250: a break shows with its byte and as an error in the FIFO") {
  Com1 com;
  com.open(R::IER_ERBFI | R::IER_ELSI, R::FCR_ENABLE | 0x40);
  com.type("a");
  com.uart->receive_break();
  CHECK((com.in(R::LSR) & (R::LSR_BI | R::LSR_RX_FIFO)) == R::LSR_RX_FIFO);
  CHECK(com.in(R::RBR) == 'a');
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_RLS));
  CHECK((com.in(R::LSR) & (R::LSR_BI | R::LSR_RX_FIFO)) == (R::LSR_BI | R::LSR_RX_FIFO));
  CHECK((com.in(R::LSR) & (R::LSR_BI | R::LSR_RX_FIFO | R::LSR_DR)) == R::LSR_DR);
  CHECK(com.in(R::RBR) == 0);
  com.out(R::MCR, R::MCR_LOOP);
  com.uart->receive_break();  // not connected
  CHECK((com.in(R::LSR)&R::LSR_DR) == 0);
  com.out(R::LCR, R::LCR_SB);
  CHECK((com.in(R::LSR) & (R::LSR_BI | R::LSR_DR)) == (R::LSR_BI | R::LSR_DR));
}

TEST_CASE("uart8250: received data interrupts at each trigger level") {
  constexpr std::array<unsigned, 4> levels{1, 4, 8, 14};
  for (unsigned i = 0; i < 4; ++i) {
    CAPTURE(levels[i]);
    Com1 com;
    com.out(R::FCR, R::FCR_ENABLE | i << 6);
    com.out(R::MCR, R::MCR_LOOP);
    com.out(R::IER, R::IER_ERBFI);
    for (unsigned n = 1; n < levels[i]; ++n) com.out(R::THR, n);
    CHECK(com.in(R::IIR) == (0xc0 | R::IIR_NONE));
    com.out(R::THR, 0);
    CHECK(com.in(R::IIR) == (0xc0 | R::IIR_RDA));
    com.in(R::RBR);
    CHECK(com.in(R::IIR) == (0xc0 | R::IIR_NONE));
  }
}

TEST_CASE("uart8250: bytes below the trigger level time out after four character times") {
  Com1 com;
  com.out(R::LCR, 3);  // 8N1: 10 bits; divisor 1: 115200 baud
  com.out(R::FCR, R::FCR_ENABLE | 0x80);
  com.out(R::MCR, R::MCR_LOOP);
  com.out(R::IER, R::IER_ERBFI);
  constexpr std::uint64_t four = 4 * 10 * 1'000'000'000ull / 115'200;
  com.out(R::THR, 'a');
  com.loop.advance(four - 1000);
  com.out(R::THR, 'b');  // begins anew
  com.loop.advance(four - 1000);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_NONE));
  com.loop.advance(1000);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_CTI));
  com.in(R::RBR);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_NONE));
  com.loop.advance(four);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_CTI));
  com.in(R::RBR);
  com.loop.advance(10 * four);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_NONE));
}

TEST_CASE("uart8250: what is typed interrupts at once, also below the trigger level, and again for what is left") {
  Com1 com;
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0x80);
  com.type("ab");
  CHECK(com.irq.take() == 1);
  CHECK(com.in(R::IIR) == (0xc0 | R::IIR_CTI));
  CHECK(com.in(R::RBR) == 'a');
  CHECK_FALSE(com.irq.level);
  com.loop.advance(1'000'000);
  CHECK(com.irq.take() == 1);
  CHECK(com.in(R::RBR) == 'b');
  CHECK_FALSE(com.irq.level);
}

TEST_CASE("uart8250: a burst of reads arms one timer, not one per byte") {
  Com1 com;
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0xc0);
  com.type("0123456789");
  const unsigned before = com.loop.arm_calls;
  CHECK(com.read_all() == "0123456789");
  CHECK(com.loop.arm_calls == before + 1);
}

TEST_CASE("uart8250: without FIFOs each byte is an interrupt and nothing is lost") {
  Com1 com;
  com.open(R::IER_ERBFI, 0);
  com.type("abc");
  std::string text;
  while (com.irq.level) {
    CHECK(com.in(R::IIR) == R::IIR_RDA);
    com.irq.take();
    text += static_cast<char>(com.in(R::RBR));
  }
  CHECK(text == "abc");
}

TEST_CASE("uart8250: input that comes before the driver has opened the line is not lost") {
  Com1 com;
  com.type("poweroff\n");
  CHECK(com.host.arrived.empty());  // taken from the host, for the console's escape keys
  com.out(R::IER, 0x0f);            // as in the driver's tests
  com.out(R::FCR, R::FCR_ENABLE);
  com.out(R::FCR, R::FCR_ENABLE | R::FCR_CLEAR_RCVR | R::FCR_CLEAR_XMIT);
  com.out(R::FCR, 0);
  com.in(R::RBR);
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0x80);
  CHECK(com.irq.level);
  CHECK(com.read_all() == "poweroff\n");
}

TEST_CASE("uart8250: the peer stops while RTS is clear, unless told not to mind") {
  Com1 com;
  com.open(R::IER_ERBFI, R::FCR_ENABLE);
  com.out(R::MCR, R::MCR_DTR | R::MCR_OUT2);
  com.type("x");
  CHECK((com.in(R::LSR)&R::LSR_DR) == 0);
  com.out(R::MCR, R::MCR_DTR | R::MCR_RTS | R::MCR_OUT2);
  CHECK(com.irq.level);
  CHECK(com.read_all() == "x");

  Com1 eager(false);
  eager.type("y");
  CHECK(eager.in(R::RBR) == 'y');
}

TEST_CASE("uart8250: a guest that does not read stops the input, and one that reads gets every byte in order") {
  Com1 com;
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0x80);
  std::string text;
  for (unsigned i = 0; i < 5000; ++i) text += static_cast<char>('!' + i % 90);
  com.host.type(text);
  for (unsigned i = 0; i < 100; ++i) com.loop.ready(input, Interest::Readable);
  CHECK(com.loop.interest(input) == Interest::Nothing);
  CHECK(com.host.arrived.size() == text.size() - axvm::Uart8250State::fifo_size - axvm::Uart8250State::ring_size);
  const unsigned watches = com.loop.watch_calls;
  std::string got;
  for (unsigned i = 0; i < 100; ++i) got += static_cast<char>(com.in(R::RBR));
  CHECK(com.loop.interest(input) == Interest::Nothing);  // worth while only once there is some room
  for (unsigned i = 0; i < 100 && got.size() < text.size(); ++i) {
    got += com.read_all();
    com.loop.ready(input, Interest::Readable);
  }
  CHECK(got == text);
  CHECK(com.loop.interest(input) == Interest::Readable);
  CHECK(com.loop.watch_calls - watches < 20);
  CHECK(com.uart->counters.overruns.value() == 0);
  CHECK(com.uart->counters.received.value() == text.size());
}

TEST_CASE("uart8250: a file as input, which cannot be watched, is read as the guest reads") {
  Com1 com;
  com.uart.reset();
  com.loop.unwatchable.insert(input);
  com.power_on();
  std::string text(3000, 'f');
  com.host.type(text);
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0x80);
  CHECK(com.irq.level);
  CHECK(com.read_all() == text);
}

TEST_CASE("uart8250: output that the host does not take waits, holds up the guest, and goes out in order") {
  Com1 com;
  com.open(R::IER_ETBEI, R::FCR_ENABLE);
  com.host.room = 3;
  std::string text;
  // A driver fills a whole FIFO whenever it sees THRE, without looking in between.
  for (unsigned burst = 0; burst < 200 && (com.in(R::LSR)&R::LSR_THRE) != 0; ++burst)
    for (unsigned i = 0; i < 16; ++i) {
      text += static_cast<char>('a' + text.size() % 26);
      com.out(R::THR, static_cast<unsigned char>(text.back()));
    }
  CHECK(com.in(R::LSR) == 0);
  CHECK(com.uart->counters.lost_output.value() == 0);
  CHECK(text.size() >= 1000);
  CHECK(com.host.sent == "abc");
  CHECK_FALSE(com.irq.level);
  CHECK(com.loop.interest(output) == Interest::Writable);

  SUBCASE("until the host takes it") {
    com.irq.take();
    com.host.room = 10;
    com.loop.ready(output, Interest::Writable);
    com.host.room = 1000;
    com.loop.ready(output, Interest::Writable);
    CHECK(com.irq.take() == 1);
    CHECK(com.in(R::LSR) == 0x60);
    com.host.room = 100'000;
    while (com.loop.ready(output, Interest::Writable)) {
    }
    CHECK(com.host.sent == text);
    CHECK(com.loop.interest(output) == Interest::Nothing);
  }
  SUBCASE("and a guest that does not wait loses bytes, counted") {
    for (unsigned i = 0; i < 40; ++i) com.out(R::THR, '!');
    CHECK(com.uart->counters.lost_output.value() > 0);
    com.host.room = 100'000;
    while (com.loop.ready(output, Interest::Writable)) {
    }
    CHECK(com.host.sent.starts_with(text));
    CHECK(com.host.sent.size() + com.uart->counters.lost_output.value() == text.size() + 40);
  }
  SUBCASE("and is offered once more when the device ends") {
    com.host.room = 100'000;
    com.uart.reset();
    CHECK(com.host.sent == text);
  }
  SUBCASE("and a reader that is gone does not keep the event loop busy") {
    CHECK(com.loop.ready(output, Interest::Writable));
    CHECK(com.loop.interest(output) == Interest::Nothing);
    com.host.room = 100'000;
    com.loop.advance(100'000'000);
    while (com.loop.ready(output, Interest::Writable)) {
    }
    CHECK(com.host.sent == text);
  }
}

TEST_CASE("uart8250: the guest's last words reach a slow reader, and a stuck one is not waited for without end") {
  Com1 com;
  com.open(0, R::FCR_ENABLE);
  com.host.room = 0;
  for (char letter : std::string_view("goodbye")) com.out(R::THR, static_cast<unsigned char>(letter));
  SUBCASE("slow") {
    com.host.room_after_waiting = 3;
    com.uart.reset();
    CHECK(com.host.sent == "goodbye");
    CHECK(com.host.waits == 3);
  }
  SUBCASE("stuck") {
    com.uart.reset();
    CHECK(com.host.sent.empty());
    CHECK(com.host.waits <= 20);
  }
}

TEST_CASE("uart8250: output that cannot be watched goes on by a timer, and whenever the guest looks") {
  Com1 com;
  com.uart.reset();
  com.loop.unwatchable.insert(output);
  com.power_on();
  com.open(R::IER_ETBEI, R::FCR_ENABLE);
  com.host.room = 0;
  com.out(R::THR, 'a');
  com.out(R::THR, 'b');
  com.host.room = 1;
  com.loop.advance(50'000'000);
  CHECK(com.host.sent == "a");
  com.host.room = 1;
  com.in(R::LSR);
  CHECK(com.host.sent == "ab");
  com.host.room = 1;
  com.out(R::THR, 'c');
  CHECK(com.host.sent == "abc");
}

TEST_CASE("uart8250: a state restored in the middle of everything goes on exactly") {
  Com1 com;
  com.open(R::IER_ERBFI | R::IER_ETBEI, R::FCR_ENABLE | 0x80);
  com.out(R::LCR, R::LCR_DLAB | 3);
  com.out(R::DLL, 12);
  com.out(R::LCR, 3);
  com.out(R::SCR, 0x77);
  com.type("0123456789abcdefghij");
  CHECK(com.in(R::RBR) == '0');
  com.host.room = 2;
  for (char c : std::string("output")) com.out(R::THR, static_cast<unsigned char>(c));
  const axvm::Uart8250::State saved = com.uart->state;

  Com1 other;
  other.uart->state = saved;
  other.uart->restored();
  CHECK(other.irq.level == com.irq.level);
  CHECK(other.host.sent == "tput");
  CHECK(other.in(R::SCR) == 0x77);
  CHECK(other.in(R::IIR) == (0xc0 | R::IIR_RDA));
  CHECK(other.read_all() == "123456789abcdefghij");
  CHECK(other.in(R::IIR) == (0xc0 | R::IIR_THRE));
  other.out(R::LCR, R::LCR_DLAB | 3);
  CHECK(other.in(R::DLL) == 12);
}

TEST_CASE("uart8250: a character timeout that was running when the state was saved still comes") {
  Com1 com;
  com.open(R::IER_ERBFI, R::FCR_ENABLE | 0x80);
  com.type("ab");
  com.in(R::RBR);
  CHECK_FALSE(com.irq.level);
  Com1 other;
  other.uart->state = com.uart->state;
  other.uart->restored();
  CHECK_FALSE(other.irq.level);
  other.loop.advance(1'000'000);
  CHECK(other.irq.level);
  CHECK(other.in(R::RBR) == 'b');
}

TEST_CASE("uart8250: a state with impossible indices is made harmless") {
  Com1 com;
  com.uart->state.rx_head = 0xff;
  com.uart->state.rx_count = 0xff;
  com.uart->state.input.head = com.uart->state.input.count = 0xffff;
  com.uart->state.output.head = com.uart->state.output.count = 0xffff;
  com.uart->restored();
  com.open(R::IER_ERBFI, R::FCR_ENABLE);
  for (unsigned i = 0; i < 2000; ++i) com.in(R::RBR);
  CHECK(com.host.sent.size() == axvm::Uart8250State::ring_size);
  CHECK(com.in(R::LSR) == 0x60);
}

TEST_CASE("uart8250: open() connects to the host's console, and works without one") {
  fakes::CharacterPort console;
  const axvm::Host::Operations operations{
      [](void* self) -> axvm::Result<axvm::CharacterPort> { return static_cast<fakes::CharacterPort*>(self)->port(); },
      nullptr};
  auto opened = axvm::Uart8250::open({}, axvm::Host(&console, &operations));
  REQUIRE(opened);
  opened->port.write(axvm::bytes_of('x'));
  CHECK(console.sent == "x");

  auto alone = axvm::Uart8250::open({}, axvm::Host{});
  REQUIRE(alone);
  axvm::DeviceContext context;
  axvm::Uart8250 uart({}, *alone, context);
  uart.write({R::THR, 1, 'x'});
  axvm::PioAccess lsr{R::LSR, 1, ~0u};
  uart.read(lsr);
  CHECK(lsr.value == 0x60);
  CHECK(axvm::Uart8250::present({}));
  CHECK_FALSE(axvm::Uart8250::present({.enabled = false}));
}

TEST_CASE("uart8250: the DSDT names a PNP0501 with its ports and its interrupt") {
  std::array<std::byte, 128> storage{};
  axvm::acpi::Aml aml(storage);
  axvm::Uart8250::describe_acpi(aml, {.claims = axvm::Uart8250::claims.list});
  REQUIRE(aml.status());
  const std::vector<unsigned> expected{
      0x5b, 0x82, 0x2c, 'C',  'O',  'M',  '1',                     // Device (COM1)
      0x08, '_',  'H',  'I',  'D',  0x0c, 0x41, 0xd0, 0x05, 0x01,  // _HID, EisaId ("PNP0501")
      0x08, '_',  'U',  'I',  'D',  0x00,                          // _UID, Zero
      0x08, '_',  'C',  'R',  'S',  0x11, 0x11, 0x0a, 0x0e,        // _CRS, Buffer
      0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08,              // IO (Decode16, 0x3f8, 0x3f8, 1, 8)
      0x23, 0x10, 0x00, 0x01,                                      // IRQ (Edge, ActiveHigh, Exclusive) {4}
  };
  REQUIRE(aml.written().size() >= expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(std::to_integer<unsigned>(aml.written()[i]) == expected[i]);
  }
}
