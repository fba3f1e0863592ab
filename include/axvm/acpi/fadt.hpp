#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/generic_address.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1::acpi {

/// IAPC_BOOT_ARCH ([acpi/6.5] 5.2.9.3).
enum BootArchitecture : std::uint16_t {
  LEGACY_DEVICES = 1 << 0,        ///< the ISA bus has devices a user sees
  BOOT_ARCH_8042 = 1 << 1,        ///< there is a keyboard controller
  VGA_Not_Present = 1 << 2,       ///< do not touch VGA ports and memory
  MSI_Not_Supported = 1 << 3,     ///< do not enable message-signalled interrupts
  PCIe_ASPM_Controls = 1 << 4,    ///< do not enable ASPM
  CMOS_RTC_Not_Present = 1 << 5,  ///< do not touch ports 0x70 and 0x71
};

/// Fixed Feature Flags ([acpi/6.5] 5.2.9, table 5.10).
enum FixedFeature : std::uint32_t {
  WBINVD = 1u << 0,          ///< WBINVD writes back and invalidates the caches
  WBINVD_FLUSH = 1u << 1,    ///< WBINVD writes back, but does not invalidate
  PROC_C1 = 1u << 2,         ///< C1 works on all processors
  P_LVL2_UP = 1u << 3,       ///< C2 works on one processor only
  PWR_BUTTON = 1u << 4,      ///< the power button, if any, is a device and no fixed feature
  SLP_BUTTON = 1u << 5,      ///< the sleep button, if any, is a device and no fixed feature
  FIX_RTC = 1u << 6,         ///< an RTC wake event does not show in the fixed registers
  RTC_S4 = 1u << 7,          ///< the RTC wakes from S4
  TMR_VAL_EXT = 1u << 8,     ///< the PM timer has 32 bits, not 24
  DCK_CAP = 1u << 9,         ///< can dock
  RESET_REG_SUP = 1u << 10,  ///< RESET_REG works
  SEALED_CASE = 1u << 11,
  HEADLESS = 1u << 12,  ///< has no keyboard, mouse and screen of its own
  CPU_SW_SLP = 1u << 13,
  PCI_EXP_WAK = 1u << 14,
  USE_PLATFORM_CLOCK = 1u << 15,
  S4_RTC_STS_VALID = 1u << 16,
  REMOTE_POWER_ON_CAPABLE = 1u << 17,
  FORCE_APIC_CLUSTER_MODEL = 1u << 18,
  FORCE_APIC_PHYSICAL_DESTINATION_MODE = 1u << 19,
  HW_REDUCED_ACPI = 1u << 20,  ///< no fixed hardware; Linux then ignores PIT, PIC and ISA interrupts
  LOW_POWER_S0_IDLE_CAPABLE = 1u << 21,
};

