#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/device/byte_ring.hpp>
#include <axvm/device/uart8250_registers.hpp>

namespace axvm::inline v1 {

/// Everything a guest can tell one PC16550D from another by, and what the chip makes of it. A plain aggregate; it knows
/// nothing of hosts, lines or time.
struct Uart8250State {
  using R = Uart8250Registers;
  static constexpr std::uint8_t fifo_size = 16;   ///< bytes
  static constexpr std::size_t ring_size = 1024;  ///< bytes that wait on the way from or to the host

  std::uint8_t ier = 0, fcr = 0, lcr = 0, mcr = 0, scr = 0;  ///< the registers of these names
  std::uint8_t dll = 1, dlm = 0;                             ///< the divisor latch: 115200 baud, as firmware leaves it
  std::uint8_t msr_delta = 0;                                ///< the low half of MSR
  bool overrun = false;                                      ///< LSR's OE
  bool thre_interrupt = false;                               ///< the transmitter became empty and IIR has not told yet
  bool timeout_interrupt = false;                   ///< four character times without anybody fetching what is there
  std::uint8_t rx_head = 0;                         ///< index of the oldest byte in `rx`
  std::uint8_t rx_count = 0;                        ///< bytes in `rx`
  std::array<std::uint8_t, fifo_size> rx{};         ///< the receiver FIFO; one byte of it while the FIFOs are off
  std::array<std::uint8_t, fifo_size> rx_errors{};  ///< for each byte the LSR bits that came with it
  ByteRing<ring_size> input;                        ///< sent by the peer, waiting for room in the FIFO and for RTS
  ByteRing<ring_size> output;                       ///< sent by the guest, not yet taken by the host

  [[nodiscard]] constexpr bool divisor_access() const { return (lcr & R::LCR_DLAB) != 0; }
  [[nodiscard]] constexpr bool loopback() const { return (mcr & R::MCR_LOOP) != 0; }
  [[nodiscard]] constexpr bool fifos() const { return (fcr & R::FCR_ENABLE) != 0; }

  [[nodiscard]] constexpr std::uint8_t rx_capacity() const { return fifos() ? fifo_size : 1; }
  [[nodiscard]] constexpr std::size_t rx_room() const { return std::size_t{rx_capacity()} - rx_count; }
  /// The receiver trigger level in bytes.
  [[nodiscard]] constexpr unsigned trigger() const {
    constexpr std::array<std::uint8_t, 4> levels{1, 4, 8, 14};
    return fifos() ? levels[fcr >> 6] : 1;
  }
  /// There are bytes, but too few to be announced as received data.
  [[nodiscard]] constexpr bool below_trigger() const { return rx_count != 0 && rx_count < trigger(); }
  /// THRE and TEMT. They promise room for a whole FIFO, which drivers fill without looking again.
  [[nodiscard]] constexpr bool transmitter_ready() const { return output.room() >= fifo_size; }

  /// OE, PE, FE and BI as LSR shows them: those of the oldest byte.
  [[nodiscard]] constexpr unsigned line_errors() const {
    return (overrun ? R::LSR_OE : 0u) | (rx_count != 0 ? unsigned{rx_errors[rx_head]} : 0u);
  }

  /// The whole of LSR.
  [[nodiscard]] constexpr std::uint8_t lsr() const {
    unsigned value = line_errors();
    if (rx_count != 0) value |= R::LSR_DR;
    if (transmitter_ready()) value |= R::LSR_THRE | R::LSR_TEMT;
    if (fifos())
      for (std::uint8_t errors : rx_errors)
        if (errors != 0) value |= R::LSR_RX_FIFO;
    return static_cast<std::uint8_t>(value);
  }

