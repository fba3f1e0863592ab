#include "entrance.hpp"

#include <doctest/doctest.h>
#include <axvm/hv/hv.hpp>

#include <fstream>
#include <string>

using namespace axvm;

namespace {

using M = Machine<Portable, Devices<Entrance, Entrance>, Handlers<>, fake::Fake>;

constexpr std::uint64_t base_of(ClaimKind kind, std::size_t device) {
  for (PlacedClaim const& placed : M::layout)
    if (placed.claim.kind == kind && placed.device == device) return placed.claim.base;
  return floating;
}
// The platform's own two devices, power registers and keyboard controller, stand before those that are listed.
constexpr auto button = base_of(ClaimKind::Mmio, 2);
constexpr auto plate = static_cast<std::uint16_t>(base_of(ClaimKind::Pio, 2));

Result<EntryState> nothing(boot::Context const&) { return EntryState{}; }

struct PlateFile {
  PlateFile() { std::ofstream("plate.txt") << "Smith"; }
  ~PlateFile() { std::remove("plate.txt"); }
};

}  // namespace

TEST_CASE("windows have names, and what is open stays open") {
  const PlateFile file;
  M::Config config{.memory = 1_MiB};
  config.of<Entrance>().plate = "plate.txt";
  SystemHost host;
  const fake::Fake guest({fake::store(button, 1), fake::store(button, 7), fake::load(button), fake::in(plate),
                          fake::in(plate), fake::out(plate, 0), fake::in(plate)});
  auto machine = M::create(config, host, guest);
  REQUIRE(machine);
  for (int life = 0; life < 2; ++life) {
    REQUIRE(machine->load(nothing));
    CHECK(!machine->device<Entrance>()->in_kernel());  // the fake has no doorbells: rings arrive as writes
    REQUIRE(machine->run());
  }
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{1, 'S', 'm', 'S', 1, 'S', 'm', 'S'});
}

TEST_CASE("a device that is not wanted is not there") {
  const fake::Fake guest({fake::load(button), fake::in(plate)});
  auto machine = M::create({.memory = 1_MiB}, Host{}, guest);
  REQUIRE(machine->load(nothing));
  CHECK(machine->device<Entrance>() == nullptr);
  REQUIRE(machine->run());
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{0xffff'ffff, 0xff});
}

TEST_CASE("everything that cannot be opened is reported together, before anything is built") {
  M::Config config{.memory = 1_MiB};
  config.of<Entrance>().plate = "no-such-plate";
  config.of<Entrance, 1>().plate = "no-such-plate-either";
  SystemHost host;
  auto machine = M::create(config, host, fake::Fake());
  REQUIRE(!machine);
  const std::string said = describe(machine.error());
  CHECK(said.find("2 problems") != said.npos);
  CHECK(said.find("open disk image no-such-plate (") != said.npos);
  CHECK(said.find("open disk image no-such-plate-either (") != said.npos);
}

TEST_CASE("the guest is told of it, and of it only when it is there") {
  const PlateFile file;
  M::Config config{.memory = 1_MiB};
  config.of<Entrance>().plate = "plate.txt";
  SystemHost host;
  auto machine = M::create(config, host, fake::Fake());
  REQUIRE(machine->load(nothing));
  constexpr AddressMap map = Portable::address_map;
  const std::byte* tables = machine->memory().at(map.acpi_tables, map.acpi_tables_size);
  REQUIRE(tables != nullptr);
  const std::string_view text(reinterpret_cast<char const*>(tables), map.acpi_tables_size);
  CHECK(text.find("BEL0") != text.npos);
  CHECK(text.find("BEL1") == text.npos);
}
