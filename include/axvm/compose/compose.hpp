#pragma once

#include <axvm/compose/board.hpp>
#include <axvm/compose/cell.hpp>
#include <axvm/compose/composition.hpp>
#include <axvm/compose/config.hpp>
#include <axvm/compose/devices.hpp>
#include <axvm/compose/diagnostics.hpp>
#include <axvm/compose/exit_dispatch.hpp>
#include <axvm/compose/handlers.hpp>
#include <axvm/compose/layout.hpp>
#include <axvm/compose/platform.hpp>
