#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <axvm/device/access.hpp>
#include <axvm/virtio/virtio.hpp>

#include "virtio_driver.hpp"

/// The guest's side of virtio over PCI, as small as it can be: what Linux's virtio_pci_modern does, and the means to do
/// it wrongly. Where anything is, it learns from the function.
namespace guest {

using axvm::virtio::no_vector;
using axvm::virtio::PciRegister;
namespace pci_cap = axvm::virtio::pci_cap;

/// Where a capability says that a structure is, and the capability itself.
struct PciStructure {
  std::uint8_t at = 0;  ///< in the configuration space; 0: there is none
  std::uint8_t capability_length = 0;
  std::uint8_t bar = 0;
  std::uint32_t offset = 0, length = 0;

  friend bool operator==(PciStructure const&, PciStructure const&) = default;
};

/// Accesses, what the capabilities say, and the way from reset to DRIVER_OK. `Device` is a transport, or a device that
/// has windows as VirtioBlkPci has them.
template <class Device>
class PciDriver {
 public:
  static constexpr std::uint64_t message_address = 0xfee0'0000;
  static constexpr std::uint32_t first_message = 0x40;

  explicit PciDriver(Device& driven) : device(driven) {
    walk();
    config_out(4, 2, 7);  // Command: the function may answer, and write to memory
  }

  // The configuration space.

  std::uint32_t config_in(std::uint64_t offset, std::uint8_t width = 4) {
    axvm::MmioAccess access{offset, width, 0x5a5a'5a5a'5a5a'5a5a};
    if constexpr (requires { device.read_function(access); }) device.read_function(access);
    else device.read(axvm::In<"function">{}, access);
    return static_cast<std::uint32_t>(seen(access));
  }
  void config_out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    const axvm::MmioAccess access{offset, width, value};
    if constexpr (requires { device.write_function(access); }) device.write_function(access);
    else device.write(axvm::In<"function">{}, access);
  }

  // What base address registers have the address of.

  [[nodiscard]] bool is_ports(std::uint8_t bar) { return (config_in(0x10 + 4u * bar) & 1) != 0; }
  std::uint64_t memory_in(std::uint64_t offset, std::uint8_t width) {
    axvm::MmioAccess access{offset, width, 0x5a5a'5a5a'5a5a'5a5a};
    if constexpr (requires { device.read_bar(access); }) device.read_bar(access);
    else device.read(axvm::In<"bar">{}, access);
    return seen(access);
  }
  void memory_out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    const axvm::MmioAccess access{offset, width, value};
    if constexpr (requires { device.write_bar(access); }) device.write_bar(access);
    else device.write(axvm::In<"bar">{}, access);
  }
  void port_out(std::uint16_t offset, std::uint8_t width, std::uint32_t value) {
    const axvm::PioAccess access{offset, width, value};
    if constexpr (requires { device.write_doorbell(access); }) device.write_doorbell(access);
    else device.write(axvm::In<"doorbell">{}, access);
  }
  std::uint64_t in(PciStructure const& structure, std::uint64_t offset, std::uint8_t width) {
    if (is_ports(structure.bar)) throw "reads no ports";
    return memory_in(structure.offset + offset, width);
  }
  void out(PciStructure const& structure, std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    if (!is_ports(structure.bar)) return memory_out(structure.offset + offset, width, value);
    port_out(static_cast<std::uint16_t>(structure.offset + offset), width, static_cast<std::uint32_t>(value));
  }

  // The common configuration: each field by its width.

  static constexpr std::uint8_t width_of(PciRegister which) {
    using enum PciRegister;
    switch (which) {
      case device_feature_select:
      case device_feature:
      case driver_feature_select:
      case driver_feature:
      case queue_desc:
      case queue_driver:
      case queue_device: return 4;
      case device_status:
      case config_generation: return 1;
      default: return 2;
    }
  }
  std::uint32_t in(PciRegister which) {
    return static_cast<std::uint32_t>(in(common, static_cast<std::uint64_t>(which), width_of(which)));
  }
  void out(PciRegister which, std::uint32_t value) {
    out(common, static_cast<std::uint64_t>(which), width_of(which), value);
  }
  std::uint64_t in_64(PciRegister which) {
    const auto offset = static_cast<std::uint64_t>(which);
    return in(common, offset, 4) | in(common, offset + 4, 4) << 32;
  }
  void out_64(PciRegister which, std::uint64_t value) {
    const auto offset = static_cast<std::uint64_t>(which);
    out(common, offset, 4, static_cast<std::uint32_t>(value));
    out(common, offset + 4, 4, value >> 32);
  }

  std::uint64_t offered() {
    out(PciRegister::device_feature_select, 1);
    const std::uint64_t high = in(PciRegister::device_feature);
    out(PciRegister::device_feature_select, 0);
    return high << 32 | in(PciRegister::device_feature);
  }
  void accept(std::uint64_t features) {
    for (const std::uint32_t half : {1u, 0u}) {
      out(PciRegister::driver_feature_select, half);
      out(PciRegister::driver_feature, static_cast<std::uint32_t>(features >> 32 * half));
    }
  }
  std::uint32_t status_bits() { return in(PciRegister::device_status); }
  void add_status(std::uint32_t bits) { out(PciRegister::device_status, status_bits() | bits); }
  bool needs_reset() { return (status_bits() & status::DEVICE_NEEDS_RESET) != 0; }

