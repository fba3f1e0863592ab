#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

// The I/O APIC by itself, and in machines on a hypervisor with local APICs only.

using namespace axvm;

namespace {

constexpr std::uint32_t masked = 1u << 16, level = 1u << 15, remote_irr = 1u << 14, low_active = 1u << 13,
                        pending = 1u << 12, logical = 1u << 11;
constexpr std::uint32_t delivery(unsigned mode) { return mode << 8; }

/// An I/O APIC, and where its messages end up.
struct Chip {
  explicit Chip(unsigned lines = 16) {
    for (unsigned line = 0; line < lines; ++line) chip.connect(line);
  }
  static DeviceContext& with_sink(DeviceContext& context, Chip& self) {
    static constexpr MessageSink::Operations operations{
        [](void* to, Message const& message) { static_cast<Chip*>(to)->sent.push_back(message); },
        [](void* to, unsigned line, Message const* message) {
          auto& chip = *static_cast<Chip*>(to);
          ++chip.watch_calls;
          if (message != nullptr) chip.watched[line] = *message;
          else chip.watched[line].reset();
        }};
    context.messages = {&self, &operations};
    return context;
  }

  std::uint64_t load(std::uint64_t offset, std::uint8_t width = 4) const {
    MmioAccess access{offset, width, ~std::uint64_t{0}};
    chip.read(access);
    return access.value;
  }
  void store(std::uint64_t offset, std::uint64_t value, std::uint8_t width = 4) { chip.write({offset, width, value}); }
  std::uint32_t get(unsigned index) {
    store(IoApic::IOREGSEL, index);
    return static_cast<std::uint32_t>(load(IoApic::IOWIN));
  }
  void set(unsigned index, std::uint32_t value) {
    store(IoApic::IOREGSEL, index);
    store(IoApic::IOWIN, value);
  }
  static constexpr unsigned low(unsigned line) { return IoApic::IOREDTBL + 2 * line; }
  /// As operating systems do it: where to first, then what.
  void program(unsigned line, std::uint32_t what, std::uint8_t to = 0) {
    set(low(line) + 1, std::uint32_t{to} << 24);
    set(low(line), what);
  }
  std::size_t take() {
    const std::size_t count = sent.size();
    sent.clear();
    return count;
  }

  std::vector<Message> sent;
  std::array<std::optional<Message>, IoApic::max_pins> watched{};
  unsigned watch_calls = 0;
  DeviceContext context;
  IoApic chip{IoApic::Config{}, with_sink(context, *this)};
};

}  // namespace

