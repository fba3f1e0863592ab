#pragma once

#include <axvm/core/address_map.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/error.hpp>
#include <axvm/core/exit.hpp>
#include <axvm/core/fixed_string.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/lock.hpp>
#include <axvm/core/log.hpp>
#include <axvm/core/machine_state.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/core/units.hpp>
