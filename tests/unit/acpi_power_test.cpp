#include <doctest/doctest.h>

#include <axvm/device/acpi_power.hpp>

#include "fakes.hpp"

namespace {

using axvm::AcpiPower;

struct Power {
  fakes::MachineRecorder machine;
  fakes::InterruptRecorder sci;
  axvm::DeviceContext context;
  AcpiPower device = build();

  AcpiPower build() {
    context.machine = machine.control();
    context.lines[0] = sci.line();
    return {AcpiPower::Config{}, context};
  }
  unsigned in(unsigned port, std::uint8_t width) {
    axvm::PioAccess access{static_cast<std::uint16_t>(port - AcpiPower::base), width, ~0u};
    device.read(access);
    return access.value;
  }
  void out(unsigned port, std::uint8_t width, unsigned value) {
    device.write({static_cast<std::uint16_t>(port - AcpiPower::base), width, value});
  }
};

constexpr unsigned status = AcpiPower::pm1a_event_block, enable = status + AcpiPower::pm1_event_length / 2,
                   control = AcpiPower::pm1a_control_block;
constexpr unsigned s5 = unsigned{AcpiPower::s5_sleep_type} << 10;

}  // namespace

TEST_CASE("acpi_power: ACPI mode is always on and there is nothing pending") {
  Power power;
  CHECK(power.in(control, 2) == AcpiPower::SCI_EN);
  CHECK(power.in(status, 4) == 0);
  power.out(control, 2, 0);
  CHECK(power.in(control, 2) == AcpiPower::SCI_EN);
}

TEST_CASE("acpi_power: Linux powers off: SLP_TYP first, then SLP_TYP with SLP_EN") {
  Power power;
  power.out(control, 2, AcpiPower::SCI_EN | s5);
  CHECK(power.machine.requests.empty());
  CHECK(power.in(control, 2) == (AcpiPower::SCI_EN | s5));
  power.out(control, 2, AcpiPower::SCI_EN | s5 | AcpiPower::SLP_EN);
  REQUIRE(power.machine.requests.size() == 1);
  CHECK(power.machine.requests[0] == axvm::Action::PowerOff);
  CHECK((power.in(control, 2) & AcpiPower::SLP_EN) == 0);  // write only
}

TEST_CASE("acpi_power: SLP_EN in a byte access powers off too; other sleep types and the low byte do not") {
  Power power;
  for (unsigned type = 0; type < 8; ++type)
    if (type != AcpiPower::s5_sleep_type) power.out(control, 2, type << 10 | AcpiPower::SLP_EN);
  power.out(control, 1, 0xff);
  CHECK(power.machine.requests.empty());
  power.out(control + 1, 1, (s5 | AcpiPower::SLP_EN) >> 8);
  CHECK(power.machine.requests.size() == 1);
}

TEST_CASE("acpi_power: the reset register resets on its value only") {
  Power power;
  power.out(AcpiPower::reset_register, 1, 0);
  power.out(AcpiPower::reset_register, 1, 0xff);
  power.out(AcpiPower::reset_register + 1, 1, AcpiPower::reset_value);
  CHECK(power.machine.requests.empty());
  power.out(AcpiPower::reset_register, 1, AcpiPower::reset_value);
  REQUIRE(power.machine.requests.size() == 1);
  CHECK(power.machine.requests[0] == axvm::Action::Reset);
}

TEST_CASE("acpi_power: the power button holds the interrupt until the guest clears its status") {
  Power power;
  power.device.press_power_button();
  CHECK_FALSE(power.sci.level);  // the guest does not listen yet
  CHECK(power.in(status, 2) == AcpiPower::PWRBTN_STS);
  power.out(enable, 2, AcpiPower::PWRBTN_EN);
  CHECK(power.sci.level);
  power.out(status, 2, 0);  // writing zeros clears nothing
  CHECK(power.sci.level);
  power.out(status, 2, 0xffff & ~unsigned{AcpiPower::PWRBTN_STS});
  CHECK(power.sci.level);
  power.out(status, 2, AcpiPower::PWRBTN_STS);
  CHECK_FALSE(power.sci.level);
  CHECK(power.in(status, 2) == 0);
  power.device.press_power_button();
  CHECK(power.sci.level);
  power.out(enable, 2, 0);
  CHECK_FALSE(power.sci.level);
}

TEST_CASE("acpi_power: registers may be accessed as bytes, words and double words") {
  Power power;
  power.out(enable + 1, 1, AcpiPower::PWRBTN_EN >> 8);
  CHECK(power.in(enable, 2) == AcpiPower::PWRBTN_EN);
  power.out(enable, 1, AcpiPower::GBL_EN);
  CHECK(power.in(enable, 2) == (AcpiPower::PWRBTN_EN | AcpiPower::GBL_EN));
  power.device.press_power_button();
  CHECK(power.in(status, 4) == (unsigned{AcpiPower::PWRBTN_EN | AcpiPower::GBL_EN} << 16 | AcpiPower::PWRBTN_STS));
  power.out(status, 4, AcpiPower::PWRBTN_STS);  // clears the status and all enables
  CHECK(power.in(status, 4) == 0);
  CHECK_FALSE(power.sci.level);
  power.out(enable, 2, 0xffff);  // reserved bits do not stick
  CHECK(power.in(enable, 2) ==
        (AcpiPower::TMR_EN | AcpiPower::GBL_EN | AcpiPower::PWRBTN_EN | AcpiPower::SLPBTN_EN | AcpiPower::RTC_EN));
  CHECK(power.in(control, 4) == AcpiPower::SCI_EN);
}

TEST_CASE("acpi_power: a restored state holds its interrupt again") {
  Power power;
  power.out(enable, 2, AcpiPower::PWRBTN_EN);
  power.device.press_power_button();
  Power other;
  other.device.state = power.device.state;
  other.device.restored();
  CHECK(other.sci.level);
  other.out(status, 2, AcpiPower::PWRBTN_STS);
  CHECK_FALSE(other.sci.level);
}
