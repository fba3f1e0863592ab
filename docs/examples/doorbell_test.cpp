#include "doorbell.hpp"

#include <doctest/doctest.h>
#include <axvm/hv/hv.hpp>

using namespace axvm;

TEST_CASE("a device is a plain class: no machine is needed to call it") {
  DeviceContext context;  // nothing is connected
  Bell bell({.initial = 5}, context);
  bell.write({.offset = 0, .width = 4, .value = 1});
  CHECK(bell.state.rings == 6);
}

TEST_CASE("a guest rings twice and reads the counter") {
  using M = Machine<Bare, Devices<Bell>, Handlers<>, fake::Fake>;
  constexpr auto base = M::layout[0].claim.base, line = M::layout[1].claim.base;

  const fake::Fake guest({fake::store(base, 1), fake::store(base, 1), fake::load(base)});
  auto machine = M::create({.memory = 1_MiB}, Host{}, guest);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  REQUIRE(machine->run());
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{2});
  CHECK(guest.recorder().interrupts ==
        std::vector<fake::LineChange>{{line, true}, {line, false}, {line, true}, {line, false}});
}

TEST_CASE("each doorbell of a machine has its own window, line and settings") {
  using M = Machine<Bare, Devices<Bell, Bell>, Handlers<>, fake::Fake>;
  static_assert(M::layout[0].claim.base != M::layout[2].claim.base);
  M::Config config{.memory = 1_MiB};
  config.of<Bell, 1>().initial = 40;

  const fake::Fake guest({fake::load(M::layout[0].claim.base), fake::load(M::layout[2].claim.base)});
  auto machine = M::create(config, Host{}, guest);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  REQUIRE(machine->run());
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{0, 40});
}