/// Fixed ACPI Description Table ([acpi/6.5] 5.2.9). Left out, that is zero: SMI_CMD (ACPI mode is always on), PM1b,
/// PM2, general-purpose events, P_BLK and throttling, sleep control (hardware-reduced only), an RTC alarm.
struct [[gnu::packed]] Fadt {
  Header header;
  std::uint32_t FIRMWARE_CTRL = 0;  ///< address of the FACS
  std::uint32_t DSDT = 0;
  std::uint8_t Reserved = 0;
  std::uint8_t Preferred_PM_Profile = 0;
  std::uint16_t SCI_INT = 0;
  std::uint32_t SMI_CMD = 0;
  std::uint8_t ACPI_ENABLE = 0;
  std::uint8_t ACPI_DISABLE = 0;
  std::uint8_t S4BIOS_REQ = 0;
  std::uint8_t PSTATE_CNT = 0;
  std::uint32_t PM1a_EVT_BLK = 0;
  std::uint32_t PM1b_EVT_BLK = 0;
  std::uint32_t PM1a_CNT_BLK = 0;
  std::uint32_t PM1b_CNT_BLK = 0;
  std::uint32_t PM2_CNT_BLK = 0;
  std::uint32_t PM_TMR_BLK = 0;
  std::uint32_t GPE0_BLK = 0;
  std::uint32_t GPE1_BLK = 0;
  std::uint8_t PM1_EVT_LEN = 4;
  std::uint8_t PM1_CNT_LEN = 2;
  std::uint8_t PM2_CNT_LEN = 0;
  std::uint8_t PM_TMR_LEN = 0;
  std::uint8_t GPE0_BLK_LEN = 0;
  std::uint8_t GPE1_BLK_LEN = 0;
  std::uint8_t GPE1_BASE = 0;
  std::uint8_t CST_CNT = 0;
  std::uint16_t P_LVL2_LAT = 101;   ///< above 100 microseconds: there is no C2
  std::uint16_t P_LVL3_LAT = 1001;  ///< above 1000 microseconds: there is no C3
  std::uint16_t FLUSH_SIZE = 0;
  std::uint16_t FLUSH_STRIDE = 0;
  std::uint8_t DUTY_OFFSET = 0;
  std::uint8_t DUTY_WIDTH = 0;
  std::uint8_t DAY_ALRM = 0;
  std::uint8_t MON_ALRM = 0;
  std::uint8_t CENTURY = 0;
  std::uint16_t IAPC_BOOT_ARCH = 0;
  std::uint8_t Reserved2 = 0;
  std::uint32_t Flags = 0;
  GenericAddress RESET_REG;
  std::uint8_t RESET_VALUE = 0;
  std::uint16_t ARM_BOOT_ARCH = 0;
  std::uint8_t FADT_Minor_Version = 5;
  std::uint64_t X_FIRMWARE_CTRL = 0;  ///< must be zero where FIRMWARE_CTRL is not
  std::uint64_t X_DSDT = 0;
  GenericAddress X_PM1a_EVT_BLK;
  GenericAddress X_PM1b_EVT_BLK;
  GenericAddress X_PM1a_CNT_BLK;
  GenericAddress X_PM1b_CNT_BLK;
  GenericAddress X_PM2_CNT_BLK;
  GenericAddress X_PM_TMR_BLK;
  GenericAddress X_GPE0_BLK;
  GenericAddress X_GPE1_BLK;
  GenericAddress SLEEP_CONTROL_REG;
  GenericAddress SLEEP_STATUS_REG;
  std::array<char, 8> Hypervisor_Vendor_Identity{};
};
static_assert(sizeof(Fadt) == 276);
static_assert(offsetof(Fadt, SCI_INT) == 46 && offsetof(Fadt, PM1a_EVT_BLK) == 56 &&
              offsetof(Fadt, PM1_EVT_LEN) == 88 && offsetof(Fadt, P_LVL2_LAT) == 96 && offsetof(Fadt, CENTURY) == 108 &&
              offsetof(Fadt, IAPC_BOOT_ARCH) == 109 && offsetof(Fadt, Flags) == 112 &&
              offsetof(Fadt, RESET_REG) == 116 && offsetof(Fadt, FADT_Minor_Version) == 131 &&
              offsetof(Fadt, X_DSDT) == 140 && offsetof(Fadt, X_PM1a_CNT_BLK) == 172 &&
              offsetof(Fadt, SLEEP_CONTROL_REG) == 244 && offsetof(Fadt, Hypervisor_Vendor_Identity) == 268);

/// The FADT of a machine; `facs` and `dsdt` lie below 4 GiB.
[[gnu::cold]] constexpr Fadt make_fadt(Platform const& platform, GuestAddress facs, GuestAddress dsdt) {
  Fadt fadt;
  fadt.header = Header("FACP", 6, platform.identity);
  fadt.FIRMWARE_CTRL = static_cast<std::uint32_t>(facs);
  fadt.DSDT = static_cast<std::uint32_t>(dsdt);
  fadt.X_DSDT = dsdt;
  fadt.Preferred_PM_Profile = static_cast<std::uint8_t>(platform.profile);
  fadt.SCI_INT = platform.sci;
  fadt.PM1a_EVT_BLK = platform.pm1a_event;
  fadt.PM1a_CNT_BLK = platform.pm1a_control;
  fadt.PM_TMR_BLK = platform.pm_timer;
  fadt.PM_TMR_LEN = platform.pm_timer != 0 ? 4 : 0;
  fadt.X_PM1a_EVT_BLK = GenericAddress::system_io(platform.pm1a_event, 32, 16);
  fadt.X_PM1a_CNT_BLK = GenericAddress::system_io(platform.pm1a_control, 16, 16);
  fadt.X_PM_TMR_BLK = GenericAddress::system_io(platform.pm_timer, 32, 32);
  fadt.RESET_REG = GenericAddress::system_io(platform.reset_register, 8, 8);
  fadt.RESET_VALUE = platform.reset_value;
  fadt.CENTURY = platform.rtc_century;
  fadt.IAPC_BOOT_ARCH = static_cast<std::uint16_t>(
      (platform.legacy_devices ? LEGACY_DEVICES : 0) | (platform.i8042 ? BOOT_ARCH_8042 : 0) |
      (platform.vga ? 0 : VGA_Not_Present) | (platform.msi ? 0 : MSI_Not_Supported) |
      (platform.cmos_rtc ? 0 : CMOS_RTC_Not_Present));
  fadt.Flags = WBINVD | PROC_C1 | SLP_BUTTON | FIX_RTC | (platform.power_button ? 0u : PWR_BUTTON) |
               (platform.pm_timer != 0 ? TMR_VAL_EXT : 0u) | (platform.reset_register != 0 ? RESET_REG_SUP : 0u);
  fadt.Hypervisor_Vendor_Identity = Identifier<8>("AXVM").characters;
  return fadt;
}

/// Writes the FADT; returns its address.
[[AXVM_ONCE]] constexpr GuestAddress write_fadt(ByteWriter& out, Platform const& platform, GuestAddress facs,
                                                GuestAddress dsdt) {
  return write_table(out, make_fadt(platform, facs, dsdt), [] {});
}

}  // namespace axvm::inline v1::acpi
