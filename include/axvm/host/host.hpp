#pragma once

#include <axvm/host/affinity.hpp>
#include <axvm/host/allowed.hpp>
#include <axvm/host/describe_error.hpp>
#include <axvm/host/detect.hpp>
#include <axvm/host/device_lock.hpp>
#include <axvm/host/flat_code.hpp>
#include <axvm/host/kernel_files.hpp>
#include <axvm/host/kick.hpp>
#include <axvm/host/linux_boot.hpp>
#include <axvm/host/node_choice.hpp>
#include <axvm/host/placement_groups.hpp>
#include <axvm/host/placement_options.hpp>
#include <axvm/host/placement_plan.hpp>
#include <axvm/host/topology.hpp>
