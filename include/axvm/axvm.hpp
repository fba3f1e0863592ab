#pragma once

// What most monitors need. Apart from it, for they would cost every program that has none of them: the virtio devices
// but the disk on MMIO (axvm/virtio_balloon.hpp, _blk_pci, _console, _net, _rng and _vsock), the texts and the picture
// of a machine (axvm/observe/observe.hpp) and the scripted hypervisor for tests (axvm/hv/hv.hpp).

#include <axvm/core/core.hpp>
#include <axvm/device/devices.hpp>
#include <axvm/io/terminal.hpp>
#include <axvm/machine.hpp>
#include <axvm/virtio_blk.hpp>
