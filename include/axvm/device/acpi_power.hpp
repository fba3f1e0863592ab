#pragma once

#include <cstdint>

#include <axvm/device/device.hpp>

namespace axvm::inline v1 {

/// The fixed ACPI hardware of a PC: the PM1a event and control registers, the power button, power-off, and the reset
/// register ([acpi/6.5] 4.8.3, 4.8.2.2, 4.8.3.6). The FADT is made of this class's constants.
///
/// Modelled: PWRBTN_STS and PWRBTN_EN with the System Control Interrupt, SLP_TYP and SLP_EN for S5, SCI_EN (always one:
/// there is no legacy mode and no SMI command port), the reset register.
/// Left out: the other sleep states, the PM timer, general-purpose events; their status bits never get set, their
/// enable bits are kept. A request to sleep otherwise than by S5 does nothing. Ignored: BM_RLD is kept and does
/// nothing; GBL_RLS and reserved bits. Port 0x607 is reserved and reads zero. Accesses may have any width and offset;
/// they are made of bytes ([acpi/6.5] 4.8.3: registers of byte granularity).
class AcpiPower {
 public:
  static constexpr std::uint16_t base = 0x600;
  static constexpr auto claims = axvm::claims(Pio{.base = base, .size = 8}, Irq{.line = 9, .trigger = Trigger::Level});

  // For the FADT and the DSDT ([acpi/6.5] 5.2.9).
  static constexpr std::uint16_t pm1a_event_block = base;        ///< PM1a_EVT_BLK: status, then enable
  static constexpr std::uint8_t pm1_event_length = 4;            ///< PM1_EVT_LEN, bytes
  static constexpr std::uint16_t pm1a_control_block = base + 4;  ///< PM1a_CNT_BLK
  static constexpr std::uint8_t pm1_control_length = 2;          ///< PM1_CNT_LEN, bytes
  static constexpr std::uint16_t reset_register = base + 6;      ///< RESET_REG: System I/O, 8 bits
  static constexpr std::uint8_t reset_value = 0x01;              ///< RESET_VALUE
  static constexpr std::uint8_t sci_interrupt = 9;               ///< SCI_INT: level-triggered, active high
  static constexpr std::uint8_t s5_sleep_type = 5;               ///< SLP_TYPa in \_S5

  // PM1 status and enable registers.
  static constexpr std::uint16_t PWRBTN_STS = 1u << 8;
  static constexpr std::uint16_t TMR_EN = 1u << 0;
  static constexpr std::uint16_t GBL_EN = 1u << 5;
  static constexpr std::uint16_t PWRBTN_EN = 1u << 8;
  static constexpr std::uint16_t SLPBTN_EN = 1u << 9;
  static constexpr std::uint16_t RTC_EN = 1u << 10;
  // PM1 control register.
  static constexpr std::uint16_t SCI_EN = 1u << 0;
  static constexpr std::uint16_t BM_RLD = 1u << 1;
  static constexpr std::uint16_t SLP_TYP = 7u << 10;
  static constexpr std::uint16_t SLP_EN = 1u << 13;  ///< write only

  struct Config {};

  struct State {
    std::uint16_t pm1_sts = 0;
    std::uint16_t pm1_en = 0;
    std::uint16_t pm1_cnt = SCI_EN;
  };

  AcpiPower(Config const&, DeviceContext& context) : machine_(context.machine), irq_(context.irq()) {}

  void read(PioAccess& access) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < access.width; ++i) value |= std::uint32_t{read_byte(access.offset + i)} << 8 * i;
    access.value = value;
  }

  void write(PioAccess const& access) {
    for (unsigned i = 0; i < access.width; ++i)
      write_byte(access.offset + i, static_cast<std::uint8_t>(access.value >> 8 * i));
    update_interrupt();
  }

  /// Someone presses the power button: the guest is told if it listens, and then decides for itself.
  void press_power_button() {
    state.pm1_sts |= PWRBTN_STS;
    update_interrupt();
  }

  /// Goes on from an assigned `state`.
  void restored() {
    state.pm1_sts &= PWRBTN_STS;
    state.pm1_en &= enable_bits;
    state.pm1_cnt = SCI_EN | (state.pm1_cnt & control_bits);
    update_interrupt();
  }

  State state;

 private:
  static constexpr std::uint16_t enable_bits = TMR_EN | GBL_EN | PWRBTN_EN | SLPBTN_EN | RTC_EN;
  static constexpr std::uint16_t control_bits = BM_RLD | SLP_TYP;

  std::uint8_t read_byte(unsigned offset) const {
    switch (offset) {
      case 0: return static_cast<std::uint8_t>(state.pm1_sts);
      case 1: return static_cast<std::uint8_t>(state.pm1_sts >> 8);
      case 2: return static_cast<std::uint8_t>(state.pm1_en);
      case 3: return static_cast<std::uint8_t>(state.pm1_en >> 8);
      case 4: return static_cast<std::uint8_t>(state.pm1_cnt);
      case 5: return static_cast<std::uint8_t>(state.pm1_cnt >> 8);
      default: return 0;
    }
  }

  void write_byte(unsigned offset, std::uint8_t value) {
    const unsigned shift = 8 * (offset & 1);
    const unsigned bits = unsigned{value} << shift;
    const unsigned lane = 0xffu << shift;  // the half of the register that this byte is
    switch (offset) {
      case 0:
      case 1: state.pm1_sts = static_cast<std::uint16_t>(state.pm1_sts & ~bits); break;
      case 2:
      case 3: state.pm1_en = static_cast<std::uint16_t>((state.pm1_en & ~lane) | (bits & enable_bits)); break;
      case 4:
      case 5:
        state.pm1_cnt = static_cast<std::uint16_t>((state.pm1_cnt & ~(lane & control_bits)) | (bits & control_bits));
        // SLP_TYP and SLP_EN are in the same byte.
        if ((bits & SLP_EN) != 0 && (bits & SLP_TYP) == unsigned{s5_sleep_type} << 10) machine_(Action::PowerOff);
        break;
      case 6:
        if (value == reset_value) machine_(Action::Reset);
        break;
      default: break;
    }
  }

  void update_interrupt() { irq_.set((state.pm1_sts & state.pm1_en) != 0); }

  MachineControl machine_;
  IrqLine irq_;
};

static_assert(Device<AcpiPower>);
static_assert(HasPio<AcpiPower>);

}  // namespace axvm::inline v1
