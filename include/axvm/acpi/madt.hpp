#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1::acpi {

/// Multiple APIC Description Table, what precedes the structures ([acpi/6.5] 5.2.12).
struct [[gnu::packed]] Madt {
  Header header;
  std::uint32_t Local_Interrupt_Controller_Address = 0;
  std::uint32_t Flags = 1;  ///< bit 0 PCAT_COMPAT: there is also a dual 8259
};
static_assert(sizeof(Madt) == 44);

/// Processor Local APIC Structure: a processor with an id below 255 ([acpi/6.5] 5.2.12.2).
struct [[gnu::packed]] ProcessorLocalApic {
  std::uint8_t Type = 0;
  std::uint8_t Length = 8;
  std::uint8_t ACPI_Processor_UID = 0;
  std::uint8_t APIC_ID = 0;
  std::uint32_t Flags = 1;  ///< bit 0 Enabled, bit 1 Online Capable
};
static_assert(sizeof(ProcessorLocalApic) == 8);

/// I/O APIC Structure ([acpi/6.5] 5.2.12.3).
struct [[gnu::packed]] IoApic {
  std::uint8_t Type = 1;
  std::uint8_t Length = 12;
  std::uint8_t IO_APIC_ID = 0;
  std::uint8_t Reserved = 0;
  std::uint32_t IO_APIC_Address = 0;
  std::uint32_t Global_System_Interrupt_Base = 0;
};
static_assert(sizeof(IoApic) == 12);

/// Interrupt Source Override Structure ([acpi/6.5] 5.2.12.5).
struct [[gnu::packed]] InterruptSourceOverride {
  std::uint8_t Type = 2;
  std::uint8_t Length = 10;
  std::uint8_t Bus = 0;  ///< ISA
  std::uint8_t Source = 0;
  std::uint32_t Global_System_Interrupt = 0;
  std::uint16_t Flags = 0;  ///< MPS INTI flags
};
static_assert(sizeof(InterruptSourceOverride) == 10);

/// Local APIC NMI Structure ([acpi/6.5] 5.2.12.7).
struct [[gnu::packed]] LocalApicNmi {
  std::uint8_t Type = 4;
  std::uint8_t Length = 6;
  std::uint8_t ACPI_Processor_UID = 0xff;  ///< all processors
  std::uint16_t Flags = 0;
  std::uint8_t Local_APIC_LINT = 1;
};
static_assert(sizeof(LocalApicNmi) == 6);

/// Processor Local x2APIC Structure: a processor with an id of 255 or more ([acpi/6.5] 5.2.12.12).
struct [[gnu::packed]] ProcessorLocalX2Apic {
  std::uint8_t Type = 9;
  std::uint8_t Length = 16;
  std::uint16_t Reserved = 0;
  std::uint32_t X2APIC_ID = 0;
  std::uint32_t Flags = 1;  ///< as in ProcessorLocalApic
  std::uint32_t ACPI_Processor_UID = 0;
};
static_assert(sizeof(ProcessorLocalX2Apic) == 16);

/// Local x2APIC NMI Structure ([acpi/6.5] 5.2.12.13).
struct [[gnu::packed]] LocalX2ApicNmi {
  std::uint8_t Type = 10;
  std::uint8_t Length = 12;
  std::uint16_t Flags = 0;
  std::uint32_t ACPI_Processor_UID = 0xffff'ffff;  ///< all processors
  std::uint8_t Local_x2APIC_LINT = 1;
  std::array<std::uint8_t, 3> Reserved{};
};
static_assert(sizeof(LocalX2ApicNmi) == 12);

/// Writes the MADT of a machine: its processors, the NMI at LINT1, one I/O APIC, the overrides. Returns its address.
[[AXVM_ONCE]] constexpr GuestAddress write_madt(ByteWriter& out, Platform const& platform) {
  Madt madt;
  madt.header = Header("APIC", 6, platform.identity);
  madt.Local_Interrupt_Controller_Address = static_cast<std::uint32_t>(platform.local_apic);
  madt.Flags = platform.dual_8259 ? 1 : 0;
  return write_table(out, madt, [&] {
    bool has_x2apic = false;
    for (std::size_t uid = 0; uid < platform.processors.size(); ++uid) {
      std::uint32_t id = platform.processors[uid].apic_id;
      if (id < 255) {
        ProcessorLocalApic entry;
        entry.ACPI_Processor_UID = static_cast<std::uint8_t>(uid);
        entry.APIC_ID = static_cast<std::uint8_t>(id);
        out.put(entry);
      } else {
        ProcessorLocalX2Apic entry;
        entry.ACPI_Processor_UID = static_cast<std::uint32_t>(uid);
        entry.X2APIC_ID = id;
        out.put(entry);
        has_x2apic = true;
      }
    }
    out.put(LocalApicNmi{});
    if (has_x2apic) out.put(LocalX2ApicNmi{});

    IoApic io_apic;
    io_apic.IO_APIC_ID = platform.io_apic_id;
    io_apic.IO_APIC_Address = static_cast<std::uint32_t>(platform.io_apic);
    out.put(io_apic);

    auto put_override = [&out](InterruptOverride const& each) {
      InterruptSourceOverride entry;
      entry.Source = each.source;
      entry.Global_System_Interrupt = each.gsi;
      entry.Flags = each.flags;
      out.put(entry);
    };
    for (InterruptOverride const& each : platform.overrides) put_override(each);
    put_override({.source = platform.sci, .gsi = platform.sci, .flags = 0x000d});  // level, active high
  });
}

}  // namespace axvm::inline v1::acpi