  /// The high half of MSR: the peer's lines, or in loopback the chip's own outputs.
  [[nodiscard]] constexpr unsigned modem_inputs() const {
    if (!loopback()) return R::MSR_CTS | R::MSR_DSR | R::MSR_DCD;
    return ((mcr & R::MCR_RTS) != 0 ? R::MSR_CTS : 0u) | ((mcr & R::MCR_DTR) != 0 ? R::MSR_DSR : 0u) |
           ((mcr & R::MCR_OUT1) != 0 ? R::MSR_RI : 0u) | ((mcr & R::MCR_OUT2) != 0 ? R::MSR_DCD : 0u);
  }

  /// The interrupt of the highest priority that is enabled and pending, as IIR names it.
  [[nodiscard]] constexpr unsigned interrupt() const {
    if ((ier & R::IER_ELSI) != 0 && line_errors() != 0) return R::IIR_RLS;
    if ((ier & R::IER_ERBFI) != 0) {
      if (rx_count >= trigger()) return R::IIR_RDA;
      if (timeout_interrupt) return R::IIR_CTI;
    }
    if ((ier & R::IER_ETBEI) != 0 && thre_interrupt) return R::IIR_THRE;
    if ((ier & R::IER_EDSSI) != 0 && msr_delta != 0) return R::IIR_MS;
    return R::IIR_NONE;
  }

  /// Whether the chip pulls its line on the bus: OUT2 connects it, and in loopback OUT2's pin is inactive.
  [[nodiscard]] constexpr bool interrupts_bus() const {
    return (mcr & (R::MCR_OUT2 | R::MCR_LOOP)) == R::MCR_OUT2 && interrupt() != R::IIR_NONE;
  }

  /// Start bit, word, parity and stop bits of four characters at the guest's baud rate, in nanoseconds.
  [[nodiscard]] constexpr std::uint64_t four_characters() const {
    const std::uint64_t bits =
        1u + 5u + (lcr & R::LCR_WLS) + ((lcr & R::LCR_PEN) != 0 ? 1u : 0u) + ((lcr & R::LCR_STB) != 0 ? 2u : 1u);
    const std::uint64_t divisor = dll | unsigned{dlm} << 8;
    return bits * (divisor != 0 ? divisor : 1) * 4 * 1'000'000'000 / 115'200;
  }

  /// One byte arrives, with the LSR bits that came with it; false when that was an overrun. A full FIFO keeps what it
  /// has; without FIFOs the new byte replaces the old one.
  constexpr bool receive(std::uint8_t value, std::uint8_t errors) {
    const bool room = rx_room() != 0;
    if (!room) {
      overrun = true;
      if (fifos()) return false;
      rx_count = 0;
    }
    const std::size_t tail = (std::size_t{rx_head} + rx_count) % fifo_size;
    rx[tail] = value;
    rx_errors[tail] = errors;
    ++rx_count;
    return room;
  }

  /// The guest fetches a byte; an empty receiver repeats the last one.
  constexpr std::uint8_t fetch() {
    timeout_interrupt = false;
    if (rx_count == 0) return rx[(rx_head + fifo_size - 1u) % fifo_size];
    const std::uint8_t value = rx[rx_head];
    rx_errors[rx_head] = 0;
    rx_head = static_cast<std::uint8_t>((rx_head + 1u) % fifo_size);
    --rx_count;
    return value;
  }

  constexpr void clear_receiver() {
    rx_head = rx_count = 0;
    rx = {};
    rx_errors = {};
    timeout_interrupt = false;
  }

  /// Makes of a state that came from elsewhere one that the chip can be in: indices, and bits that registers lack.
  constexpr void make_valid() {
    ier &= R::IER_MASK;
    mcr &= R::MCR_MASK;
    fcr = fifos() ? fcr & (R::FCR_ENABLE | R::FCR_TRIGGER) : 0;
    msr_delta &= R::MSR_DELTA;
    for (std::uint8_t& errors : rx_errors) errors &= R::LSR_OE | R::LSR_PE | R::LSR_FE | R::LSR_BI;
    rx_head = static_cast<std::uint8_t>(rx_head % fifo_size);
    if (rx_count > rx_capacity()) rx_count = rx_capacity();
    input.make_valid();
    output.make_valid();
  }
};

}  // namespace axvm::inline v1
