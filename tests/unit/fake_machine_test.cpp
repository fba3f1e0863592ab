#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

#include "fake_machine.hpp"

// Machines on the scripted hypervisor: what a device's author writes to test a device, and what the run loop does with
// every kind of exit. No KVM is needed.

using namespace axvm;
using on_fake::make, on_fake::Poke;

namespace {

/// Counts rings, answers with the count, raises its line at each ring.
class Bell {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});
  struct Config {
    int initial = 0;
  };
  Bell(Config const& config, DeviceContext& context)
      : rings(static_cast<unsigned>(config.initial)), irq_(context.irq()) {}
  void read(MmioAccess& access) { access.value = rings; }
  void write(MmioAccess const&) {
    ++rings;
    irq_.pulse();
  }
  unsigned rings;

 private:
  IrqLine irq_;
};

/// Has something under way with every write, until it is told to bring it to an end.
struct Errand {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x90, .size = 1});
  struct Config {};
  Errand(Config const&, DeviceContext&) {}
  void read(PioAccess&) {}
  void write(PioAccess const&) { ++under_way; }
  void quiesce() {
    ended += under_way;
    under_way = 0;
  }
  unsigned under_way = 0, ended = 0;
};

/// Has no performance counters.
struct Countless : Bare {
  static constexpr bool performance_counters = false;
};

/// Says how long halted vCPUs are waited for.
struct Patient : Bare {
  static constexpr HaltPollPolicy halt_poll{.shared_ns = 7, .dedicated_ns = 70};
};

template <class... Ds>
using OnFake = Machine<Bare, Devices<Ds...>, Handlers<>, fake::Fake>;

}  // namespace

TEST_CASE("a device test is five lines") {
  using M = OnFake<Bell>;
  constexpr auto base = M::layout[0].claim.base;
  const fake::Fake hypervisor({fake::store(base, 1), fake::store(base + 8, 2), fake::load(base)});
  auto machine = make<M>(hypervisor);
  CHECK(*machine.run() == End::Finished);
  CHECK(hypervisor.recorder().reads == std::vector<std::uint64_t>{2});
  const auto line = M::layout[1].claim.base;
  CHECK(hypervisor.recorder().interrupts ==
        std::vector<fake::LineChange>{{line, true}, {line, false}, {line, true}, {line, false}});
}

TEST_CASE("settings reach the device they belong to") {
  using M = OnFake<Bell, Bell>;
  M::Config config{.memory = 2 * MiB};
  config.of<Bell>().initial = 10;
  config.of<Bell, 1>().initial = 20;
  const fake::Fake hypervisor({fake::load(M::layout[0].claim.base), fake::load(M::layout[2].claim.base)});
  auto machine = make<M>(hypervisor, config);
  REQUIRE(machine.run());
  CHECK(hypervisor.recorder().reads == std::vector<std::uint64_t>{10, 20});
}

TEST_CASE("when a machine has stopped, its devices have nothing under way outside of it") {
  using M = OnFake<Errand, Bell>;
  auto machine = make<M>(fake::Fake({fake::out(0x90, 1), fake::out(0x90, 1)}));
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.device<Errand>()->under_way == 0);
  CHECK(machine.device<Errand>()->ended == 2);
}

