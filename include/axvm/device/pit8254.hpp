#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/device/device.hpp>
#include <axvm/device/pit8254_counter.hpp>

namespace axvm::inline v1 {

/// The interval timer of a PC: an 8254 at 0x40 whose counter 0 is interrupt 0, and port 0x61, which gates counter 2 and
/// shows its output ([intel/8254]; port 0x61 as in [intel/ich9] 13.7.1).
///
/// Modelled: all six modes, binary and BCD, the three ways of access with their flip-flops, counter latch and
/// read-back, null count, GATE of counter 2, OUT of counters 0 and 2, the refresh toggle. Left out: sound; OUT of
/// counter 1. The bits 2 and 3 of port 0x61 keep their value and do nothing, 6 and 7 read zero. The control port reads
/// all-ones. An interrupt is the rising edge of OUT. The line then stays high until the next one, whatever OUT does
/// meanwhile. Interrupts are at least `min_interval` apart, and those that were missed while nobody ran are one, not a
/// flood. A wider access is the byte accesses to consecutive ports that the ISA bus makes of it.
class Pit8254 {
 public:
  static constexpr auto claims =
      axvm::claims(Pio<"counters">{.base = 0x40, .size = 4}, Pio<"speaker">{.base = 0x61, .size = 1}, Irq{.line = 0});

  struct Config {};

  /// Nanoseconds between two interrupts, whatever the guest programs.
  static constexpr std::uint64_t min_interval = 100'000;

  /// Port 0x61.
  static constexpr std::uint8_t TIM_CNT2_EN = 0x01;   ///< GATE of counter 2
  static constexpr std::uint8_t SPKR_DAT_EN = 0x02;   ///< lets OUT of counter 2 reach the speaker
  static constexpr std::uint8_t REF_TOGGLE = 0x10;    ///< read only: changes with every memory refresh
  static constexpr std::uint8_t TMR2_OUT_STS = 0x20;  ///< read only: OUT of counter 2

  struct State {
    std::array<PitCounter, 3> counters{};
    std::uint8_t port61 = 0;  ///< the bits that can be written
    std::uint64_t seen = 0;   ///< the tick of the last access or interrupt: where the counters stood
  };

  Pit8254(Config const&, DeviceContext& context) : events_(context.events), irq_(context.irq()) {
    state.counters[2].gate = false;
    state.seen = tick();
  }
  Pit8254(Pit8254 const&) = delete;
  Pit8254& operator=(Pit8254 const&) = delete;

  void read(In<"counters">, PioAccess& access) {
    const std::uint64_t now = settle();
    std::uint32_t value = 0;
    for (unsigned i = 0; i < access.width; ++i) value |= std::uint32_t{read_port(access.offset + i, now)} << 8 * i;
    access.value = value;
  }
  void write(In<"counters">, PioAccess const& access) {
    const std::uint64_t now = settle();
    for (unsigned i = 0; i < access.width; ++i)
      write_port(access.offset + i, static_cast<std::uint8_t>(access.value >> 8 * i), now);
  }

  void read(In<"speaker">, PioAccess& access) {
    const std::uint64_t now = settle();
    // A refresh every 15.085 us: 18 ticks.
    access.value =
        state.port61 | (now / 18 % 2 != 0 ? REF_TOGGLE : 0u) | (state.counters[2].out(now) ? TMR2_OUT_STS : 0u);
  }
  void write(In<"speaker">, PioAccess const& access) {
    const std::uint64_t now = settle();
    state.port61 = static_cast<std::uint8_t>(access.value & port61_mask);
    state.counters[2].set_gate((state.port61 & TIM_CNT2_EN) != 0, now);
  }

  /// Goes on from an assigned `state`: the counters stand where they stood when it was last looked at them, whatever
  /// the clock shows here.
  void restored() {
    const std::uint64_t now = tick();
    for (PitCounter& counter : state.counters) {
      counter.make_valid(state.seen);
      counter.shift(now - state.seen);
    }
    state.port61 &= port61_mask;
    state.seen = now;
    irq_.set(state.counters[0].out(now));
    schedule(now);
  }

  State state;

 private:
  static constexpr std::uint8_t port61_mask = 0x0f;  ///< the bits that can be written

  [[nodiscard]] std::uint64_t tick() const { return PitClock::ticks(events_.now()); }

  std::uint64_t settle() {
    state.seen = tick();
    for (PitCounter& counter : state.counters) counter.settle(state.seen);
    return state.seen;
  }

  std::uint8_t read_port(unsigned offset, std::uint64_t now) {
    return offset < state.counters.size() ? state.counters[offset].read(now) : std::uint8_t{0xff};
  }

  void write_port(unsigned offset, std::uint8_t value, std::uint64_t now) {
    if (offset < state.counters.size()) {
      state.counters[offset].write(value, now);
      if (offset == 0) counter0_changed(now);
      return;
    }
    const unsigned select = value >> 6;
    if (select == 3) {
      for (std::size_t i = 0; i < state.counters.size(); ++i) {
        if ((value >> (i + 1) & 1u) == 0) continue;
        if ((value & 0x20) == 0) state.counters[i].latch_count(now);
        if ((value & 0x10) == 0) state.counters[i].latch_status(now);
      }
    } else if ((value & 0x30) == 0) {
      state.counters[select].latch_count(now);
    } else {
      state.counters[select].program(value);
      if (select == 0) counter0_changed(now);
    }
  }

  void counter0_changed(std::uint64_t now) {
    // A running mode 2 or 3 goes on as it is; only the programming of a counter sets the line.
    if (!state.counters[0].counting || !state.counters[0].periodic()) irq_.set(state.counters[0].out(now));
    schedule(now);
  }

  /// Has on_rise called at the next rising edge of counter 0.
  void schedule(std::uint64_t now) {
    const std::uint64_t rise = state.counters[0].next_rise(now);
    deadline_ = rise != 0 ? PitClock::nanoseconds(rise) : 0;
    if (rise != 0 && deadline_ < not_before_) deadline_ = not_before_;
    arm();
  }
  void arm() { events_.arm(0, deadline_, Callback::to<&Pit8254::on_rise>(*this)); }

  void on_rise() {
    // A call that was under way while the guest programmed another time is not for that time.
    if (deadline_ == 0 || events_.now() < deadline_) return arm();
    const std::uint64_t now = settle();
    not_before_ = events_.now() + min_interval;
    irq_.lower();
    irq_.raise();
    schedule(now);
  }

  Events events_;
  IrqLine irq_;
  std::uint64_t deadline_ = 0;    ///< of the next interrupt, ns; 0: none
  std::uint64_t not_before_ = 0;  ///< ns
};

static_assert(Device<Pit8254>);
static_assert(HasPio<Pit8254, In<"counters">> && HasPio<Pit8254, In<"speaker">>);

}  // namespace axvm::inline v1
