#pragma once

#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/guest_debug.hpp>
#include <axvm/cpu/halt_poll.hpp>
#include <axvm/cpu/host_facts.hpp>
#include <axvm/cpu/host_report.hpp>
#include <axvm/cpu/host_requirement.hpp>
#include <axvm/cpu/ivy_bridge_cpuid.hpp>
#include <axvm/cpu/ivy_bridge_xv2.hpp>
#include <axvm/cpu/memory_backing.hpp>
#include <axvm/cpu/paging.hpp>
#include <axvm/cpu/paravirt.hpp>
#include <axvm/cpu/performance_counters.hpp>
#include <axvm/cpu/portable.hpp>
#include <axvm/cpu/profile.hpp>
#include <axvm/cpu/registers.hpp>
#include <axvm/cpu/topology.hpp>
