#pragma once

// Sockets between guest and host: VirtioVsock, and the sockets of the system for them.

#include <axvm/io/socket_hub.hpp>
#include <axvm/virtio/vsock.hpp>
