#pragma once

/// What the guest is told about the machine, as [acpi/6.5] wants it: AML for the device authors, tables for the
/// machine.

#include <axvm/acpi/aml.hpp>
#include <axvm/acpi/eisa_id.hpp>
#include <axvm/acpi/name.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/acpi/resources.hpp>
#include <axvm/acpi/tables.hpp>
#include <axvm/acpi/term.hpp>
