#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include <axvm/axvm.hpp>
#include <axvm/bind/toml_source.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/virtio_blk_pci.hpp>

#include "fake_machine.hpp"
#include "fakes.hpp"
#include "scratch.hpp"

// The saved state of a whole machine: what is in it, that it goes through a file, that a machine given it goes on like
// the one it is from, and that no file can harm.

using namespace axvm;
using on_fake::Poke;

namespace {

/// An invented device with a field of every kind in its State.
class Gadget {
 public:
  static constexpr auto claims = axvm::claims(Pio{.base = 0xa00, .size = 4});
  struct Config {};

  enum class Mode : std::uint8_t { idle, busy, done };
  enum class Handle : std::int16_t {};
  struct Part {
    std::uint16_t size = 7;
    bool on = false;
  };
  struct State {
    bool flag = false;
    std::int8_t tiny = -1;
    std::uint64_t wide = ~0ull;
    std::int64_t deep = std::numeric_limits<std::int64_t>::min();
    std::uint64_t bytes = 4096;
    Mode mode = Mode::busy;
    Mode odd = static_cast<Mode>(200);
    Handle handle{-300};
    Text<20> name = "n\"\\\t\xc3\xa4";
    std::array<std::int16_t, 3> three{1, -2, 3};
    std::array<bool, 2> bits{true, false};
    std::array<std::byte, 40> raw{std::byte{0xff}};
    std::array<Mode, 2> modes{Mode::done, static_cast<Mode>(77)};
    Part part;
    std::array<Part, 2> parts{Part{.size = 1, .on = true}, Part{.size = 2}};
    ByteRing<1024> ring;

    static constexpr auto fields = axvm::fields(field<&State::bytes>{.help = "how much", .unit = "bytes"},
                                                field<&State::tiny>{.help = "how small", .min = -100, .max = 100},
                                                field<&State::flag>{.help = "up"});
  };

  Gadget(Config const&, DeviceContext&) {}
  void read(PioAccess& access) {
    if (access.offset == 0) access.value = state.ring.empty() ? 0 : state.ring.pop();
    if (access.offset == 1) access.value = static_cast<unsigned>(state.raw[3]) + static_cast<unsigned>(state.odd);
    if (access.offset == 2) access.value = state.parts[1].size;
  }
  void write(PioAccess const& access) {
    const auto value = static_cast<std::uint8_t>(access.value);
    if (access.offset == 0 && state.ring.room() != 0) state.ring.push(value);
    state.raw[3] = std::byte{value};
    state.parts[1].size = static_cast<std::uint16_t>(state.parts[1].size * 3 + value);
    state.three[2] = static_cast<std::int16_t>(-value);
    state.wide -= value;
    state.modes[1] = static_cast<Mode>(value);
    state.flag = !state.flag;
  }
  void restored() {
    ++restorations;
    state.ring.make_valid();
  }

  State state;
  unsigned restorations = 0;
};

/// Takes messages as well, for machines that have devices of both kinds.
struct FakeWithMessages : fake::Fake {
  using fake::Fake::Fake;
  [[nodiscard]] static Result<FakeWithMessages> open() { return FakeWithMessages(); }
  static constexpr bool has(Feature feature) { return feature == Feature::MessageInterrupts; }
};

using M = Machine<Portable, Devices<Uart8250, Pit8254, DebugExit, Repeat<2, VirtioBlk>, Gadget, VirtioBlkPci>,
                  Handlers<>, FakeWithMessages>;
static_assert(HasState<Gadget> && HasState<DebugExit> && !HasState<I8042> && !HasState<Poke>);

constexpr std::uint8_t halt[] = {0xf4};
constexpr std::uint16_t com1 = 0x3f8, pit = 0x40;

/// Where a claim is that has a name.
constexpr std::uint64_t base_of(std::string_view name) {
  for (PlacedClaim const& placed : M::layout)
    if (placed.claim.name == name) return placed.claim.base;
  return 0;
}

/// A machine with a disk, a console and a script; the second disk is absent.
struct Rig {
  explicit Rig(fake::Script script = {}) : hypervisor(std::move(script)) {
    console.room = 0;
    config.of<VirtioBlk>().path = directory.put("disk.img", std::string(8192, 'x'));
    config.of<VirtioBlkPci>().path = directory.put("pci-disk.img", std::string(8192, 'p'));
    auto created = M::create(config, host(), hypervisor);
    REQUIRE(created);
    machine.emplace(std::move(*created));
    REQUIRE(machine->load(FlatCode{halt}));
  }

