#include <doctest/doctest.h>

#include <axvm/device/debug_exit.hpp>

#include "fakes.hpp"

TEST_CASE("debug_exit: a write stops the machine and its value is kept; the first of several counts") {
  fakes::MachineRecorder machine;
  axvm::DeviceContext context;
  context.machine = machine.control();
  axvm::DebugExit device({}, context);
  CHECK_FALSE(device.written());
  CHECK(device.value() == 0);
  device.write({0, 4, 0xcafebabe});
  REQUIRE(machine.requests.size() == 1);
  CHECK(machine.requests[0] == axvm::Action::Stop);
  CHECK(device.written());
  CHECK(device.value() == 0xcafebabe);
  device.write({1, 1, 0x11});
  CHECK(device.value() == 0xcafebabe);
}

TEST_CASE("debug_exit: with a restored state the first value still counts, and a write still stops the machine") {
  fakes::MachineRecorder machine;
  axvm::DeviceContext context;
  context.machine = machine.control();
  axvm::DebugExit device({}, context);
  device.write({0, 4, 42});
  axvm::DebugExit other({}, context);
  other.state = device.state;
  CHECK(other.written());
  CHECK(other.value() == 42);
  other.write({0, 4, 43});
  CHECK(other.value() == 42);
  CHECK(machine.requests.size() == 2);
}

TEST_CASE("debug_exit: a zero counts as written, reads change nothing and are all-ones") {
  fakes::MachineRecorder machine;
  axvm::DeviceContext context;
  context.machine = machine.control();
  axvm::DebugExitAt<0x501> device({}, context);
  axvm::PioAccess access{0, 2, 0xffff};
  device.read(access);
  CHECK(access.value == 0xffff);
  CHECK(machine.requests.empty());
  device.write({0, 1, 0});
  CHECK(device.written());
  CHECK(machine.requests.size() == 1);
  CHECK(axvm::DebugExitAt<0x501>::claims.list[0].base == 0x501);
  CHECK(axvm::DebugExit::claims.list[0].base == 0xf4);
}
