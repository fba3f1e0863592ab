#pragma once

// Everything a monitor's author needs. Apart from it, for they would cost every program half a second: the texts and
// the picture of a machine (axvm/observe/observe.hpp) and the scripted hypervisor for tests (axvm/hv/hv.hpp).

#include <axvm/core/core.hpp>
#include <axvm/device/devices.hpp>
#include <axvm/machine.hpp>
#include <axvm/virtio/virtio.hpp>
