#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/device/msix.hpp>
#include <axvm/device/pci_configuration.hpp>
#include <axvm/virtio/pci_registers.hpp>
#include <axvm/virtio/register_state.hpp>

namespace axvm::inline v1::virtio {

/// The saved registers of a device on PCI. Plain aggregate.
template <std::size_t Queues>
struct PciState {
  RegisterState<Queues> registers;
  PciConfiguration::State configuration{};         ///< of the function, 256 bytes
  std::array<MsixVector, Queues + 1> vectors{};    ///< the MSI-X table
  std::uint16_t configuration_vector = no_vector;  ///< config_msix_vector
  /// queue_msix_vector of each queue.
  std::array<std::uint16_t, Queues> queue_vectors = [] {
    std::array<std::uint16_t, Queues> none;
    none.fill(no_vector);
    return none;
  }();

  friend constexpr bool operator==(PciState const&, PciState const&) = default;
};

}  // namespace axvm::inline v1::virtio
