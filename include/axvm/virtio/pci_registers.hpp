#pragma once

#include <cstdint>

namespace axvm::inline v1::virtio {

/// Fields of the common configuration of virtio over PCI, [virtio/1.2] 4.1.4.3: byte offsets. Each has its natural
/// width, which is that of its accesses; 64-bit fields take two of 32 bits.
enum class PciRegister : std::uint64_t {
  device_feature_select = 0x00,  ///< RW 32
  device_feature = 0x04,         ///< R  32 of the offered features
  driver_feature_select = 0x08,  ///< RW 32
  driver_feature = 0x0c,         ///< RW 32 of the accepted features
  config_msix_vector = 0x10,     ///< RW 16: of configuration changes
  num_queues = 0x12,             ///< R  16
  device_status = 0x14,          ///< RW  8; 0 resets
  config_generation = 0x15,      ///< R   8
  queue_select = 0x16,           ///< RW 16: which queue the fields below mean
  queue_size = 0x18,             ///< RW 16: entries; at first the most there may be; 0: no such queue
  queue_msix_vector = 0x1a,      ///< RW 16
  queue_enable = 0x1c,           ///< RW 16: 1: the device may use the queue
  queue_notify_off = 0x1e,       ///< R  16: here 0, all queues are notified at one place
  queue_desc = 0x20,             ///< RW 64: descriptor area
  queue_driver = 0x28,           ///< RW 64: driver area
  queue_device = 0x30,           ///< RW 64: device area
  queue_notify_data = 0x38,      ///< R  16: without VIRTIO_F_NOTIF_CONFIG_DATA not used
  queue_reset = 0x3a,            ///< RW 16: without VIRTIO_F_RING_RESET not used
};

/// VIRTIO_MSI_NO_VECTOR: what a vector's number reads as where there is none, [virtio/1.2] 4.1.4.3.
inline constexpr std::uint16_t no_vector = 0xffff;

/// Kinds of capabilities, [virtio/1.2] 4.1.4: cfg_type.
namespace pci_cap {
inline constexpr std::uint8_t COMMON_CFG = 1;
inline constexpr std::uint8_t NOTIFY_CFG = 2;
inline constexpr std::uint8_t ISR_CFG = 3;
inline constexpr std::uint8_t DEVICE_CFG = 4;
inline constexpr std::uint8_t PCI_CFG = 5;
}  // namespace pci_cap

/// Where the structures are in the memory that base address register 0 has the address of: offsets and sizes in bytes.
namespace pci_bar {
inline constexpr std::uint64_t common = 0x0000;
inline constexpr std::uint64_t isr = 0x1000;
inline constexpr std::uint64_t device = 0x2000;
inline constexpr std::uint64_t vectors = 0x3000;
inline constexpr std::uint64_t pending = 0x3800;
inline constexpr std::uint64_t size = 0x4000;
inline constexpr std::uint64_t common_size = 0x40;
inline constexpr std::uint64_t ports = 4;  ///< of base address register 1: doorbells
}  // namespace pci_bar

}  // namespace axvm::inline v1::virtio
