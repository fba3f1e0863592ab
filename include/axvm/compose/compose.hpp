#pragma once

// First, for compilers print the way to these headers with every error about a composition.
#include <axvm/compose/diagnostics.hpp>
#include <axvm/compose/settings.hpp>

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
#include <axvm/compose/state.hpp>
