#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1::acpi {

/// System Resource Affinity Table, what precedes the structures ([acpi/6.5] 5.2.16).
struct [[gnu::packed]] Srat {
  Header header;
  std::uint32_t Reserved1 = 1;  ///< must be 1
  std::uint64_t Reserved2 = 0;
};
static_assert(sizeof(Srat) == 48);

/// Processor Local APIC/SAPIC Affinity Structure: a processor with an id below 255 ([acpi/6.5] 5.2.16.1).
struct [[gnu::packed]] ProcessorLocalApicAffinity {
  std::uint8_t Type = 0;
  std::uint8_t Length = 16;
  std::uint8_t Proximity_Domain_7_0 = 0;
  std::uint8_t APIC_ID = 0;
  std::uint32_t Flags = 1;  ///< bit 0 Enabled
  std::uint8_t Local_SAPIC_EID = 0;
  std::array<std::uint8_t, 3> Proximity_Domain_31_8{};
  std::uint32_t Clock_Domain = 0;
};
static_assert(sizeof(ProcessorLocalApicAffinity) == 16);

/// Memory Affinity Structure ([acpi/6.5] 5.2.16.2).
struct [[gnu::packed]] MemoryAffinity {
  std::uint8_t Type = 1;
  std::uint8_t Length = 40;
  std::uint32_t Proximity_Domain = 0;
  std::uint16_t Reserved = 0;
  std::uint64_t Base_Address = 0;
  std::uint64_t Length_in_bytes = 0;
  std::uint32_t Reserved2 = 0;
  std::uint32_t Flags = 1;  ///< bit 0 Enabled, bit 1 Hot Pluggable, bit 2 NonVolatile
  std::uint64_t Reserved3 = 0;
};
static_assert(sizeof(MemoryAffinity) == 40);

/// Processor Local x2APIC Affinity Structure: a processor with an id of 255 or more ([acpi/6.5] 5.2.16.3).
struct [[gnu::packed]] ProcessorLocalX2ApicAffinity {
  std::uint8_t Type = 2;
  std::uint8_t Length = 24;
  std::uint16_t Reserved = 0;
  std::uint32_t Proximity_Domain = 0;
  std::uint32_t X2APIC_ID = 0;
  std::uint32_t Flags = 1;  ///< bit 0 Enabled
  std::uint32_t Clock_Domain = 0;
  std::uint32_t Reserved2 = 0;
};
static_assert(sizeof(ProcessorLocalX2ApicAffinity) == 24);

/// Writes the SRAT: which node each processor and each stretch of memory belongs to. Returns its address.
[[AXVM_ONCE]] constexpr GuestAddress write_srat(ByteWriter& out, Platform const& platform) {
  Srat srat;
  srat.header = Header("SRAT", 3, platform.identity);
  return write_table(out, srat, [&] {
    for (Processor const& processor : platform.processors) {
      if (processor.apic_id < 255) {
        ProcessorLocalApicAffinity entry;
        entry.Proximity_Domain_7_0 = static_cast<std::uint8_t>(processor.proximity_domain & 0xff);
        for (unsigned i = 0; i < 3; ++i)
          entry.Proximity_Domain_31_8[i] = static_cast<std::uint8_t>(processor.proximity_domain >> (8 + 8 * i) & 0xff);
        entry.APIC_ID = static_cast<std::uint8_t>(processor.apic_id);
        out.put(entry);
      } else {
        ProcessorLocalX2ApicAffinity entry;
        entry.Proximity_Domain = processor.proximity_domain;
        entry.X2APIC_ID = processor.apic_id;
        out.put(entry);
      }
    }
    for (NodeMemory const& range : platform.memory) {
      MemoryAffinity entry;
      entry.Proximity_Domain = range.proximity_domain;
      entry.Base_Address = range.base;
      entry.Length_in_bytes = range.size;
      out.put(entry);
    }
  });
}

}  // namespace axvm::inline v1::acpi