TEST_CASE("what nobody claims reads all-ones and is counted") {
  const fake::Fake hypervisor({fake::in(0x9999), fake::in(0x9999, 2), fake::in(0xffff, 4), fake::out(0x80, 1),
                               fake::load(0xe000'0000, 8), fake::load(0xe000'0000, 1), fake::store(0xe000'0000, 1)});
  auto machine = make<OnFake<>>(hypervisor);
  REQUIRE(machine.run());
  CHECK(hypervisor.recorder().reads == std::vector<std::uint64_t>{0xff, 0xffff, 0xffff'ffff, ~0ull, 0xff});
  CHECK(machine.counters().unclaimed.ports.value() == 4);
  CHECK(machine.counters().unclaimed.mmio.value() == 3);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::Io)].value() == 4);
}

TEST_CASE("exits that end a run say why") {
  SUBCASE("a halt that nothing can end") {
    auto machine = make<OnFake<>>(fake::Fake({fake::exit(ExitReason::Halt)}));
    CHECK(*machine.run() == End::Finished);
    CHECK(machine.state() == MachineState::Stopped);
  }
  SUBCASE("a triple fault of a bare machine is an error") {
    auto machine = make<OnFake<>>(fake::Fake({fake::exit(ExitReason::Shutdown)}));
    const auto end = machine.run();
    REQUIRE(!end);
    CHECK(end.error().code == ErrorCode::Hypervisor);
    CHECK(end.error().operation.view() == "scripted shutdown");
    CHECK(machine.state() == MachineState::Failed);
  }
  SUBCASE("a failed entry") {
    auto machine = make<OnFake<>>(fake::Fake({fake::exit(ExitReason::FailEntry)}));
    CHECK(!machine.run());
  }
  SUBCASE("a power-off through the hypervisor") {
    auto machine = make<OnFake<>>(fake::Fake({fake::exit(ExitReason::SystemEvent)}));
    CHECK(*machine.run() == End::PoweredOff);
  }
}

TEST_CASE("a PC powers off and resets by its registers, with nothing listed") {
  using M = Machine<Portable, Devices<>, Handlers<>, fake::Fake>;
  auto run = [](fake::Script script, bool reboot) {
    auto machine = make<M>(fake::Fake(std::move(script)), {.memory = 2 * MiB, .reboot = reboot});
    auto end = machine.run();
    REQUIRE(end);
    return *end;
  };
  CHECK(run({fake::out(AcpiPower::pm1a_control_block, AcpiPower::s5_sleep_type << 10 | AcpiPower::SLP_EN, 2)}, true) ==
        End::PoweredOff);
  CHECK(run({fake::out(AcpiPower::reset_register, AcpiPower::reset_value)}, false) == End::Reset);
  CHECK(run({fake::out(0x64, 0xfe)}, false) == End::Reset);
  CHECK(run({fake::exit(ExitReason::Shutdown)}, false) == End::Reset);
}

TEST_CASE("states: what is not possible is an error that names both states") {
  auto machine = OnFake<>::create({.memory = 2 * MiB}, Host{}, fake::Fake());
  REQUIRE(machine);
  const auto run = machine->run();
  REQUIRE(!run);
  CHECK(run.error().code == ErrorCode::InvalidState);
  CHECK(run.error().operation.view() == "make a machine running that is loading");
}

TEST_CASE("a running machine cannot be loaded, and goes on") {
  using M = OnFake<Poke>;
  struct Reload {
    M* machine = nullptr;
    Result<> result;
    void poke() {
      static constexpr std::uint8_t halt[] = {0xf4};
      result = machine->load(FlatCode{halt});
    }
  } reload;
  M::Config config{.memory = 2 * MiB};
  config.of<Poke>().callback = Callback::to<&Reload::poke>(reload);
  const fake::Fake hypervisor({fake::out(0x80, 1), fake::in(0x90)});
  auto machine = make<M>(hypervisor, config);
  reload.machine = &machine;
  CHECK(*machine.run() == End::Finished);
  REQUIRE(!reload.result);
  CHECK(reload.result.error().operation.view() == "make a machine loaded that is running");
  CHECK(hypervisor.recorder().reads.size() == 1);
}

TEST_CASE("counters can be read at any time, and begin anew with each load") {
  auto machine = OnFake<>::create({.memory = 2 * MiB}, Host{}, fake::Fake({fake::in(0x80)}));
  REQUIRE(machine);
  auto const& io = machine->counters().exits[static_cast<std::size_t>(ExitReason::Io)];
  CHECK(io.value() == 0);
  static constexpr std::uint8_t halt[] = {0xf4};
  for (int life = 0; life < 2; ++life) {
    REQUIRE(machine->load(FlatCode{halt}));
    CHECK(io.value() == 0);
    REQUIRE(machine->run());
    CHECK(io.value() == 1);
  }
}

TEST_CASE("settings that cannot work are refused") {
  auto refused = [](auto machine, std::string_view part) {
    REQUIRE(!machine);
    const std::string said = describe(machine.error());
    CHECK_MESSAGE(said.find(part) != std::string::npos, said);
  };
  refused(OnFake<>::create({.memory = 2 * MiB, .vcpus = 2}, Host{}, fake::Fake()), "without an interrupt controller");
  refused(OnFake<>::create({.memory = 2 * MiB, .vcpus = 0}, Host{}, fake::Fake()), "use 0 vCPUs");
  refused(OnFake<>::create({.memory = 2 * MiB, .kick_signal = 15}, Host{}, fake::Fake()), "real-time signal");
}

TEST_CASE("a machine runs again after it was loaded again") {
  const fake::Fake hypervisor({fake::in(0x80)});
  auto machine = make<OnFake<>>(hypervisor);
  REQUIRE(machine.run());
  static constexpr std::uint8_t halt[] = {0xf4};
  REQUIRE(machine.load(FlatCode{halt}));
  REQUIRE(machine.run());
  CHECK(hypervisor.recorder().reads.size() == 2);
}

TEST_CASE("a stop before the run ends it at once") {
  const fake::Fake hypervisor({fake::in(0x80)});
  auto machine = make<OnFake<>>(hypervisor);
  machine.stop();
  CHECK(*machine.run() == End::Stopped);
  CHECK(hypervisor.recorder().reads.empty());
}

TEST_CASE("all settings that are wrong are reported together") {
  using M = Machine<IvyBridgeXv2, Devices<VirtioBlk, VirtioBlk>, Handlers<>, fake::Fake>;
  M::Config config{.memory = 12345, .vcpus = 21, .host_check = HostCheck::warn};
  config.of<VirtioBlk>().path = "/does/not/exist";
  config.of<VirtioBlk, 1>().path = "/does/not/exist/either";
  SystemHost host;
  auto machine = M::create(config, host, fake::Fake());
  REQUIRE(!machine);
  const std::string said = describe(machine.error());
  for (const char* part :
       {"4 problems", "21 vCPUs", "1 to 20", "12345 bytes", "/does/not/exist ", "/does/not/exist/either"})
    CHECK_MESSAGE(said.find(part) != std::string::npos, part, " in ", said);
}

TEST_CASE("the hypervisor keeps no performance counters for a processor that has none") {
  const fake::Fake hypervisor;
  (void)make<Machine<Countless, Devices<>, Handlers<>, fake::Fake>>(hypervisor, {.memory = 2 * MiB});
  CHECK_FALSE(hypervisor.recorder().performance_counters);
  (void)make<OnFake<>>(hypervisor);
  CHECK(hypervisor.recorder().performance_counters);
}

TEST_CASE("how long halted vCPUs are waited for is the profile's word for the use of the host's CPUs, or nobody's") {
  using M = Machine<Patient, Devices<>, Handlers<>, fake::Fake>;
  const fake::Fake hypervisor;
  (void)make<M>(hypervisor, {.memory = 2 * MiB});
  CHECK(hypervisor.recorder().halt_poll_ns == 7u);
  (void)make<M>(hypervisor, {.memory = 2 * MiB, .cpu_use = CpuUse::dedicated});
  CHECK(hypervisor.recorder().halt_poll_ns == 70u);
  (void)make<OnFake<>>(hypervisor);
  CHECK(hypervisor.recorder().halt_poll_ns == std::nullopt);
}
