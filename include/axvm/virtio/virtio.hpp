#pragma once

/// Everything in virtio/: the devices, and what new ones are made of.

#include <axvm/virtio/balloon.hpp>
#include <axvm/virtio/balloon_core.hpp>
#include <axvm/virtio/bits.hpp>
#include <axvm/virtio/blk.hpp>
#include <axvm/virtio/blk_core.hpp>
#include <axvm/virtio/blk_engine.hpp>
#include <axvm/virtio/blk_request.hpp>
#include <axvm/virtio/blk_slots.hpp>
#include <axvm/virtio/chain.hpp>
#include <axvm/virtio/console.hpp>
#include <axvm/virtio/console_core.hpp>
#include <axvm/virtio/device_status.hpp>
#include <axvm/virtio/mmio.hpp>
#include <axvm/virtio/mmio_acpi.hpp>
#include <axvm/virtio/mmio_page.hpp>
#include <axvm/virtio/mmio_registers.hpp>
#include <axvm/virtio/mmio_state.hpp>
#include <axvm/virtio/net.hpp>
#include <axvm/virtio/net_core.hpp>
#include <axvm/virtio/queue.hpp>
#include <axvm/virtio/ring.hpp>
#include <axvm/virtio/rng.hpp>
#include <axvm/virtio/rng_core.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>
#include <axvm/virtio/vsock.hpp>
#include <axvm/virtio/vsock_connection.hpp>
#include <axvm/virtio/vsock_core.hpp>
#include <axvm/virtio/vsock_packet.hpp>
#include <axvm/virtio/vsock_table.hpp>
