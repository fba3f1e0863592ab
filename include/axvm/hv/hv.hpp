#pragma once

#include <axvm/hv/hypervisor.hpp>
#include <axvm/hv/kvm/kvm.hpp>
