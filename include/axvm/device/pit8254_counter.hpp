#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// The clock of the interval timer of a PC, and how it relates to nanoseconds. Exact over the whole range: 64 bits of
/// nanoseconds (584 years) neither wrap nor drift.
struct PitClock {
  static constexpr std::uint64_t frequency = 1'193'182;  ///< Hz
  static constexpr std::uint64_t second = 1'000'000'000;

  /// Whole ticks that have passed at a time in nanoseconds.
  static constexpr std::uint64_t ticks(std::uint64_t nanoseconds) {
    return nanoseconds / second * frequency + nanoseconds % second * frequency / second;
  }
  /// The first nanosecond at which `tick` ticks have passed; the greatest number there is when that does not fit.
  static constexpr std::uint64_t nanoseconds(std::uint64_t tick) {
    const std::uint64_t whole = tick / frequency;
    if (whole >= ~0ull / second) return ~0ull;
    return whole * second + (tick % frequency * second + frequency - 1) / frequency;
  }
};
static_assert(PitClock::ticks(PitClock::nanoseconds(12'345)) == 12'345);
static_assert(PitClock::ticks(PitClock::nanoseconds(12'345) - 1) == 12'344);
static_assert(PitClock::ticks(~0ull) / PitClock::frequency == ~0ull / PitClock::second);

/// One counter of an 8254 ([intel/8254], "Mode Definitions"): what was programmed and since when it counts. Its value
/// and its output at any tick follow from that, so nothing has to run. A plain aggregate; times are absolute ticks of
/// PitClock, and whatever depends on the time is told it.
///
/// Left out: the one tick between writing a count and its being loaded, and that a new count in mode 3 takes effect at
/// the end of the half-cycle (here at the end of the period).
struct PitCounter {
  /// How counts are read and written: the control word's RW bits.
  static constexpr std::uint8_t LSB = 1, MSB = 2, LSB_THEN_MSB = 3;

  std::uint8_t mode = 0;               ///< 0 to 5
  std::uint8_t access = LSB_THEN_MSB;  ///< LSB, MSB or LSB_THEN_MSB
  bool bcd = false;                    ///< counts in four decimal digits
  bool gate = true;                    ///< the GATE input
  bool armed = false;                  ///< a count was written since the control word
  bool counting = false;               ///< a count is loaded and, in modes 1 and 5, the trigger has come
  bool null_count = true;              ///< what was written last has not reached the counting element yet
  bool write_msb_next = false;         ///< half of a two-byte count is written
  bool read_msb_next = false;          ///< half of a two-byte count is read
  bool status_latched = false;         ///< the next read returns `latched_status`
  std::uint8_t count_latched = 0;      ///< how many bytes of `latched_count` are still to be read
  std::uint8_t latched_status = 0;
  std::uint16_t latched_count = 0;
  std::uint16_t written = 0;    ///< the count register, as the guest wrote it
  std::uint16_t loaded = 0;     ///< what the counting element works with
  std::uint64_t start = 0;      ///< when `loaded` was loaded or triggered
  std::uint64_t held = 0;       ///< with GATE low in modes 0, 2, 3, 4: ticks counted before it went low
  std::uint64_t reload_at = 0;  ///< with a null count in modes 2 and 3: when `written` replaces `loaded`

  /// Modes 2 and 3 start over by themselves; a rising GATE restarts them.
  [[nodiscard]] constexpr bool periodic() const { return mode == 2 || mode == 3; }
  /// Modes 1 and 5 start with a rising GATE and then do not mind its level.
  [[nodiscard]] constexpr bool triggered() const { return mode == 1 || mode == 5; }

  /// How many ticks a count register stands for; zero is the greatest number.
  [[nodiscard]] constexpr std::uint64_t length(std::uint16_t count) const {
    std::uint64_t n = count;
    if (bcd) n = (count >> 12) * 1000u + (count >> 8 & 15u) * 100u + (count >> 4 & 15u) * 10u + (count & 15u);
    if (n == 0) return bcd ? 10'000 : 65'536;
    return periodic() && n == 1 ? 2 : n;  // 1 is illegal there
  }

  /// Ticks since the start.
  [[nodiscard]] constexpr std::uint64_t elapsed(std::uint64_t now) const {
    return gate || triggered() ? now - start : held;
  }

  /// The level of OUT.
  [[nodiscard]] constexpr bool out(std::uint64_t now) const {
    if (!counting) return mode != 0;
    const std::uint64_t n = length(loaded);
    const std::uint64_t e = elapsed(now);
    switch (mode) {
      case 0:
      case 1: return e >= n;
      case 2: return !gate || e % n != n - 1;
      case 3: return !gate || e % n < (n + 1) / 2;
      default: return e != n;
    }
  }

  /// The counting element as a guest reads it.
  [[nodiscard]] constexpr std::uint16_t count(std::uint64_t now) const {
    if (!counting) return written;
    const std::uint64_t n = length(loaded);
    const std::uint64_t e = elapsed(now);
    std::uint64_t value = 0;
    if (mode == 2) {
      value = n - e % n;
    } else if (mode == 3) {  // twice per period down by two from the even part
      const std::uint64_t high = (n + 1) / 2;
      const std::uint64_t at = e % n;
      value = (n & ~1ull) - 2 * (at < high ? at : at - high);
    } else {  // goes on below zero
      const std::uint64_t modulus = bcd ? 10'000 : 65'536;
      value = (n % modulus + modulus - e % modulus) % modulus;
    }
    if (!bcd) return static_cast<std::uint16_t>(value);
    return static_cast<std::uint16_t>((value / 1000 % 10) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 |
                                      value % 10);
  }

  /// The first tick after `now` at which OUT rises by itself, or 0 when there is none.
  [[nodiscard]] constexpr std::uint64_t next_rise(std::uint64_t now) const {
    if (!counting || (!gate && !triggered())) return 0;
    const std::uint64_t n = length(loaded);
    if (periodic()) return start + ((now - start) / n + 1) * n;
    const std::uint64_t after = mode == 4 || mode == 5 ? n + 1 : n;
    return now - start < after ? start + after : 0;
  }

  /// Carries out what became due since the last access: the new count of a running mode 2 or 3.
  constexpr void settle(std::uint64_t now) {
    if (!null_count || !counting || !periodic() || !gate || now - start < reload_at - start) return;
    begin(reload_at);
  }

  /// A control word. OUT takes its first level and nothing counts until a count is written.
  constexpr void program(std::uint8_t control) {
    const unsigned bits = control >> 1 & 7u;
    mode = static_cast<std::uint8_t>(bits >= 6 ? bits - 4 : bits);  // 110 and 111 mean modes 2 and 3
    access = control >> 4 & 3u;
    bcd = (control & 1u) != 0;
    armed = counting = write_msb_next = read_msb_next = status_latched = false;
    count_latched = 0;
    null_count = true;
  }

  /// The status byte of the read-back command.
  [[nodiscard]] constexpr std::uint8_t status(std::uint64_t now) const {
    return static_cast<std::uint8_t>((out(now) ? 0x80u : 0u) | (null_count ? 0x40u : 0u) | unsigned{access} << 4 |
                                     unsigned{mode} << 1 | (bcd ? 1u : 0u));
  }
  /// Keeps the status for the next read. What is latched stays until it is read.
  constexpr void latch_status(std::uint64_t now) {
    if (status_latched) return;
    latched_status = status(now);
    status_latched = true;
  }
  /// Keeps the count for the next reads. What is latched stays until it is read.
  constexpr void latch_count(std::uint64_t now) {
    if (count_latched != 0) return;
    latched_count = count(now);
    count_latched = access == LSB_THEN_MSB ? 2 : 1;
  }

  /// A byte of the count, or what was latched, the status first.
  constexpr std::uint8_t read(std::uint64_t now) {
    if (status_latched) {
      status_latched = false;
      return latched_status;
    }
    bool msb = access == MSB;
    unsigned value = 0;
    if (count_latched != 0) {
      if (access == LSB_THEN_MSB) msb = count_latched == 1;
      --count_latched;
      value = latched_count;
    } else {
      if (access == LSB_THEN_MSB) {
        msb = read_msb_next;
        read_msb_next = !read_msb_next;
      }
      value = count(now);
    }
    return static_cast<std::uint8_t>(msb ? value >> 8 : value);
  }

  /// A byte of a new count; the last one makes it count.
  constexpr void write(std::uint8_t value, std::uint64_t now) {
    if (access == LSB) return load(value, now);
    if (access == MSB) return load(static_cast<std::uint16_t>(value << 8), now);
    write_msb_next = !write_msb_next;
    if (!write_msb_next) return load(static_cast<std::uint16_t>((written & 0x00ffu) | unsigned{value} << 8), now);
    written = static_cast<std::uint16_t>((written & 0xff00u) | value);
    if (mode == 0) counting = false;  // the first byte stops it and takes OUT low
  }

  /// Changes the GATE input.
  constexpr void set_gate(bool level, std::uint64_t now) {
    if (level == gate) return;
    if (!level) held = now - start;
    gate = level;
    if (!level) return;
    if (triggered() ? armed : periodic() && counting) begin(now);
    else start = now - held;
  }

  /// Makes of a counter that came from elsewhere one that can be, looked at for the last time at the tick `seen`.
  constexpr void make_valid(std::uint64_t seen) {
    mode &= 7;
    if (mode >= 6) mode = static_cast<std::uint8_t>(mode - 4);
    access &= LSB_THEN_MSB;
    if (access == 0) access = LSB_THEN_MSB;
    const std::uint8_t latches = access == LSB_THEN_MSB ? 2 : 1;
    if (count_latched > latches) count_latched = latches;
    if (seen - start > ~0ull / 2) start = seen;  // it starts in the future; differences count, as ticks may wrap
  }

  /// Moves everything in time, after the clock itself was exchanged.
  constexpr void shift(std::uint64_t ticks) {
    start += ticks;
    reload_at += ticks;
  }

 private:
  constexpr void load(std::uint16_t count, std::uint64_t now) {
    written = count;
    armed = null_count = true;
    if (triggered()) return;
    if (!periodic() || !counting) return begin(now);
    const std::uint64_t n = length(loaded);
    reload_at = start + ((now - start) / n + 1) * n;
  }
  constexpr void begin(std::uint64_t now) {
    loaded = written;
    null_count = false;
    counting = true;
    start = now;
    held = 0;
  }
};

}  // namespace axvm::inline v1
