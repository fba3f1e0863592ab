#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/device/device.hpp>
#include <axvm/device/io_apic_entry.hpp>
#include <axvm/device/message.hpp>

namespace axvm::inline v1 {

/// The I/O APIC of a PC, which makes messages of interrupt lines ([intel/82093aa]; the EOI register as in [intel/ich9]
/// 13.5). A machine whose hypervisor has local APICs only gets one unasked.
///
/// Modelled: the index, data and EOI registers, identification, version and arbitration, a redirection entry for each
/// line, both trigger modes with remote IRR, and the delivery modes fixed, lowest priority, NMI and INIT. There are as
/// many lines as are connected, for each costs an operating system time when it starts. Left out: SMI and ExtINT, of
/// which nothing is sent; the polarity bit, which keeps its value: a line is asserted when it is high. As in the data
/// sheet, an edge on a masked line is lost. An index beyond the registers reads zero. Accesses that are not aligned to
/// a register, and writes of less than 32 bits to anything but the index, do nothing; such reads give zero.
class IoApic {
 public:
  static constexpr std::uint64_t base = 0xfec0'0000;
  static constexpr auto claims = axvm::claims(Mmio{.base = base, .size = 0x1000});

  /// How many lines there can be.
  static constexpr unsigned max_pins = 48;

  // Offsets in the window.
  static constexpr std::uint64_t IOREGSEL = 0x00;
  static constexpr std::uint64_t IOWIN = 0x10;
  static constexpr std::uint64_t EOIR = 0x40;
  // Registers by index.
  static constexpr std::uint8_t IOAPICID = 0x00;
  static constexpr std::uint8_t IOAPICVER = 0x01;
  static constexpr std::uint8_t IOAPICARB = 0x02;
  static constexpr std::uint8_t IOREDTBL = 0x10;  ///< two for each line, the low half first

  /// The lowest version with an EOI register.
  static constexpr std::uint8_t version = 0x20;

  struct Config {};

  struct State {
    std::uint8_t select = 0;   ///< IOREGSEL
    std::uint8_t id = 0;       ///< bits 27:24 of IOAPICID
    std::uint64_t levels = 0;  ///< bit N: line N is high; of lines that send edges always 0
    std::array<std::uint64_t, max_pins> entries = all_masked();  ///< IOREDTBL
  };

  IoApic(Config const&, DeviceContext& context) : messages_(context.messages) {}
  IoApic(IoApic const&) = delete;
  IoApic& operator=(IoApic const&) = delete;

  /// There is something at this line, below max_pins; before the guest runs.
  void connect(unsigned line) {
    if (line >= pins_) pins_ = line + 1;
  }
  [[nodiscard]] unsigned pins() const { return pins_; }

  void read(MmioAccess& access) const {
    access.value = access.offset == IOREGSEL ? state.select : access.offset == IOWIN ? read_register() : 0;
  }

  void write(MmioAccess const& access) {
    const auto value = static_cast<std::uint32_t>(access.value);
    if (access.offset == IOREGSEL) state.select = static_cast<std::uint8_t>(value);
    else if (access.width < 4) return;
    else if (access.offset == IOWIN) write_register(value);
    else if (access.offset == EOIR) end_of_interrupt(static_cast<std::uint8_t>(value));
  }

  /// A line that sends edges has sent one. As all else under the device's lock, or without it as long as the object
  /// lives: an edge takes one look at its entry.
  void edge(unsigned line) {
    const IoApicEntry entry = load(line);
    if (!entry.masked() && entry.can_send()) messages_.send(entry.message());
  }

  /// The level of a line changes.
  void set_level(unsigned line, bool level) {
    const std::uint64_t bit = std::uint64_t{1} << line;
    const bool before = (state.levels & bit) != 0;
    state.levels = level ? state.levels | bit : state.levels & ~bit;
    if (!level || before) return;
    if (load(line).level_triggered()) service(line);
    else edge(line);
  }

