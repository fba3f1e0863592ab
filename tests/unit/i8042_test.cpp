#include <doctest/doctest.h>

#include <axvm/device/i8042.hpp>

#include "fakes.hpp"

namespace {

struct Keyboardless {
  fakes::MachineRecorder machine;
  axvm::DeviceContext context;
  axvm::I8042 device = build();

  axvm::I8042 build() {
    context.machine = machine.control();
    return {axvm::I8042::Config{}, context};
  }
  unsigned status() {
    axvm::PioAccess access{0, 1, ~0u};
    device.read(axvm::In<"command">{}, access);
    return access.value;
  }
};

}  // namespace

TEST_CASE("i8042: Linux's reset: the input buffer is never full and 0xfe resets the machine") {
  Keyboardless pc;
  CHECK((pc.status() & 0x02) == 0);
  CHECK(pc.machine.requests.empty());
  pc.device.write(axvm::In<"command">{}, {0, 1, axvm::I8042::PULSE_RESET});
  REQUIRE(pc.machine.requests.size() == 1);
  CHECK(pc.machine.requests[0] == axvm::Action::Reset);
}

TEST_CASE("i8042: of all commands exactly the pulses of the reset line reset, and data never does") {
  for (unsigned command = 0; command < 0x100; ++command) {
    CAPTURE(command);
    Keyboardless pc;
    pc.device.write(axvm::In<"data">{}, {0, 1, command});
    CHECK(pc.machine.requests.empty());
    pc.device.write(axvm::In<"command">{}, {0, 1, command});
    CHECK(pc.machine.requests.size() == (command >= 0xf0 && command % 2 == 0 ? 1 : 0));
  }
}

TEST_CASE("i8042: nothing waits to be read") {
  Keyboardless pc;
  CHECK((pc.status() & 0x01) == 0);
  axvm::PioAccess data{0, 1, ~0u};
  pc.device.read(axvm::In<"data">{}, data);
  CHECK(data.value == 0);
}
