#pragma once

#include <cstddef>
#include <cstdint>

#include <axvm/acpi/aml.hpp>
#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1::acpi {

/// Differentiated System Description Table: the header that the AML follows ([acpi/6.5] 5.2.11.1).
struct [[gnu::packed]] Dsdt {
  Header header;
};
static_assert(sizeof(Dsdt) == 36);

/// Writes the DSDT: \_S5, the processors as ACPI0007 devices C000, C001, ... and what `devices(Aml&)` adds to \_SB.
/// Returns its address, or why something in it cannot be expressed; missing room shows in `out` only.
template <class Devices>
[[gnu::cold]] constexpr Result<GuestAddress> write_dsdt(ByteWriter& out, Platform const& platform, Devices&& devices) {
  Result<> status;
  // Revision 2 is what makes the guest's integers 64 bits wide.
  GuestAddress address = write_table(out, Dsdt{Header("DSDT", 2, platform.identity)}, [&] {
    Aml aml(out.room());
    std::uint8_t s5 = platform.sleep_type_s5;
    aml.name("\\_S5", Package(s5, s5, 0, 0));  // SLP_TYPa and SLP_TYPb ([acpi/6.5] 7.4.2)
    aml.scope("\\_SB", [&] {
      for (std::size_t uid = 0; uid < platform.processors.size(); ++uid)
        aml.device(device_name("C", uid), [&] {
          aml.name("_HID", "ACPI0007");
          aml.name("_UID", uid);
        });
      devices(aml);
    });
    out.skip(aml.size());
    status = aml.status();
  });
  if (!status && status.error().code != ErrorCode::OutOfMemory) return std::unexpected(status.error());
  return address;
}

}  // namespace axvm::inline v1::acpi
