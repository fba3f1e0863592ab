#pragma once

#include <axvm/acpi/acpi.hpp>
#include <axvm/core/once.hpp>
#include <axvm/device/placement.hpp>

namespace axvm::inline v1::virtio {

/// Writes the DSDT node by which a guest finds a device on the MMIO transport: its window (the device's first MMIO
/// claim) and its interrupt (the first line claim). Linux's virtio_mmio driver binds to LNRO0005; its DMA is coherent
/// (_CCA, [acpi/6.5] 6.2.17).
///
/// All device types share that _HID, so _UID and the node's name come from the interrupt line, which is the device's
/// own in the whole machine, not from its place among the devices of its type.
[[AXVM_ONCE]] constexpr void describe_mmio(acpi::Aml& aml, Placement const& placement) {
  Claim const& window = placement.find(ClaimKind::Mmio);
  Claim const& line = placement.find(ClaimKind::Irq);
  aml.device(acpi::device_name("VR", line.base), [&] {
    aml.name("_HID", "LNRO0005");
    aml.name("_UID", line.base);
    aml.name("_CCA", 1);
    aml.name("_CRS", acpi::ResourceTemplate{}.memory32_fixed(window.base, window.size).interrupt(line.base));
  });
}

}  // namespace axvm::inline v1::virtio
