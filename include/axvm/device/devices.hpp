#pragma once

// Every device that is not virtio.

#include <axvm/device/acpi_power.hpp>
#include <axvm/device/debug_exit.hpp>
#include <axvm/device/feature.hpp>
#include <axvm/device/i8042.hpp>
#include <axvm/device/io_apic.hpp>
#include <axvm/device/io_apic_entry.hpp>
#include <axvm/device/message.hpp>
#include <axvm/device/msix.hpp>
#include <axvm/device/pci_configuration.hpp>
#include <axvm/device/pit8254.hpp>
#include <axvm/device/uart8250.hpp>