  /// Resets and goes as far as FEATURES_OK with all features that are offered and in `wanted`; says whether that stood.
  bool negotiate(std::uint64_t wanted) {
    out(PciRegister::device_status, 0);
    if (status_bits() != 0) return false;
    add_status(status::ACKNOWLEDGE);
    add_status(status::DRIVER);
    accept(offered() & wanted);
    add_status(status::FEATURES_OK);
    return (status_bits() & status::FEATURES_OK) != 0;
  }

  void describe_queue(std::uint16_t index, std::uint32_t size, std::uint64_t descriptors, std::uint64_t available,
                      std::uint64_t used) {
    out(PciRegister::queue_select, index);
    out(PciRegister::queue_size, size);
    out_64(PciRegister::queue_desc, descriptors);
    out_64(PciRegister::queue_driver, available);
    out_64(PciRegister::queue_device, used);
  }
  /// With the vector that follows the one of configuration changes by the queue's index.
  bool enable_queue(std::uint16_t index, Ring const& ring) {
    describe_queue(index, static_cast<std::uint32_t>(ring.layout.size), ring.descriptors, ring.available, ring.used);
    out(PciRegister::queue_msix_vector, index + 1u);
    out(PciRegister::queue_enable, 1);
    return in(PciRegister::queue_enable) == 1;
  }
  /// Value and width as 4.1.5.2 has them without VIRTIO_F_NOTIFICATION_DATA.
  void kick(std::uint16_t queue = 0) {
    out(PciRegister::queue_select, queue);
    out(notify, std::uint64_t{in(PciRegister::queue_notify_off)} * notify_off_multiplier, 2, queue);
  }
  /// Reads the ISR status, which clears it.
  std::uint32_t acknowledge() { return static_cast<std::uint32_t>(in(isr, 0, 1)); }

  // MSI-X.

  /// Enables it with all vectors unmasked; vector n is message(n). The first one is of configuration changes.
  void enable_vectors() {
    control(0xc000);
    for (std::uint32_t n = 0; n < vector_count; ++n) set_vector(n, message(n), false);
    control(0x8000);
    out(PciRegister::config_msix_vector, 0);
  }
  /// Message Control; the size of the table is not the driver's.
  void control(std::uint16_t value) { config_out(msix + 2u, 2, value); }
  void set_vector(std::uint32_t n, axvm::Message const& to, bool masked) {
    const std::uint64_t entry = 16ull * n;
    out(table, entry, 4, static_cast<std::uint32_t>(to.address));
    out(table, entry + 4, 4, to.address >> 32);
    out(table, entry + 8, 4, to.data);
    mask(n, masked);
  }
  void mask(std::uint32_t n, bool masked) { out(table, 16ull * n + 12, 4, masked ? 1 : 0); }
  [[nodiscard]] static axvm::Message message(std::uint32_t n) { return {message_address, first_message + n}; }

  /// All structures by their kinds, and the table and the pending bits of MSI-X; the first of a kind counts.
  PciStructure common, notify, isr, device_config, window, table, pending;
  std::uint32_t notify_off_multiplier = 0, vector_count = 0;
  std::uint8_t msix = 0;
  std::vector<std::uint8_t> capabilities;  ///< where they are, in their order

  Device& device;

 private:
  static constexpr std::size_t most_capabilities = 48;  // as many as there is room for

  /// What a load gets of it: as many bytes as it asks for.
  static std::uint64_t seen(axvm::MmioAccess const& access) { return access.value & ~0ull >> (64 - 8 * access.width); }

  void walk() {
    if ((config_in(6, 2) & 0x10) == 0) throw "no capabilities";
    for (auto at = config_in(0x34, 1); at != 0; at = config_in(at + 1, 1)) {
      if (capabilities.size() == most_capabilities || at % 4 != 0 || at < 0x40) throw "not a list";
      capabilities.push_back(static_cast<std::uint8_t>(at));
      const auto id = config_in(at, 1);
      if (id == 0x11) found_msix(static_cast<std::uint8_t>(at));
      if (id == 0x09) found_structure(static_cast<std::uint8_t>(at));
    }
  }
  void found_structure(std::uint8_t at) {
    const PciStructure found{at, static_cast<std::uint8_t>(config_in(at + 2u, 1)),
                             static_cast<std::uint8_t>(config_in(at + 4u, 1)), config_in(at + 8u), config_in(at + 12u)};
    auto first = [&found](PciStructure& of) {
      if (of.at == 0) of = found;
    };
    switch (config_in(at + 3u, 1)) {
      case pci_cap::COMMON_CFG: return first(common);
      case pci_cap::NOTIFY_CFG: notify_off_multiplier = config_in(at + 16u); return first(notify);
      case pci_cap::ISR_CFG: return first(isr);
      case pci_cap::DEVICE_CFG: return first(device_config);
      case pci_cap::PCI_CFG: return first(window);
      default: return;
    }
  }
  void found_msix(std::uint8_t at) {
    msix = at;
    vector_count = (config_in(at + 2u, 2) & 0x7ff) + 1;
    auto in_bar = [&](std::uint32_t word, std::uint32_t length) {
      return PciStructure{at, 12, static_cast<std::uint8_t>(word & 7), word & ~7u, length};
    };
    table = in_bar(config_in(at + 4u), 16 * vector_count);
    pending = in_bar(config_in(at + 8u), 8 * ((vector_count + 63) / 64));
  }
};

using BlkPciMachine = BlkMachineOf<axvm::VirtioBlkPci, PciDriver<axvm::VirtioBlkPci>>;

}  // namespace guest
