#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/acpi/acpi.hpp>
#include <axvm/core/core.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/placement.hpp>
#include <axvm/device/uart8250_registers.hpp>
#include <axvm/device/uart8250_state.hpp>

namespace axvm::inline v1 {

/// COM1: a National Semiconductor PC16550D at 0x3f8, wired to interrupt 4 as on a PC ([ns/16550d]).
///
/// Modelled: both FIFOs, every interrupt source with its priority and its way of being cleared, the character timeout,
/// the divisor latch, loopback, the modem lines and their deltas, breaks, overruns, and that OUT2 connects the
/// interrupt to the bus (in loopback it does not, as that pin is then inactive).
/// Left out: the line itself. A byte takes no time, so word length, parity and stop bits only decide how long four
/// character times are; there are no parity or framing errors. The peer is always there: CTS, DSR and DCD are on.
/// Ignored: DMA mode (FCR bit 3), reserved bits, writes to LSR and MSR, a break sent outside loopback.
/// A wider access is the byte accesses to consecutive registers that the ISA bus makes of it.
///
/// Towards the host nothing ever blocks. What the port does not take at once waits in a ring; with less room in it than
/// one FIFO load THRE and TEMT go clear and the guest waits. What arrives waits in another ring, and the port is read
/// as long as that has room, so that a console's escape keys work whatever the guest does. From there bytes reach the
/// receiver while it has room and the guest asserts RTS: drivers do so when they open the line, and before that they
/// clear the FIFO, in which early or piped input would be lost. `flow_control = false` does not wait for RTS.
class Uart8250 {
 public:
  static constexpr auto claims = axvm::claims(Pio{.base = 0x3f8, .size = 8}, Irq{.line = 4});

  struct Config {
    bool enabled = true;       ///< false: the guest has no COM1
    bool flow_control = true;  ///< the peer sends only while the guest asserts RTS
  };
  /// Help, units and short flags of the settings.
  static constexpr auto fields =
      axvm::fields(field<&Config::enabled>{.help = "whether the guest has the serial port COM1"},
                   field<&Config::flow_control>{.help = "hold input back until the guest asserts RTS"});

  /// What stays open across resets.
  struct Resources {
    CharacterPort port;  ///< where the bytes come from and go to
  };

  using State = Uart8250State;

  /// What happened since the device was built.
  struct Counters {
    Counter received;     ///< bytes taken from the host
    Counter sent;         ///< bytes the host took
    Counter lost_output;  ///< bytes the guest wrote although THRE was clear and the ring was full
    Counter overruns;     ///< bytes that found the receiver full (loopback and breaks only)
  };

  static bool present(Config const& config) { return config.enabled; }

  /// Connects to the program's console.
  [[AXVM_ONCE]] static Result<Resources> open(Config const&, HostWith<HostPart::Console> const& host) {
    auto port = host.console();
    if (!port) return std::unexpected(port.error());
    return Resources{*port};
  }

  /// What the DSDT says of it: a 16550A-compatible COM port.
  [[AXVM_ONCE]] static void describe_acpi(acpi::Aml& aml, Placement const& place) {
    Claim const& ports = place.find(ClaimKind::Pio);
    Claim const& line = place.find(ClaimKind::Irq);
    aml.device("COM1", [&] {
      aml.name("_HID", acpi::EisaId("PNP0501"));
      aml.name("_UID", place.instance);
      aml.name("_CRS", acpi::ResourceTemplate{}.io(ports.base, ports.size).irq(line.base));
    });
  }

  Uart8250(Config const& config, Resources& resources, DeviceContext& context)
      : port_(resources.port),
        events_(context.events),
        irq_(context.irq()),
        input_(resources.port.input()),
        output_(resources.port.output()),
        flow_control_(config.flow_control) {
    attend_input();
  }
  Uart8250(Uart8250 const&) = delete;
  Uart8250& operator=(Uart8250 const&) = delete;
  /// What the guest sent last is not lost when the machine ends: a reader that is slow gets up to a second for it.
  ~Uart8250() {
    drain();
    for (unsigned i = 0; i < 20 && !state.output.empty() && port_.wait(50); ++i) drain();
  }

