#pragma once

#include <axvm/memory/backing.hpp>
#include <axvm/memory/guest_ram.hpp>
#include <axvm/memory/huge_pages.hpp>
#include <axvm/memory/mapping.hpp>
#include <axvm/memory/spread.hpp>
#include <axvm/memory/swapped_memory.hpp>
