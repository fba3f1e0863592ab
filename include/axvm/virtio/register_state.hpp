#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/virtio/queue.hpp>

namespace axvm::inline v1::virtio {

/// The saved registers of a device that all transports have. Plain aggregate.
template <std::size_t Queues>
struct RegisterState {
  std::uint32_t status = 0;
  std::uint32_t device_features_sel = 0;
  std::uint32_t driver_features_sel = 0;
  std::uint64_t driver_features = 0;
  std::uint32_t queue_sel = 0;
  /// What is not acknowledged yet; used buffers only where they are kept count of, see MmioTransport. Where
  /// interrupts are messages, what a driver without them would find.
  std::uint32_t interrupt_status = 0;
  std::uint32_t config_generation = 0;
  std::array<QueueState, Queues> queues{};

  friend constexpr bool operator==(RegisterState const&, RegisterState const&) = default;
};

}  // namespace axvm::inline v1::virtio
