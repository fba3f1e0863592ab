#pragma once

#include <cstdint>

namespace axvm::inline v1::virtio {

/// The control registers of virtio over MMIO, [virtio/1.2] 4.2.2: byte offsets into the window. All are 32 bits wide.
enum class MmioRegister : std::uint64_t {
  MagicValue = 0x000,         ///< R   "virt"
  Version = 0x004,            ///< R   2
  DeviceID = 0x008,           ///< R   device type
  VendorID = 0x00c,           ///< R
  DeviceFeatures = 0x010,     ///< R   32 of the offered features, which by DeviceFeaturesSel
  DeviceFeaturesSel = 0x014,  ///<  W
  DriverFeatures = 0x020,     ///<  W  32 of the accepted features, which by DriverFeaturesSel
  DriverFeaturesSel = 0x024,  ///<  W
  QueueSel = 0x030,           ///<  W  which queue the Queue registers mean
  QueueNumMax = 0x034,        ///< R   0: no such queue
  QueueNum = 0x038,           ///<  W  entries
  QueueReady = 0x044,         ///< RW  1: the device may use the queue
  QueueNotify = 0x050,        ///<  W  index of a queue with something new
  InterruptStatus = 0x060,    ///< R   bit 0 used buffer, bit 1 configuration change
  InterruptACK = 0x064,       ///<  W  bits of InterruptStatus to clear
  Status = 0x070,             ///< RW  device status; 0 resets
  QueueDescLow = 0x080,       ///<  W  descriptor area
  QueueDescHigh = 0x084,      ///<  W
  QueueDriverLow = 0x090,     ///<  W  driver area
  QueueDriverHigh = 0x094,    ///<  W
  QueueDeviceLow = 0x0a0,     ///<  W  device area
  QueueDeviceHigh = 0x0a4,    ///<  W
  SHMSel = 0x0ac,             ///<  W  which shared memory region the SHM registers mean
  SHMLenLow = 0x0b0,          ///< R   all-ones: no such region
  SHMLenHigh = 0x0b4,         ///< R
  SHMBaseLow = 0x0b8,         ///< R
  SHMBaseHigh = 0x0bc,        ///< R
  QueueReset = 0x0c0,         ///< RW  only with VIRTIO_F_RING_RESET
  ConfigGeneration = 0x0fc,   ///< R   changes whenever the configuration space does
};

/// Where the configuration space begins.
inline constexpr std::uint64_t mmio_config_offset = 0x100;
/// What MagicValue reads as: "virt".
inline constexpr std::uint32_t mmio_magic = 0x7472'6976;

}  // namespace axvm::inline v1::virtio
