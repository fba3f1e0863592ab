#pragma once

#include <axvm/memory/guest_ram.hpp>
#include <axvm/memory/mapping.hpp>