  [[AXVM_ONCE]] void read(PioAccess& access) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < access.width; ++i) value |= std::uint32_t{read_register(access.offset + i)} << 8 * i;
    access.value = value;
  }

  [[AXVM_ONCE]] void write(PioAccess const& access) {
    for (unsigned i = 0; i < access.width; ++i)
      write_register(access.offset + i, static_cast<std::uint8_t>(access.value >> 8 * i));
  }

  /// The peer holds the line low for a while: a terminal's break key, which Linux takes for SysRq. In loopback the
  /// receiver is not connected and sees nothing.
  void receive_break() {
    if (state.loopback()) return;
    receive(0, R::LSR_BI);
    state.timeout_interrupt = state.below_trigger();
    update_interrupt();
  }

  /// Goes on from an assigned `state`.
  void restored() {
    state.make_valid();
    if (state.rx_count == 0) deliver();  // else the guest fetches what is there first, as it would have
    attend_input();
    if (!state.output.empty()) flush();
    restart_timeout();
    update_interrupt();
  }

  State state;        ///< the only thing saved
  Counters counters;  ///< for metrics

 private:
  using R = Uart8250Registers;
  static constexpr unsigned timeout_timer = 0, output_timer = 1;
  /// When the output was announced writable and takes nothing, or cannot be watched: tried again after so long, in ns.
  static constexpr std::uint64_t output_retry = 20'000'000;

  std::uint8_t read_register(unsigned offset) {
    switch (offset) {
      case R::RBR: return state.divisor_access() ? state.dll : read_rbr();
      case R::IER: return state.divisor_access() ? state.dlm : state.ier;
      case R::IIR: return read_iir();
      case R::LCR: return state.lcr;
      case R::MCR: return state.mcr;
      case R::LSR: return read_lsr();
      case R::MSR: return read_msr();
      case R::SCR: return state.scr;
      default: return 0xff;
    }
  }

  void write_register(unsigned offset, std::uint8_t value) {
    const bool latch = state.divisor_access();
    switch (offset) {
      case R::THR: latch ? void(state.dll = value) : write_thr(value); break;
      case R::IER: latch ? void(state.dlm = value) : write_ier(value); break;
      case R::FCR: write_fcr(value); break;
      case R::LCR: write_lcr(value); break;
      case R::MCR: write_mcr(value); break;
      case R::SCR: state.scr = value; break;
      default: break;  // LSR and MSR
    }
  }

  std::uint8_t read_rbr() {
    const std::uint8_t value = state.fetch();
    update_interrupt();  // low in between where the timeout was the reason, so that its next one is a new edge
    if (state.rx_count == 0) deliver();
    restart_timeout();
    update_interrupt();
    return value;
  }

  std::uint8_t read_iir() {
    const unsigned id = state.interrupt();
    if (id == R::IIR_THRE) {
      state.thre_interrupt = false;
      update_interrupt();
    }
    return static_cast<std::uint8_t>(id | (state.fifos() ? R::IIR_FIFOS : 0u));
  }

  std::uint8_t read_lsr() {
    if (!state.output.empty() && !watching_output_) flush();
    const std::uint8_t value = state.lsr();
    state.overrun = false;
    state.rx_errors[state.rx_head] = 0;
    update_interrupt();
    return value;
  }

  std::uint8_t read_msr() {
    const auto value = static_cast<std::uint8_t>(state.modem_inputs() | state.msr_delta);
    state.msr_delta = 0;
    update_interrupt();
    return value;
  }

  void write_thr(std::uint8_t value) {
    state.thre_interrupt = false;
    update_interrupt();  // low in between, so that the next "empty" is a new edge
    if (state.loopback()) {
      receive(value, 0);
      restart_timeout();
    } else {
      send(value);
    }
    state.thre_interrupt = state.transmitter_ready();
    update_interrupt();
  }

  void write_ier(std::uint8_t value) {
    const unsigned enabled = value & ~unsigned{state.ier};
    state.ier = value & R::IER_MASK;
    // Enabling the interrupt while the transmitter is empty raises it again: drivers start sending that way.
    if ((enabled & R::IER_ETBEI) != 0 && state.transmitter_ready()) state.thre_interrupt = true;
    if ((enabled & R::IER_ERBFI) != 0) restart_timeout();
    update_interrupt();
  }

  void write_fcr(std::uint8_t value) {
    const bool enable = (value & R::FCR_ENABLE) != 0;
    if (enable != state.fifos() || (enable && (value & R::FCR_CLEAR_RCVR) != 0)) state.clear_receiver();
    // The ring is the line, not the transmitter FIFO, which is always empty: nothing to clear there.
    state.fcr = enable ? value & (R::FCR_ENABLE | R::FCR_TRIGGER) : 0;
    deliver();
    restart_timeout();
    update_interrupt();
  }

  void write_lcr(std::uint8_t value) {
    const bool begins_break = (value & ~unsigned{state.lcr} & R::LCR_SB) != 0;
    state.lcr = value;
    if (begins_break && state.loopback()) {
      receive(0, R::LSR_BI);
      restart_timeout();
      update_interrupt();
    }
  }

  void write_mcr(std::uint8_t value) {
    const unsigned before = state.modem_inputs();
    state.mcr = value & R::MCR_MASK;
    const unsigned changed = before ^ state.modem_inputs();
    state.msr_delta |= (changed >> 4) & (R::MSR_DCTS | R::MSR_DDSR | R::MSR_DDCD);
    if ((changed & before & R::MSR_RI) != 0) state.msr_delta |= R::MSR_TERI;
    deliver();
    update_interrupt();
  }

  void update_interrupt() { irq_.set(state.interrupts_bus()); }

  /// One byte arrives, with the LSR bits that came with it.
  void receive(std::uint8_t value, std::uint8_t errors) {
    if (!state.receive(value, errors)) counters.overruns.add();
  }

  /// Something moved in the receiver: the four character times begin anew. One timer serves a whole burst: it is not
  /// moved for each byte but looks, when it fires, whether it is time yet.
  void restart_timeout() {
    if (state.timeout_interrupt || !state.below_trigger() || (state.ier & R::IER_ERBFI) == 0) return;
    timeout_at_ = events_.now() + state.four_characters();
    if (!timeout_armed_) arm_timeout();
  }
  void arm_timeout() {
    timeout_armed_ = true;
    events_.arm(timeout_timer, timeout_at_, Callback::to<&Uart8250::on_timeout>(*this));
  }
  void on_timeout() {
    timeout_armed_ = false;
    if (!state.below_trigger() || state.timeout_interrupt) return;
    if (events_.now() < timeout_at_) return arm_timeout();
    state.timeout_interrupt = true;
    update_interrupt();
  }

  /// Reads what has arrived, as far as the ring has room in one piece.
  void take_input() {
    const Bytes space = state.input.space();
    if (space.empty()) return;
    std::size_t count = port_.read(space);
    if (count > space.size()) count = space.size();
    state.input.added(count);
    counters.received.add(count);
    if (count == 0 && port_.input() < 0) input_over_ = true;
  }

  /// Watches the input while the ring has room; once full, not before half of it is free again.
  [[AXVM_ONCE]] void attend_input() {
    if (input_ < 0) return;
    const bool wanted =
        !input_over_ && (watching_input_ ? state.input.room() != 0 : state.input.room() >= State::ring_size / 2);
    if (wanted == watching_input_) return;
    const bool watched = events_.watch(input_, wanted ? Interest::Readable : Interest::Nothing,
                                       wanted ? Callback::to<&Uart8250::on_input>(*this) : Callback{});
    watching_input_ = wanted && watched;
  }

  void on_input() {
    take_input();
    deliver();
    update_interrupt();
  }

  /// Moves bytes on into the receiver, as far as that may have them.
  void deliver() {
    const bool open = !state.loopback() && (!flow_control_ || (state.mcr & R::MCR_RTS) != 0);
    if (open && state.rx_room() != 0) {
      // What cannot be watched, like a file, is always ready: read when the guest could use it.
      if (state.input.empty() && !watching_input_ && !input_over_ && input_ >= 0) take_input();
      if (!state.input.empty()) {
        while (!state.input.empty() && state.rx_room() != 0) receive(state.input.pop(), 0);
        // Nothing more follows, so the line is idle: no need to let the guest wait for four characters.
        state.timeout_interrupt = state.below_trigger();
      }
    }
    attend_input();
  }

  void send(std::uint8_t value) {
    if (!state.output.empty() && !watching_output_) drain();
    if (state.output.empty()) {
      const auto byte = static_cast<std::byte>(value);
      if (port_.write(ConstBytes(&byte, 1)) != 0) return counters.sent.add();
    }
    if (state.output.room() == 0) return counters.lost_output.add();
    state.output.push(value);
    wait_for_output();
  }

  /// Gives the host what it takes of the ring; whether it took anything.
  [[AXVM_ONCE]] bool drain() {
    bool any = false;
    while (!state.output.empty()) {
      const ConstBytes waiting = state.output.front();
      std::size_t count = port_.write(waiting);
      if (count > waiting.size()) count = waiting.size();
      if (count == 0) break;
      state.output.drop(count);
      counters.sent.add(count);
      any = true;
    }
    return any;
  }

  /// drain(), and what the guest and the event loop are to know afterwards.
  bool flush() {
    const bool was_ready = state.transmitter_ready();
    const bool any = drain();
    if (!was_ready && state.transmitter_ready()) state.thre_interrupt = true;
    wait_for_output();
    update_interrupt();
    return any;
  }

  /// Has on_output called when the host has room, by a timer where that cannot be watched; not at all without need.
  void wait_for_output() {
    if (state.output.empty()) {
      if (watching_output_) events_.watch(output_, Interest::Nothing, {});
      watching_output_ = false;
    } else if (!watching_output_ && !output_timed_) {
      watching_output_ =
          output_ >= 0 && events_.watch(output_, Interest::Writable, Callback::to<&Uart8250::on_output>(*this));
      if (!watching_output_) time_output();
    }
  }
  void time_output() {
    output_timed_ = true;
    events_.arm(output_timer, events_.now() + output_retry, Callback::to<&Uart8250::on_output_retry>(*this));
  }
  void on_output() {
    if (flush() || !watching_output_) return;
    // Announced as writable and takes nothing: the reader is gone. Ask again later instead of for ever.
    events_.watch(output_, Interest::Nothing, {});
    watching_output_ = false;
    time_output();
  }
  void on_output_retry() {
    output_timed_ = false;
    flush();
  }

  CharacterPort port_;
  Events events_;
  IrqLine irq_;
  int input_;
  int output_;
  bool flow_control_;
  bool watching_input_ = false;
  bool input_over_ = false;  ///< there never will be any more
  bool watching_output_ = false;
  bool output_timed_ = false;   ///< the output timer runs
  bool timeout_armed_ = false;  ///< the timeout timer runs
  std::uint64_t timeout_at_ = 0;
};

static_assert(Device<Uart8250>);
static_assert(HasPio<Uart8250> && HasResources<Uart8250> && HasPresence<Uart8250>);

}  // namespace axvm::inline v1
