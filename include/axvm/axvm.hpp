#pragma once

// Everything a monitor's author needs.

#include <axvm/core/core.hpp>
#include <axvm/device/devices.hpp>
#include <axvm/machine.hpp>
#include <axvm/observe/observe.hpp>
#include <axvm/virtio/virtio.hpp>
