#pragma once

// First, so that a fault's report stays short: what is included before it is listed in every compiler message.
#include <axvm/compose/diagnostics.hpp>

// First: compilers print the way to this header below every error about a composition.

#include <axvm/compose/acpi_node.hpp>
#include <axvm/compose/board.hpp>
#include <axvm/compose/cell.hpp>
#include <axvm/compose/checks.hpp>
#include <axvm/compose/composition.hpp>
#include <axvm/compose/config.hpp>
#include <axvm/compose/description.hpp>
#include <axvm/compose/device_checks.hpp>
#include <axvm/compose/devices.hpp>
#include <axvm/compose/exit_dispatch.hpp>
#include <axvm/compose/fault.hpp>
#include <axvm/compose/handler_checks.hpp>
#include <axvm/compose/handlers.hpp>
#include <axvm/compose/layout.hpp>
#include <axvm/compose/platform.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/compose/settings.hpp>
