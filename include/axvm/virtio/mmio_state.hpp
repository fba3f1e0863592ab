#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/virtio/queue.hpp>

namespace axvm::inline v1::virtio {

/// The saved registers of a device on MMIO. Plain aggregate.
template <std::size_t Queues>
struct MmioState {
  std::uint32_t status = 0;
  std::uint32_t device_features_sel = 0;
  std::uint32_t driver_features_sel = 0;
  std::uint64_t driver_features = 0;
  std::uint32_t queue_sel = 0;
  /// What is not acknowledged yet; used buffers only where they are kept count of, see MmioTransport.
  std::uint32_t interrupt_status = 0;
  std::uint32_t config_generation = 0;
  std::array<QueueState, Queues> queues{};

  friend constexpr bool operator==(MmioState const&, MmioState const&) = default;
};

}  // namespace axvm::inline v1::virtio