  Host host() {
    static constexpr Host::Operations operations{
        [](void* self) -> Result<CharacterPort> { return static_cast<Rig*>(self)->console.port(); },
        [](void*, Path const& path, ImageOptions const& options) { return BlockFile::open(path, options); }};
    return {this, &operations};
  }
  [[nodiscard]] SavedStates<M> states() {
    auto saved = save_states(*machine);
    REQUIRE(saved);
    return *saved;
  }
  [[nodiscard]] std::vector<std::uint64_t> const& reads() const { return hypervisor.recorder().reads; }

  scratch::Directory directory;
  fakes::CharacterPort console;
  FakeWithMessages hypervisor;
  M::Config config{.memory = 2 * MiB};
  std::optional<M> machine;
};

std::string file_of(SavedStates<M>& states) { return write_toml(states.settings(), "state"); }

std::map<std::string, std::string> values_of(SavedStates<M>& states) {
  std::map<std::string, std::string> values;
  for (Setting const& setting : states.settings()) values.emplace(setting.name.view(), setting.text().view());
  return values;
}

/// The file with the line that begins with `key =` behind `[table]` replaced; without a `line` it is taken out.
std::string edited(std::string const& file, std::string const& table, std::string const& key, std::string const& line) {
  const std::size_t start = file.find("[" + table + "]\n");
  REQUIRE(start != file.npos);
  const std::size_t begin = file.find("\n" + key + " = ", start) + 1;
  REQUIRE(begin != 0);
  const std::size_t end = file.find('\n', begin) + 1;
  return file.substr(0, begin) + (line.empty() ? "" : line + "\n") + file.substr(end);
}

unsigned line_of(std::string const& file, std::string_view text) {
  const std::size_t at = file.find(text);
  REQUIRE(at != file.npos);
  return 1 + static_cast<unsigned>(std::count(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

/// Everything that is said about a file.
std::string errors_of(std::string const& file) {
  Rig rig;
  auto states = rig.states();
  std::string all;
  for (Error const& error : read_toml_text(file, "f", states.settings(), MissingKeys::report))
    all.append(describe(error)).append("\n");
  return all;
}

std::string good_file() {
  Rig rig;
  auto states = rig.states();
  return file_of(states);
}

}  // namespace

TEST_CASE("state: a table of what the devices hold, named like their settings; absent ones are left out") {
  Rig rig;
  auto states = rig.states();
  const auto settings = states.settings();
  CHECK(settings.size() == SavedStates<M>::most_settings - setting_count<VirtioBlk::State>);  // one disk is absent
  std::map<std::string, std::string> owners;
  for (Setting const& setting : settings) {
    CHECK(setting.is_state());
    owners[std::string(setting.name.view().substr(0, setting.name.view().find('.')))] = setting.owner;
  }
  CHECK(owners == std::map<std::string, std::string>{{"acpipower0", "AcpiPower"},
                                                     {"uart0", "Uart8250"},
                                                     {"pit0", "Pit8254"},
                                                     {"debugexit0", "DebugExitAt"},
                                                     {"blk0", "VirtioBlk"},
                                                     {"gadget0", "Gadget"},
                                                     {"blkpci0", "VirtioBlkPci"}});
  CHECK(states.of<VirtioBlk>() != nullptr);
  CHECK(states.of<VirtioBlk, 1>() == nullptr);
  REQUIRE(find_setting(settings, "uart0.dll")->set("12"));
  CHECK(states.of<Uart8250>()->dll == 12);
  CHECK(rig.machine->device<Uart8250>()->state.dll == 1);  // a copy: the machine knows nothing of it
  CHECK(find_setting(settings, "gadget0.ring.bytes")->notes.count == 1024);
  CHECK(find_setting(settings, "gadget0.odd")->text() == "200");
  CHECK(find_setting(settings, "gadget0.bytes")->text() == "4K");
  CHECK(find_setting(settings, "gadget0.bytes")->summary() == "how much (bytes, or with K, M, G, T)");
  CHECK(find_setting(settings, "gadget0.tiny")->summary() == "how small (-100 to 100)");
  CHECK(find_setting(settings, "gadget0.flag")->summary() == "up");
  CHECK(find_setting(settings, "gadget0.deep")->summary().empty());
}

TEST_CASE("state: the file has each device's class as a heading and lists that can be compared by line") {
  const std::string file = good_file();
  CHECK(file.starts_with("# state\n\n# AcpiPower\n[acpipower0]\npm1_sts = 0\n"));
  CHECK(file.find("\n\n# Uart8250\n[uart0]\nier = 0\n") != file.npos);
  CHECK(file.find("\n\n[uart0.input]\nhead = 0\ncount = 0\nbytes = [\n  0, 0,") != file.npos);
  CHECK(file.find("\n# how much (bytes, or with K, M, G, T)\nbytes = \"4K\"\n") != file.npos);
  CHECK(file.find("default") == file.npos);
  CHECK(file.find("odd = \"200\"\n") != file.npos);
  CHECK(file.find("handle = -300\n") != file.npos);
  for (std::size_t at = 0, end = 0; at < file.size(); at = end + 1) {
    end = file.find('\n', at);
    CHECK(end - at < 200);
  }
}

TEST_CASE("state: a machine that is given a file goes on like the one that the file is from") {
  const std::uint64_t disk = [] {
    for (PlacedClaim const& placed : M::layout)
      if (placed.claim.kind == ClaimKind::Mmio) return placed.claim.base;
    return std::uint64_t{0};
  }();
  constexpr std::uint64_t function = base_of("function"), bar = base_of("bar");
  // Everything stops in the middle: bytes in both of the UART's directions, half of a count written and another half
  // read, queues set up and not started, an interrupt enabled, a ring filled.
  fake::Script begin{fake::out(com1 + 4, 0x0b),
                     fake::out(com1 + 3, 0x03),
                     fake::out(com1 + 1, 0x03),
                     fake::out(com1 + 2, 0x81),
                     fake::in(com1),
                     fake::outs(com1, {'h', 'e', 'l'}),
                     fake::out(com1 + 7, 0x5a),
                     fake::out(pit + 3, 0x34),
                     fake::out(pit, 0x10),
                     fake::out(pit + 3, 0xb0),
                     fake::out(pit + 2, 0x34),
                     fake::out(pit + 2, 0x12),
                     fake::out(pit + 3, 0x80),
                     fake::in(pit + 2),
                     fake::out(AcpiPower::pm1a_event_block + 2, AcpiPower::PWRBTN_EN, 2),
                     fake::store(disk + 0x70, 1),
                     fake::store(disk + 0x70, 3),
                     fake::store(disk + 0x24, 1),
                     fake::store(disk + 0x20, 1),
                     fake::store(disk + 0x70, 0xb),
                     fake::store(disk + 0x38, 8),
                     fake::store(disk + 0x80, 0x10000),
                     fake::store(disk + 0x90, 0x11000),
                     fake::store(disk + 0xa0, 0x12000),
                     fake::store(disk + 0x44, 1)};
  // Of the disk on PCI: one vector and a half, a queue described in part, the size of a window being asked for.
  for (fake::Step const& step :
       {fake::store(function + 0x04, 6, 2), fake::store(bar + 0x3010, 0xfee0'2000), fake::store(bar + 0x3018, 0x55, 8),
        fake::store(bar + 0x3024, 0x1234), fake::store(function + 0x42, 0xc000, 2), fake::store(bar + 0x10, 1, 2),
        fake::store(bar + 0x14, 1, 1), fake::store(bar + 0x14, 3, 1), fake::store(bar + 0x08, 1),
        fake::store(bar + 0x0c, 1), fake::store(bar + 0x14, 0xb, 1), fake::store(bar + 0x16, 2, 2),
        fake::store(bar + 0x18, 8, 2), fake::store(bar + 0x1a, 4, 2), fake::store(bar + 0x20, 0x10000),
        fake::store(bar + 0x28, 0x11000), fake::store(bar + 0x2020, 0, 1), fake::store(function + 0x10, 0xffff'ffff)})
    begin.push_back(step);
  for (unsigned i = 0; i < 700; ++i) begin.push_back(fake::out(0xa00, i * 7));
  for (unsigned i = 0; i < 600; ++i) begin.push_back(fake::in(0xa00));
  for (unsigned i = 0; i < 900; ++i) begin.push_back(fake::out(0xa00, i * 11));  // the ring goes over its end
  fake::Script rest{fake::in(com1 + 2), fake::in(com1 + 5), fake::in(com1 + 7)};
  for (unsigned i = 0; i < 20; ++i) rest.push_back(fake::in(com1));
  for (fake::Step step :
       {fake::outs(com1, {'l', 'o'}), fake::in(com1 + 2), fake::in(pit + 2), fake::out(pit, 0x27), fake::in(pit + 2),
        fake::out(pit + 3, 0xe8), fake::in(pit + 2), fake::in(AcpiPower::pm1a_event_block, 4),
        fake::in(AcpiPower::pm1a_control_block, 2), fake::load(disk + 0x70), fake::load(disk + 0x44),
        fake::store(disk + 0x70, 0xf), fake::load(disk + 0x70), fake::load(disk + 0x60), fake::in(0xa01),
        fake::in(0xa02), fake::out(0xa03, 9), fake::in(0xa02, 1)})
    rest.push_back(step);
  for (fake::Step const& step :
       {fake::load(bar + 0x14, 1), fake::load(function + 0x10), fake::store(function + 0x10, bar),
        fake::load(bar + 0x14, 1), fake::load(bar + 0x10, 8), fake::load(bar + 0x18, 8), fake::load(bar + 0x20, 8),
        fake::load(bar + 0x2020, 1), fake::load(bar + 0x3010, 8), fake::load(bar + 0x3018, 8),
        fake::load(bar + 0x3020, 8), fake::store(function + 0x42, 0x8000, 2), fake::load(function + 0x40),
        fake::store(bar + 0x30, 0x12000), fake::store(bar + 0x1c, 1, 2), fake::store(bar + 0x14, 0xf, 1),
        fake::load(bar + 0x14, 2)})
    rest.push_back(step);
  for (unsigned i = 0; i < 1024; ++i) rest.push_back(fake::in(0xa00));

  fake::Script all = begin;
  all.insert(all.end(), rest.begin(), rest.end());
  const std::string typed = "abcdefghijklmnopqrst";

  Rig whole(all), first(begin), second(rest);
  whole.console.type(typed);
  first.console.type(typed);
  REQUIRE(whole.machine->run());
  REQUIRE(first.machine->run());
  auto saved = first.states();
  const std::string file = file_of(saved);

  auto read = second.states();
  CHECK(file_of(read) != file);
  for (Error const& error : read_toml_text(file, "f", read.settings(), MissingKeys::report)) FAIL(describe(error));
  CHECK(file_of(read) == file);
  REQUIRE(restore_states(*second.machine, read));
  CHECK(second.machine->device<Gadget>()->restorations == 1);
  auto given = second.states();

  // The timer goes on from where it stood, on another clock.
  auto without_clock = [](SavedStates<M>& states) {
    auto values = values_of(states);
    for (const char* name : {"pit0.seen", "pit0.counters0.start", "pit0.counters1.start", "pit0.counters2.start",
                             "pit0.counters0.reload_at", "pit0.counters1.reload_at", "pit0.counters2.reload_at"})
      CHECK(values.erase(name) == 1);
    return values;
  };
  for (auto const& [name, value] : without_clock(given)) CHECK_MESSAGE(without_clock(saved)[name] == value, name);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(given.of<Pit8254>()->seen - given.of<Pit8254>()->counters[i].start ==
          saved.of<Pit8254>()->seen - saved.of<Pit8254>()->counters[i].start);

  REQUIRE(second.machine->run());
  const std::size_t early = first.reads().size();
  REQUIRE(whole.reads().size() == early + second.reads().size());
  for (std::size_t i = 0; i < second.reads().size(); ++i)
    CHECK_MESSAGE(second.reads()[i] == whole.reads()[early + i], "read ", i);
  auto end = second.states(), end_of_whole = whole.states();
  CHECK(without_clock(end) == without_clock(end_of_whole));
  for (Rig* rig : {&whole, &second}) {
    rig->console.room = ~std::size_t{0};
    rig->machine.reset();
    CHECK(rig->console.sent == "hello");
  }
}

TEST_CASE("state: every key of a file that is wrong is told with its line") {
  const std::string good = good_file();
  REQUIRE(errors_of(good).empty());
  SUBCASE("a key that no device has") {
    const std::string file = edited(good, "uart0", "ier", "ier = 0\niir = 1");
    CHECK(errors_of(file) == "f:" + std::to_string(line_of(file, "iir = 1")) +
                                 ": uart0.iir: no device has such a state; did you mean uart0.ier?\n");
  }
  SUBCASE("a value of another type") {
    const std::string file = edited(good, "uart0", "overrun", "overrun = 1");
    CHECK(errors_of(file) == "f:" + std::to_string(line_of(file, "overrun = 1")) +
                                 ": uart0.overrun: expected true or false, found an integer\n");
  }
  SUBCASE("a value that the field cannot hold") {
    const std::string file = edited(good, "uart0", "ier", "ier = 256");
    CHECK(errors_of(file) ==
          "f:" + std::to_string(line_of(file, "ier = 256")) + ": uart0.ier: '256' is out of range: 0 to 255\n");
  }
  SUBCASE("a value that the device's notes do not allow") {
    CHECK(errors_of(edited(good, "gadget0", "tiny", "tiny = 101")).find("'101' is out of range: -100 to 100") !=
          std::string::npos);
  }
  SUBCASE("an enumerator that does not exist, or a number that it cannot have") {
    CHECK(errors_of(edited(good, "gadget0", "mode", "mode = \"bussy\"")).find("did you mean busy?") !=
          std::string::npos);
    CHECK(errors_of(edited(good, "gadget0", "mode", "mode = \"256\"")).find("'256' is out of range") !=
          std::string::npos);
  }
  SUBCASE("a list of another length") {
    CHECK(errors_of(edited(good, "uart0", "rx", "rx = [1, 2]")).find("uart0.rx: has 2 values, not 16") !=
          std::string::npos);
  }
  SUBCASE("a missing key") {
    CHECK(errors_of(edited(good, "uart0", "ier", "")) == "f: uart0.ier: is missing\n");
    CHECK(errors_of(edited(good, "pit0.counters1", "mode", "")) == "f: pit0.counters1.mode: is missing\n");
  }
  SUBCASE("a missing device") {
    const std::size_t begin = good.find("# DebugExitAt"), end = good.find("# VirtioBlk");
    CHECK(errors_of(good.substr(0, begin) + good.substr(end)) == "f: debugexit0: the whole table is missing\n");
  }
  SUBCASE("a device that this machine does not have") {
    const std::string file = good + "[blk1]\nstatus = 0\n";
    CHECK(errors_of(file) == "f:" + std::to_string(line_of(file, "[blk1]")) +
                                 ": blk1: the machine has no such table; did you mean blk0?\n");
  }
  SUBCASE("all at once") {
    std::string file = edited(good, "uart0", "ier", "ier = -1");
    file = edited(file, "blk0.transport", "status", "status = \"x\"");
    file = edited(file, "gadget0", "flag", "");
    const std::string said = errors_of(file);
    CHECK(std::count(said.begin(), said.end(), '\n') == 3);
  }
  SUBCASE("no TOML") { CHECK(errors_of("[uart0\n").starts_with("f:1: ")); }
}

TEST_CASE("state: without MissingKeys::report a file says what differs") {
  Rig rig;
  auto states = rig.states();
  CHECK(read_toml_text("uart0.ier = 5", "f", states.settings()).empty());
  CHECK(states.of<Uart8250>()->ier == 5);
  REQUIRE(restore_states(*rig.machine, states));
  CHECK(rig.machine->device<Uart8250>()->state.ier == 5);
}

TEST_CASE("state: what the machine's own state does not allow is an error that names it") {
  auto refused = [](auto const& result, std::string_view said) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::InvalidState);
    CHECK(result.error().operation == said);
  };
  SUBCASE("before anything was loaded") {
    auto machine = M::create({.memory = 2 * MiB}, Host{}, FakeWithMessages());
    REQUIRE(machine);
    refused(save_states(*machine), "save the devices' state of a machine that is loading");
    refused(restore_states(*machine, SavedStates<M>{}), "restore the devices' state of a machine that is loading");
  }
  SUBCASE("while it runs") {
    using Poked = Machine<Portable, Devices<Poke, DebugExit>, Handlers<>, fake::Fake>;
    struct InTheMiddle {
      Poked* machine = nullptr;
      Result<SavedStates<Poked>> saved{};
      Result<> restored{};
      void poke() {
        saved = save_states(*machine);
        restored = restore_states(*machine, SavedStates<Poked>{});
      }
    } middle;
    Poked::Config config{.memory = 2 * MiB};
    config.of<Poke>().callback = Callback::to<&InTheMiddle::poke>(middle);
    auto machine = Poked::create(config, Host{}, fake::Fake({fake::out(0x80, 1)}));
    REQUIRE(machine);
    REQUIRE(machine->load(FlatCode{halt}));
    middle.machine = &*machine;
    REQUIRE(machine->run());
    refused(middle.saved, "save the devices' state of a machine that is running");
    refused(middle.restored, "restore the devices' state of a machine that is running");
    CHECK(save_states(*machine));  // stopped
  }
  SUBCASE("after a run that failed there is something to look at and nothing to go on from") {
    Rig rig({fake::out(com1 + 7, 0x33), fake::exit(ExitReason::FailEntry)});
    REQUIRE_FALSE(rig.machine->run());
    auto states = rig.states();
    CHECK(states.of<Uart8250>()->scr == 0x33);
    refused(restore_states(*rig.machine, states), "restore the devices' state of a machine that is failed");
  }
}

TEST_CASE("state: states of other devices than are there change nothing") {
  Rig with_disk;
  with_disk.machine->device<Uart8250>()->state.scr = 0x44;
  auto states = with_disk.states();
  auto without = M::create({.memory = 2 * MiB}, Host{}, FakeWithMessages());
  REQUIRE(without);
  REQUIRE(without->load(FlatCode{halt}));
  const auto restored = restore_states(*without, states);
  REQUIRE_FALSE(restored);
  CHECK(restored.error().code == ErrorCode::InvalidArgument);
  CHECK(restored.error().operation.view().ends_with("the saved states has blk0, blkpci0"));
  CHECK(without->device<Uart8250>()->state.scr == 0);
  CHECK(without->device<Gadget>()->restorations == 0);
  const auto empty = restore_states(*with_disk.machine, *save_states(*without));
  REQUIRE_FALSE(empty);
  CHECK(empty.error().operation.view().ends_with("the saved states has blk0, blkpci0"));
}

TEST_CASE("state: a stored value that the chip cannot hold is mended") {
  Rig rig;
  auto states = rig.states();
  for (Setting const& setting : states.settings())
    for (std::size_t i = 0; i < setting.notes.count; ++i)
      if (setting.kind() == ValueKind::Integer)
        std::memset(static_cast<char*>(setting.value) + i * setting.notes.type->size, 0xff, setting.notes.type->size);
  REQUIRE(restore_states(*rig.machine, states));
  Uart8250::State const& uart = rig.machine->device<Uart8250>()->state;
  CHECK(uart.ier == 0x0f);
  CHECK(uart.mcr == 0x1f);
  CHECK(uart.fcr == 0xc1);
  CHECK(uart.msr_delta == 0x0f);
  CHECK(uart.rx_head < uart.rx.size());
  CHECK(uart.rx_count <= uart.rx.size());
  CHECK(uart.input.head < 1024);
  CHECK(uart.output.count <= 1024);
  Pit8254::State const& timer = rig.machine->device<Pit8254>()->state;
  CHECK(timer.counters[0].mode == 3);
  CHECK(timer.counters[0].access == PitCounter::LSB_THEN_MSB);
  CHECK(timer.counters[0].count_latched == 2);
  CHECK(timer.port61 == 0x0f);
  AcpiPower::State const& power = rig.machine->device<AcpiPower>()->state;
  CHECK(power.pm1_sts == AcpiPower::PWRBTN_STS);
  CHECK((power.pm1_cnt & AcpiPower::SLP_EN) == 0);
  CHECK((power.pm1_cnt & AcpiPower::SCI_EN) != 0);
  CHECK((rig.machine->device<VirtioBlk>()->state.transport.status & virtio::status::DEVICE_NEEDS_RESET) != 0);
  auto const& on_pci = rig.machine->device<VirtioBlkPci>()->state.transport;
  CHECK((on_pci.registers.status & virtio::status::DEVICE_NEEDS_RESET) != 0);
  CHECK(on_pci.registers.queue_sel == 0xffff);
  CHECK(on_pci.configuration[0] == 0x1042'1af4);
  CHECK(on_pci.configuration[1] == 0x0010'0407);
  CHECK(on_pci.configuration[4] == 0xffff'c000);
  CHECK(on_pci.vectors[4].address == ~3ull);
  CHECK(on_pci.configuration_vector == virtio::no_vector);
  CHECK(on_pci.queue_vectors[3] == virtio::no_vector);
}

TEST_CASE("state: any bytes in all fields, and the guest goes on with every register: nothing breaks") {
  fake::Script script;
  for (unsigned round = 0; round < 3; ++round) {
    for (std::uint16_t port = 0; port < 8; ++port) {
      script.push_back(fake::in(static_cast<std::uint16_t>(com1 + port)));
      script.push_back(fake::out(static_cast<std::uint16_t>(com1 + port), 0x5b));
    }
    constexpr std::uint16_t others[] = {0x40, 0x41, 0x42, 0x43, 0x61, 0xa00, 0xa01, 0x602};
    for (const std::uint16_t port : others) {
      script.push_back(fake::in(port));
      script.push_back(fake::out(port, 0x36));
    }
    for (PlacedClaim const& placed : M::layout)
      for (std::uint64_t at = 0; placed.claim.kind == ClaimKind::Mmio && at < 0x110; at += 4) {
        script.push_back(fake::load(placed.claim.base + at));
        script.push_back(fake::store(placed.claim.base + at, 1));
      }
  }
  std::uint64_t random = 1;
  for (unsigned run = 0; run < 60; ++run) {
    CAPTURE(run);
    Rig rig(script);
    auto states = rig.states();
    for (Setting const& setting : states.settings()) {
      if (setting.kind() == ValueKind::Boolean || setting.kind() == ValueKind::Text) continue;
      for (std::size_t i = 0; i < setting.notes.count * setting.notes.type->size; ++i) {
        random = random * 6'364'136'223'846'793'005 + 1'442'695'040'888'963'407;
        static_cast<std::uint8_t*>(setting.value)[i] = static_cast<std::uint8_t>(random >> 56);
      }
    }
    REQUIRE(restore_states(*rig.machine, states));
    CHECK(rig.machine->run());
    auto after = rig.states();
    // What comes out is again something that a file can hold.
    CHECK(read_toml_text(file_of(after), "f", states.settings(), MissingKeys::report).size() <= 1);  // tiny has bounds
  }
}
