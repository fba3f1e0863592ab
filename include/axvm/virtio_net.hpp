#pragma once

// Networks: VirtioNet, and the TAP interfaces of the system for them.

#include <axvm/io/tap.hpp>
#include <axvm/virtio/net.hpp>
