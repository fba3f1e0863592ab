#pragma once

// Where a machine goes on its host: for programs that place one. Not part of axvm.hpp, because a machine takes the plan
// as a value and planning costs every program that includes it compile time.

#include <axvm/placement/allowed.hpp>
#include <axvm/placement/groups.hpp>
#include <axvm/placement/kernel_files.hpp>
#include <axvm/placement/node_choice.hpp>
#include <axvm/placement/options.hpp>
#include <axvm/placement/plan.hpp>
#include <axvm/placement/topology.hpp>