  /// A processor has ended the interrupt with this vector.
  void end_of_interrupt(std::uint8_t vector) {
    for (unsigned line = 0; line < pins_; ++line) {
      const IoApicEntry entry = load(line);
      if (!entry.remote_irr() || entry.vector() != vector) continue;
      store(line, entry.with_remote_irr(false));
      service(line);
    }
  }

  /// Goes on from an assigned `state`.
  void restored() {
    state.id &= id_mask;
    state.levels &= (std::uint64_t{1} << pins_) - 1;
    watched_ = 0;
    for (unsigned line = 0; line < max_pins; ++line) {
      const IoApicEntry entry = line < pins_ ? load(line).valid() : IoApicEntry{};
      messages_.watch_end(line, nullptr);
      store(line, entry);
      if (entry.remote_irr()) watch(line, entry);
      service(line);
    }
  }

  State state;

 private:
  static constexpr std::uint8_t id_mask = 0x0f;

  static constexpr std::array<std::uint64_t, max_pins> all_masked() {
    std::array<std::uint64_t, max_pins> entries{};
    for (std::uint64_t& entry : entries) entry = IoApicEntry{}.bits();
    return entries;
  }

  [[nodiscard]] IoApicEntry load(unsigned line) const {
    return IoApicEntry(__atomic_load_n(&state.entries[line], __ATOMIC_RELAXED));
  }
  void store(unsigned line, IoApicEntry entry) {
    __atomic_store_n(&state.entries[line], entry.bits(), __ATOMIC_RELAXED);
  }

  [[nodiscard]] std::uint32_t read_register() const {
    switch (state.select) {
      case IOAPICID:
      case IOAPICARB: return std::uint32_t{state.id} << 24;
      case IOAPICVER: return (pins_ - 1) << 16 | version;
      default: break;
    }
    const unsigned line = (state.select - unsigned{IOREDTBL}) / 2;
    if (state.select < IOREDTBL || line >= pins_) return 0;
    return static_cast<std::uint32_t>(load(line).bits() >> (state.select % 2 != 0 ? 32 : 0));
  }

  void write_register(std::uint32_t value) {
    if (state.select == IOAPICID) state.id = static_cast<std::uint8_t>(value >> 24 & id_mask);
    const unsigned line = (state.select - unsigned{IOREDTBL}) / 2;
    if (state.select < IOREDTBL || line >= pins_) return;
    const IoApicEntry before = load(line);
    const IoApicEntry entry = state.select % 2 != 0 ? before.with_high(value) : before.with_low(value);
    // Whether an end is heard of costs a call of the hypervisor. One that is only masked stays so.
    if ((watched_ >> line & 1) != 0 && (!entry.level_triggered() || entry.message() != before.message())) {
      watched_ &= ~(std::uint64_t{1} << line);
      if (entry.masked() || !entry.level_triggered()) messages_.watch_end(line, nullptr);
    }
    store(line, entry);
    service(line);
  }

  /// Sends what a level-triggered line has to send.
  void service(unsigned line) {
    const IoApicEntry entry = load(line);
    if (!entry.level_triggered() || entry.masked() || !entry.can_send()) return;
    watch(line, entry);
    if (entry.remote_irr() || (state.levels >> line & 1) == 0) return;
    store(line, entry.with_remote_irr(true));
    messages_.send(entry.message());
  }

  void watch(unsigned line, IoApicEntry entry) {
    if ((watched_ >> line & 1) != 0) return;
    watched_ |= std::uint64_t{1} << line;
    const Message message = entry.message();
    messages_.watch_end(line, &message);
  }

  MessageSink messages_;
  unsigned pins_ = 1;
  std::uint64_t watched_ = 0;  ///< bit N: the hypervisor tells of the end of what line N sends
};

static_assert(Device<IoApic>);
static_assert(HasMmio<IoApic>);

}  // namespace axvm::inline v1
