#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/placement/placement.hpp>

using namespace axvm;

namespace {

// A profile of one's own: what another one says, with a lower limit.
struct SmallPc : Portable {
  static constexpr std::string_view name = "small PC";
  static constexpr unsigned max_vcpus = 4;
};

// A handler of one's own: a triple fault ends the run, in place of a reset.
struct EndOfRun {
  template <class Vcpu>
  static Action handle(Vcpu&) {
    return Action::Stop;
  }
};

using Server =
    Machine<SmallPc, Devices<Uart8250, Pit8254, Repeat<2, VirtioBlk>>, Handlers<OnShutdown<EndOfRun>>, fake::Fake>;

Result<EntryState> nothing(boot::Context const&) { return EntryState{}; }

}  // namespace

TEST_CASE("the layout is a constant") {
  constexpr auto disks = [] {
    std::array<std::uint64_t, 2> bases{};
    std::size_t n = 0;
    for (PlacedClaim const& placed : Server::layout)
      if (placed.claim.kind == ClaimKind::Mmio) bases[n++] = placed.claim.base;
    return bases;
  }();
  static_assert(disks == std::array<std::uint64_t, 2>{0xd000'0000, 0xd000'1000});
  static_assert(Server::List::count == 6);  // power registers and keyboard controller, then the four that are listed
}

TEST_CASE("settings are plain aggregates") {
  Server::Config config{.memory = 64_MiB, .vcpus = Server::vcpus<2>, .reboot = false};
  config.of<VirtioBlk>().path = "root.ext4";
  config.of<VirtioBlk, 1>().path = "data.ext4";
  config.of<VirtioBlk, 1>().read_only = true;
  CHECK(config.of<VirtioBlk>().path == "root.ext4");
  CHECK(config.host_check == HostCheck::strict);
}

TEST_CASE("what is wrong is told at once, with the numbers") {
  auto machine = Server::create({.memory = 1000, .vcpus = 5}, Host{}, fake::Fake());
  REQUIRE(!machine);
  const std::string said = describe(machine.error());
  CHECK(said.find("use 5 vCPUs: the profile small PC takes 1 to 4") != said.npos);
  CHECK(said.find("use 1000 bytes of guest memory") != said.npos);
}

TEST_CASE("a handler replaces the default of one exit; others keep theirs") {
  const fake::Fake guest({fake::in(0x9999), fake::exit(ExitReason::Shutdown), fake::in(0x9999)});
  auto machine = Server::create({.memory = 1_MiB}, Host{}, guest);
  REQUIRE(machine->load(nothing));
  CHECK(*machine->run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{0xff});  // nobody claims the port: all-ones
  CHECK(machine->counters().unclaimed.ports.value() == 1);
  CHECK(machine->counters().exits[static_cast<std::size_t>(ExitReason::Shutdown)].value() == 1);
}

// A register that counts how often the guest looked, and a call by which it says that it is done.
struct Looks {
  Action read(MsrExit& msr) {
    msr.value = ++count;
    return Action::Continue;
  }
  std::uint64_t count = 0;
};
struct Done {
  static Action handle(HypercallExit& call) {
    call.result = call.arguments[0];
    return Action::Stop;
  }
};

// A profiler: how often the guest came out, and why.
struct Profile {
  void before(ExitReason reason, auto&) { exits[static_cast<std::size_t>(reason)].add(); }
  std::array<Counter, exit_reason_count> exits{};
};

using Watched =
    Machine<Bare, Devices<>, Handlers<OnMsr<0x4b56'4d80, Looks>, OnHypercall<7, Done>, Observe<Profile>>, fake::Fake>;

TEST_CASE("handlers answer registers and hypercalls, and see every exit") {
  const fake::Fake guest({fake::rdmsr(0x4b56'4d80), fake::rdmsr(0x4b56'4d80), fake::hypercall(7, {42})});
  auto machine = Watched::create({.memory = 1_MiB}, Host{}, guest);
  REQUIRE(machine->load(nothing));
  CHECK(*machine->run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{1, 2, 42});
  CHECK(machine->handler<Looks>().count == 2);
  CHECK(machine->handler<Profile>().exits[static_cast<std::size_t>(ExitReason::MsrRead)].value() == 2);
}

TEST_CASE("the devices' state goes from one machine to another") {
  auto machine = Server::create({.memory = 1_MiB}, Host{}, fake::Fake({fake::out(0x3ff, 0x5a)}));  // UART: SCR
  REQUIRE(machine->load(nothing));
  REQUIRE(machine->run());

  auto states = save_states(*machine);
  REQUIRE(states);
  CHECK(states->of<Uart8250>()->scr == 0x5a);
  CHECK(states->of<VirtioBlk>() == nullptr);  // there is no such disk
  const auto fields = states->settings();     // uart0.ier, uart0.fcr, ..., each with its value
  CHECK(find_setting(fields, "uart0.scr")->text() == "90");
  REQUIRE(find_setting(fields, "uart0.scr")->set("0xa5"));

  auto other = Server::create({.memory = 1_MiB}, Host{}, fake::Fake({fake::in(0x3ff)}));
  CHECK(restore_states(*other, *states).error().code == ErrorCode::InvalidState);  // nothing is built yet
  REQUIRE(other->load(nothing));
  REQUIRE(restore_states(*other, *states));
  CHECK(other->device<Uart8250>()->state.scr == 0xa5);
}

TEST_CASE("a machine runs where its plan says") {
  auto host = read_topology();
  auto allowed = allowed_host();
  REQUIRE(host);
  REQUIRE(allowed);
  auto plan = plan_placement(*host, *allowed, {.vcpus = 1, .memory = 1_MiB});
  REQUIRE(plan);

  auto machine = Server::create({.memory = 1_MiB}, Host{}, fake::Fake());
  REQUIRE(machine->place(*plan));
  REQUIRE(machine->load(nothing));
  CHECK(*machine->run() == End::Finished);
}