TEST_CASE("io_apic: what it is, and as many entries as lines, all masked") {
  Chip few, many(IoApic::max_pins);
  CHECK(few.get(IoApic::IOAPICVER) == (15u << 16 | 0x20));
  CHECK(many.get(IoApic::IOAPICVER) == (47u << 16 | 0x20));
  CHECK(few.get(IoApic::IOAPICID) == 0);
  few.set(IoApic::IOAPICID, 0xffff'ffff);
  few.set(IoApic::IOAPICVER, 0);
  few.set(IoApic::IOAPICARB, 0);
  CHECK(few.get(IoApic::IOAPICID) == 0x0f00'0000);
  CHECK(few.get(IoApic::IOAPICARB) == 0x0f00'0000);
  CHECK(few.get(IoApic::IOAPICVER) == (15u << 16 | 0x20));
  for (unsigned line = 0; line < 16; ++line) {
    CHECK(few.get(Chip::low(line)) == masked);
    CHECK(few.get(Chip::low(line) + 1) == 0);
  }
  // A line up to which there are entries, though nothing is connected between.
  Chip last(0);
  CHECK(last.get(IoApic::IOAPICVER) == 0x20);
  last.chip.connect(20);
  last.chip.connect(3);
  CHECK(last.chip.pins() == 21);
}

TEST_CASE("io_apic: an entry keeps what can be written, halves apart") {
  Chip chip;
  chip.set(Chip::low(3), 0xffff'ffff);
  CHECK(chip.get(Chip::low(3)) == (0x1'ffff & ~remote_irr & ~pending));
  CHECK(chip.get(Chip::low(3) + 1) == 0);
  chip.set(Chip::low(3) + 1, 0xffff'ffff);
  CHECK(chip.get(Chip::low(3) + 1) == 0xff00'0000);
  CHECK(chip.get(Chip::low(3)) == (0x1'ffff & ~remote_irr & ~pending));
  chip.set(Chip::low(3), 0);
  CHECK(chip.get(Chip::low(3)) == 0);
  CHECK(chip.get(Chip::low(3) + 1) == 0xff00'0000);
  CHECK(chip.get(Chip::low(2)) == masked);
  CHECK(chip.get(Chip::low(4)) == masked);
}

TEST_CASE("io_apic: an edge is a message of what the entry says; while masked it is lost") {
  Chip chip;
  chip.chip.edge(5);
  chip.program(5, masked | 0x31, 7);
  chip.chip.edge(5);
  chip.program(5, 0x31, 7);
  CHECK(chip.take() == 0);
  chip.chip.edge(5);
  chip.chip.edge(5);
  REQUIRE(chip.sent.size() == 2);
  CHECK(chip.sent[0] == Message{0xfee0'7000, 0x31});
  CHECK(chip.sent[1] == chip.sent[0]);
  chip.take();
  chip.program(5, 0xfe | logical | delivery(1) | low_active, 0xff);
  chip.chip.edge(5);
  REQUIRE(chip.sent.size() == 1);
  CHECK(chip.sent[0] == Message{0xfeef'f00c, 0x1fe});
  CHECK(chip.get(Chip::low(5)) == (0xfe | logical | delivery(1) | low_active));  // it waits for no end
  CHECK(chip.watch_calls == 0);
}

TEST_CASE("io_apic: NMI and INIT are sent whatever the trigger mode; SMI, ExtINT, reserved modes and vectors are not") {
  Chip chip;
  for (unsigned mode = 0; mode < 8; ++mode) {
    CAPTURE(mode);
    for (const std::uint32_t trigger : {0u, level}) {
      chip.program(4, delivery(mode) | trigger | 0x0f);  // a vector that is none
      chip.chip.edge(4);
      CHECK(chip.take() == (mode == 4 || mode == 5 ? 1u : 0u));
    }
  }
  chip.chip.set_level(4, true);  // NMI is an edge for a line that has levels, too
  chip.program(4, delivery(4) | level);
  CHECK(chip.take() == 0);
  chip.chip.set_level(4, false);
  chip.chip.set_level(4, true);
  REQUIRE(chip.sent.size() == 1);
  CHECK(chip.sent[0] == Message{0xfee0'0000, 0x400});
  CHECK((chip.get(Chip::low(4)) & remote_irr) == 0);
  CHECK(chip.watch_calls == 0);
}

TEST_CASE("io_apic: a level is sent once, and again after its end as long as it is there") {
  Chip chip;
  chip.program(9, level | 0x39, 2);
  REQUIRE(chip.watched[9].has_value());  // before anything is sent
  CHECK(*chip.watched[9] == Message{0xfee0'2000, 0xc039});
  chip.chip.set_level(9, true);
  chip.chip.set_level(9, true);
  REQUIRE(chip.sent.size() == 1);
  CHECK(chip.sent[0] == Message{0xfee0'2000, 0xc039});
  CHECK(chip.get(Chip::low(9)) == (level | remote_irr | 0x39));
  chip.chip.end_of_interrupt(0x38);
  CHECK(chip.take() == 1);
  chip.chip.end_of_interrupt(0x39);
  CHECK(chip.take() == 1);
  CHECK(chip.get(Chip::low(9)) == (level | remote_irr | 0x39));
  chip.chip.set_level(9, false);
  chip.chip.set_level(9, true);  // before the end: one interrupt
  chip.chip.set_level(9, false);
  CHECK(chip.take() == 0);
  chip.chip.end_of_interrupt(0x39);
  CHECK(chip.take() == 0);
  CHECK(chip.get(Chip::low(9)) == (level | 0x39));
  CHECK(chip.watch_calls == 1);  // it costs a call, and nothing changed
}

TEST_CASE("io_apic: a masked level waits; the mask does not end what was sent") {
  Chip chip;
  chip.program(9, level | masked | 0x39);
  CHECK(chip.watch_calls == 0);
  chip.chip.set_level(9, true);
  CHECK(chip.take() == 0);
  chip.set(Chip::low(9), level | 0x39);
  CHECK(chip.take() == 1);
  chip.set(Chip::low(9), level | masked | 0x39);
  CHECK(chip.get(Chip::low(9)) == (level | masked | remote_irr | 0x39));
  chip.set(Chip::low(9), level | 0x39);
  CHECK(chip.take() == 0);
  chip.set(Chip::low(9), level | masked | 0x39);
  chip.chip.end_of_interrupt(0x39);
  CHECK(chip.take() == 0);
  chip.set(Chip::low(9), level | 0x39);
  CHECK(chip.take() == 1);
  CHECK(chip.watch_calls == 1);
}

TEST_CASE("io_apic: the EOI register ends it, and so does making it an edge") {
  Chip chip;
  chip.program(9, level | 0x39);
  chip.chip.set_level(9, true);
  CHECK(chip.take() == 1);
  chip.store(IoApic::EOIR, 0x139);  // eight bits count
  CHECK(chip.take() == 1);
  chip.set(Chip::low(9), masked | 0x39);
  CHECK(chip.get(Chip::low(9)) == (masked | 0x39));
  CHECK_FALSE(chip.watched[9].has_value());
  chip.set(Chip::low(9), level | 0x39);
  CHECK(chip.take() == 1);
}

TEST_CASE("io_apic: another vector or another processor is watched instead") {
  Chip chip;
  chip.program(9, level | 0x39);
  chip.set(Chip::low(9), level | 0x41);
  REQUIRE(chip.watched[9].has_value());
  CHECK(chip.watched[9]->data == 0xc041);
  chip.set(Chip::low(9) + 1, 3u << 24);
  CHECK(chip.watched[9]->address == 0xfee0'3000);
  CHECK(chip.watch_calls == 3);
  chip.set(Chip::low(9), level | masked | 0x42);
  CHECK_FALSE(chip.watched[9].has_value());
  // Two lines with one vector end together.
  chip.program(9, level | 0x50);
  chip.program(10, level | 0x50);
  chip.chip.set_level(9, true);
  chip.chip.set_level(10, true);
  CHECK(chip.take() == 2);
  chip.chip.set_level(9, false);
  chip.chip.end_of_interrupt(0x50);
  CHECK(chip.take() == 1);
  CHECK(chip.get(Chip::low(9)) == (level | 0x50));
  CHECK(chip.get(Chip::low(10)) == (level | remote_irr | 0x50));
}

TEST_CASE("io_apic: a level line whose entry says edge sends at the rise") {
  Chip chip;
  chip.program(9, 0x39);
  chip.chip.set_level(9, true);
  chip.chip.set_level(9, true);
  CHECK(chip.take() == 1);
  chip.chip.set_level(9, false);
  chip.chip.end_of_interrupt(0x39);
  CHECK(chip.take() == 0);
}

TEST_CASE("io_apic: indices, offsets and widths that do not exist") {
  Chip chip;
  chip.program(15, 0x77, 1);
  for (unsigned index = 0; index < 0x200; ++index) {
    CAPTURE(index);
    const unsigned selected = index & 0xff;
    const bool exists = selected < 3 || (selected >= 0x10 && selected < 0x30);
    chip.store(IoApic::IOREGSEL, index);
    CHECK(chip.load(IoApic::IOREGSEL) == selected);
    if (exists) continue;
    chip.store(IoApic::IOWIN, 0xffff'ffff);
    CHECK(chip.load(IoApic::IOWIN) == 0);
  }
  CHECK(chip.get(Chip::low(15)) == 0x77);
  chip.store(IoApic::IOREGSEL, Chip::low(15), 1);
  for (std::uint64_t offset = 0; offset < 0x1000; ++offset)
    for (const std::uint8_t width : std::array<std::uint8_t, 4>{1, 2, 4, 8}) {
      if (offset + width > 0x1000 || offset == IoApic::IOREGSEL || (offset == IoApic::IOWIN && width >= 4)) continue;
      chip.store(offset, ~std::uint64_t{0} >> (64 - 8 * width), width);
      if (offset != IoApic::IOWIN) CHECK(chip.load(offset, width) == 0);
    }
  CHECK(chip.load(IoApic::IOWIN) == 0x77);
  chip.store(IoApic::IOWIN, 0x5555'5555'0000'0078, 8);  // its lower half
  CHECK(chip.load(IoApic::IOWIN) == 0x78);
  CHECK(chip.take() == 0);
}

TEST_CASE("io_apic: it goes on from a saved state, and mends one that cannot be") {
  Chip before;
  before.program(9, level | 0x39, 1);
  before.program(5, 0x35);
  before.chip.set_level(9, true);
  CHECK(before.take() == 1);

  Chip after;
  after.chip.state = before.chip.state;
  after.chip.restored();
  CHECK(after.take() == 0);  // it is under way
  REQUIRE(after.watched[9].has_value());
  CHECK(*after.watched[9] == *before.watched[9]);
  CHECK(after.get(Chip::low(9)) == (level | remote_irr | 0x39));
  after.chip.end_of_interrupt(0x39);
  CHECK(after.take() == 1);
  after.chip.edge(5);
  CHECK(after.take() == 1);

  Chip mended;
  mended.chip.state.id = 0xff;
  mended.chip.state.levels = ~std::uint64_t{0};
  for (std::uint64_t& entry : mended.chip.state.entries) entry = ~std::uint64_t{0} & ~std::uint64_t{masked};
  mended.chip.state.entries[9] = 0x39 | level;       // never sent
  mended.chip.state.entries[8] = 0x38 | remote_irr;  // an edge has no end
  mended.chip.restored();
  REQUIRE(mended.sent.size() == 1);
  CHECK(mended.sent[0] == Message{0xfee0'0000, 0xc039});
  CHECK(mended.get(IoApic::IOAPICID) == 0x0f00'0000);
  CHECK(mended.get(Chip::low(8)) == 0x38);
  CHECK(mended.get(Chip::low(7)) == (0xffff & ~remote_irr & ~pending));
  CHECK(mended.chip.state.levels == 0xffff);
  CHECK(mended.chip.state.entries[16] == masked);
}

namespace {

/// Has a line of each kind; what is written to its port is their levels, and bit 7 powers the guest off.
struct Both {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x90, .size = 1}, Irq<"edge">{.line = 20},
                                              Irq<"level">{.line = 10, .trigger = Trigger::Level});
  struct Config {};
  Both(Config const&, DeviceContext& context) : edge_(context.irq(0)), level_(context.irq(1)) {}
  void read(PioAccess&) {}
  void write(PioAccess const& access) {
    edge_.set((access.value & 1) != 0);
    level_.set((access.value & 2) != 0);
  }

 private:
  IrqLine edge_, level_;
};

using M = Machine<Bare, Devices<Both>, Handlers<>, fake::FakeLocalApics>;
static_assert(M::List::count == 2 && M::Composition::own_io_apic);
static_assert(std::is_same_v<DeviceAt<1, M::List>, IoApic>);
// No I/O APIC where nothing claims an interrupt, or where the hypervisor has one.
static_assert(Machine<Bare, Devices<DebugExit>, Handlers<>, fake::FakeLocalApics>::List::count == 1);
static_assert(Machine<Bare, Devices<Both>, Handlers<>, fake::Fake>::List::count == 1);
static_assert(Machine<Portable, Devices<>, Handlers<>, fake::FakeLocalApics>::List::count == 3);

}  // namespace

TEST_CASE("io_apic: in a machine, lines become messages, ends arrive, and the state is saved with the others") {
  auto set = [](fake::Script& script, unsigned index, std::uint32_t value) {
    script.push_back(fake::store(IoApic::base + IoApic::IOREGSEL, index));
    script.push_back(fake::store(IoApic::base + IoApic::IOWIN, value));
  };
  fake::Script script{fake::out(0x90, 1), fake::out(0x90, 0)};  // nobody has unmasked it
  script.push_back(fake::store(IoApic::base + IoApic::IOREGSEL, IoApic::IOAPICVER));
  script.push_back(fake::load(IoApic::base + IoApic::IOWIN));
  set(script, Chip::low(20), 0x60);
  set(script, Chip::low(10), level | 0x61);
  for (const unsigned levels : {1u, 0u, 3u, 2u}) script.push_back(fake::out(0x90, levels));
  script.push_back(fake::end_of_interrupt(0x60));  // of no level
  script.push_back(fake::end_of_interrupt(0x61));
  script.push_back(fake::out(0x90, 0));
  script.push_back(fake::end_of_interrupt(0x61));
  script.push_back(fake::out(0x90, 2));
  const fake::FakeLocalApics guest(script);
  auto machine = M::create({.memory = 2 * MiB}, Host{}, guest);
  REQUIRE(machine);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  REQUIRE(machine->run());
  fake::Recorder& seen = guest.recorder();
  CHECK(seen.reads == std::vector<std::uint64_t>{20u << 16 | 0x20});
  const Message edge{0xfee0'0000, 0x60}, high{0xfee0'0000, 0xc061};
  CHECK(seen.messages == std::vector<Message>{edge, edge, high, high, high});
  CHECK(seen.watched == std::map<unsigned, Message>{{10, high}});
  CHECK(machine->counters().exits[static_cast<std::size_t>(ExitReason::EndOfInterrupt)].value() == 3);

  auto states = save_states(*machine);
  REQUIRE(states);
  REQUIRE(states->of<IoApic>() != nullptr);
  CHECK(states->of<IoApic>()->entries[10] == (level | remote_irr | 0x61));
  CHECK(states->of<IoApic>()->levels == 1u << 10);
  states->of<IoApic>()->entries[10] &= ~std::uint64_t{remote_irr};
  REQUIRE(restore_states(*machine, *states));
  CHECK(seen.messages.size() == 6);

  // A machine that starts again begins with a new one.
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  CHECK(machine->device<IoApic>()->state.entries[10] == masked);
  CHECK(machine->device<IoApic>()->pins() == 21);
}

TEST_CASE("io_apic: a PC's tables have no PIC, and ISA interrupts without a pin are wired to one that nobody uses") {
  using Pc = Machine<Portable, Devices<Uart8250, Pit8254>, Handlers<>, fake::FakeLocalApics>;
  auto machine = Pc::create({.memory = 2 * MiB}, Host{}, fake::FakeLocalApics{});
  REQUIRE(machine);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  CHECK(machine->device<IoApic>()->pins() == 10);
  constexpr AddressMap map;
  GuestAddress madt = 0;
  for (GuestAddress at = map.acpi_tables; at < 1 * MiB && madt == 0; at += 8)
    if (machine->memory().load<std::uint32_t>(at).value_or(0) == 0x4349'5041 /* "APIC" */) madt = at;
  REQUIRE(madt != 0);
  const auto head = machine->memory().load<acpi::Madt>(madt);
  REQUIRE(head);
  CHECK(+head->Flags == 0);
  std::map<unsigned, unsigned> wired;
  for (GuestAddress at = madt + sizeof(acpi::Madt); at < madt + head->header.Length;) {
    const auto entry = machine->memory().load<acpi::InterruptSourceOverride>(at);
    REQUIRE(entry);
    REQUIRE(entry->Length != 0);
    if (entry->Type == 2) wired[entry->Source] = entry->Global_System_Interrupt;
    at += entry->Length;
  }
  CHECK(wired == std::map<unsigned, unsigned>{{9, 9}, {10, 2}, {11, 2}, {12, 2}, {13, 2}, {14, 2}, {15, 2}});
}

TEST_CASE("io_apic: it is described like other devices of the platform, and its window is one region") {
  const Description described = M::description();
  REQUIRE(described.devices.size() == 2);
  CHECK(described.devices[1].type == "IoApic");
  CHECK(described.devices[1].implicit);
  CHECK(described.own_io_apic);
  CHECK_FALSE(described.devices[0].implicit);
  GuestAddress end = 0;
  unsigned windows = 0;
  for_each_region(described, [&](Region const& region) {
    CHECK(region.base == end);
    end = region.base + region.size;
    if (region.base == IoApic::base) CHECK(region.kind == RegionKind::IoApic);
    if (region.kind == RegionKind::Window) ++windows;
  });
  CHECK(windows == 0);
  CHECK(described.address_map.io_apic == IoApic::base);
}
