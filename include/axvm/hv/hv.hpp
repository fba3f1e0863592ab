#pragma once

#include <axvm/hv/fake/fake.hpp>
#include <axvm/hv/hypervisor.hpp>
#include <axvm/hv/kvm/kvm.hpp>
