#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <axvm/core/bytes.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/access.hpp>
#include <axvm/device/claims.hpp>
#include <axvm/device/context.hpp>
#include <axvm/device/msix.hpp>
#include <axvm/device/pci_configuration.hpp>
#include <axvm/virtio/bits.hpp>
#include <axvm/virtio/device_registers.hpp>
#include <axvm/virtio/pci_registers.hpp>
#include <axvm/virtio/pci_state.hpp>
#include <axvm/virtio/transport.hpp>

// Virtio over PCI, [virtio/1.2] 4.1, as a conventional PCI function: no legacy or transitional interface.
// Modelled: the configuration space with two base address registers, the five capabilities of 4.1.4, the common
//   configuration, the ISR status, doorbells in an I/O port that all queues share (notify_off_multiplier 0), MSI-X with
//   a vector for each queue and one for configuration changes, masks and pending bits.
// Left out: interrupt lines (Interrupt Pin reads 0: a driver uses MSI-X, or looks at the rings by itself), power
//   management, PCI Express, packed rings, QueueReset and notification data (not offered, the fields read 0).
// The function answers where the machine has placed it and nowhere else: a guest may write other addresses into its
//   base address registers, as it does to learn their sizes, and then it does not answer until they are back.
// Ignored: writes to fields of the common configuration that are not as wide as the field, to read-only fields, to a
//   queue's size and areas while it is enabled; once the device has DEVICE_NEEDS_RESET or FAILED notifications,
//   queue_enable, bits of the status but FAILED, and its configuration space; Bus Master of Command, without which no
//   function would write to memory. A doorbell that the kernel takes rings whether the function answers or not.
// Departs from 4.1.4.9: none of the bytes of pci_cfg_data is accessed but by an access of pci_cfg_data's `length`.

namespace axvm::inline v1::virtio {

/// Carries a core over PCI. A device owns a core, a state and this, claims a function, a window named "bar" of
/// pci_bar::size, a port window "doorbell" of pci_bar::ports and vectors, one more than queues, in this order, and
/// hands accesses on. Everything is called under the device's lock.
///
/// **A request** costs the guest one exit, the doorbell, which the kernel takes; the interrupt is a message, and there
/// is nothing to read or to acknowledge.
template <Core C>
class PciTransport : public DeviceRegisters<C, PciTransport<C>> {
  using Base = DeviceRegisters<C, PciTransport<C>>;
  friend Base;

 public:
  using Base::most_queues;
  /// What is saved of it.
  using State = PciState<most_queues>;
  /// How many vectors there are: of the queues, and of configuration changes.
  static constexpr std::size_t vectors = most_queues + 1;

  /// Which of the device's claims are its windows.
  static constexpr std::size_t bar_claim = 1, doorbell_claim = 2;
  /// Whether a device's claims are those that this needs, in their order.
  static consteval bool are_claims(auto const& claims) {
    auto is = [&claims](std::size_t n, ClaimKind kind, std::uint64_t base, std::uint64_t size) {
      return claims.list[n].kind == kind && claims.list[n].base == base && claims.list[n].size == size;
    };
    return claims.list.size() == 4 && is(0, ClaimKind::Mmio, pci_slot, 0x1000) &&
           is(bar_claim, ClaimKind::Mmio, floating, pci_bar::size) &&
           is(doorbell_claim, ClaimKind::Pio, floating, pci_bar::ports) && is(3, ClaimKind::Msi, floating, vectors);
  }

  /// [virtio/1.2] 4.1.2: the vendor, and what is added to the device type for the device.
  static constexpr std::uint16_t vendor_id = 0x1af4, first_device_id = 0x1040;

  /// All but the context must outlive it. `name` is for messages; `class_code` is of [pci/3.0] D.
  PciTransport(C& core, State& state, TransportCounters& counters, std::string_view name, std::uint32_t class_code,
               DeviceContext const& context)
      : Base(core, state.registers, counters, name, context),
        pci_(state),
        configuration_(state.configuration),
        msix_(state.vectors, context.messages) {
    configuration_.identify(vendor_id, static_cast<std::uint16_t>(first_device_id + C::device_type), class_code);
    auto base_of = [&context](std::size_t claim) {
      return claim < context.claims.size() ? context.claims[claim].base : 0;
    };
    configuration_.add_memory(0, base_of(bar_claim), pci_bar::size);
    configuration_.add_ports(1, base_of(doorbell_claim), pci_bar::ports);
    configuration_.add_capability(at_msix, msix_capability, MsixTable<vectors>::table_size, control_bits << 16);
    configuration_.put(at_msix + 4, pci_bar::vectors);  // in base address register 0
    configuration_.put(at_msix + 8, pci_bar::pending);
    add_structure(at_common, pci_cap::COMMON_CFG, pci_bar::common, pci_bar::common_size);
    add_structure(at_isr, pci_cap::ISR_CFG, pci_bar::isr, 1);
    add_structure(at_device, pci_cap::DEVICE_CFG, pci_bar::device, pci_bar::vectors - pci_bar::device);
    add_structure(at_notify, pci_cap::NOTIFY_CFG, 0, pci_bar::ports, 1, 20);
    configuration_.put(at_notify + 16, 0);  // notify_off_multiplier
    configuration_.add_capability(at_pci_cfg, vendor_specific, 20 | pci_cap::PCI_CFG << 8);
    configuration_.put(at_pci_cfg + 4, 0, 0xff);
    configuration_.put(at_pci_cfg + 8, 0, ~0u);
    configuration_.put(at_pci_cfg + 12, 0, ~0u);
    this->listen(context, {.window = doorbell_claim, .offset = 0, .width = 2, .value = 0});
  }

  /// An access to the function's configuration space: the claim PciFunction.
  void read_function(MmioAccess& access) {
    counters_.exits.add();
    if (is_pci_cfg_data(access)) access.value = read_pci_cfg_data();
    else configuration_.read(access);
  }
  /// The same, written.
  void write_function(MmioAccess const& access) {
    counters_.exits.add();
    if (is_pci_cfg_data(access)) return write_pci_cfg_data(access.value);
    configuration_.write(access);
    msix_.set_control(static_cast<std::uint16_t>(configuration_.word(at_msix) >> 16));
  }

  /// An access to the window of base address register 0: the claim `bar_claim`.
  void read_bar(MmioAccess& access) {
    counters_.exits.add();
    access.value = configuration_.decodes(0) ? read_memory(access.offset, access.width) : ~0ull;
  }
  /// The same, written.
  void write_bar(MmioAccess const& access) {
    counters_.exits.add();
    if (configuration_.decodes(0)) write_memory(access.offset, access.width, access.value);
  }
  /// A notification that the kernel has not taken: the claim `doorbell_claim`.
  void write_doorbell(PioAccess const& access) {
    counters_.exits.add();
    if (configuration_.decodes(1) && access.offset == 0 && access.width == 2) this->notify(access.value);
  }

  /// To be called after the state was assigned: checks it as if a guest had written it and goes on from there.
  void restored() {
    configuration_.restored();
    for (std::uint16_t& vector : pci_.queue_vectors) vector = vector_of(vector);
    pci_.configuration_vector = vector_of(pci_.configuration_vector);
    for (MsixVector& vector : pci_.vectors) vector.address &= ~3ull;
    state_.queue_sel &= 0xffff;  // these are as wide as their fields
    for (QueueState& queue : state_.queues)
      if (!queue.ready) queue.size &= 0xffff;
    msix_.set_control(static_cast<std::uint16_t>(configuration_.word(at_msix) >> 16));
    this->restore();
    // An interrupt or a notification may have been under way when the state was saved. One too many does no harm.
    if ((state_.status & status::DRIVER_OK) != 0)
      for (std::size_t vector = 0; vector != vectors; ++vector) msix_.send(vector);
    (void)this->again();
  }

 private:
  using Base::core_;
  using Base::counters_;
  using Base::queue_count_;
  using Base::state_;

  // Capability IDs, [pci/3.0] H, and where the capabilities are.
  static constexpr std::uint8_t vendor_specific = 0x09, msix_capability = 0x11;
  static constexpr std::size_t at_msix = 0x40, at_common = 0x4c, at_isr = 0x5c, at_device = 0x6c, at_notify = 0x7c,
                               at_pci_cfg = 0x90;
  static constexpr std::uint32_t control_bits = MsixTable<vectors>::enable | MsixTable<vectors>::function_mask;

  void add_structure(std::size_t at, std::uint8_t type, std::uint64_t offset, std::uint64_t length,
                     std::uint32_t bar = 0, std::uint8_t capability_length = 16) {
    configuration_.add_capability(at, vendor_specific, static_cast<std::uint16_t>(capability_length | type << 8));
    configuration_.put(at + 4, bar);
    configuration_.put(at + 8, static_cast<std::uint32_t>(offset));
    configuration_.put(at + 12, static_cast<std::uint32_t>(length));
  }

  // [virtio/1.2] 4.1.4.9: what firmware that maps no windows uses.

  [[nodiscard]] std::uint32_t pci_cfg_length() const { return configuration_.word(at_pci_cfg + 12); }
  [[nodiscard]] bool is_pci_cfg_data(MmioAccess const& access) const {
    return access.offset == at_pci_cfg + 16 && access.width == pci_cfg_length() && access.width <= 4;
  }
  [[nodiscard]] std::uint64_t read_pci_cfg_data() {
    if (configuration_.word(at_pci_cfg + 4) != 0) return ~0ull;
    return read_memory(configuration_.word(at_pci_cfg + 8), pci_cfg_length());
  }
  void write_pci_cfg_data(std::uint64_t value) {
    const std::uint32_t bar = configuration_.word(at_pci_cfg + 4), offset = configuration_.word(at_pci_cfg + 8);
    if (bar == 0) write_memory(offset, pci_cfg_length(), value);
    else if (bar == 1 && offset == 0 && pci_cfg_length() == 2) this->notify(static_cast<std::uint16_t>(value));
  }

  /// Bytes of the memory window, at any offset: what lies in none of the structures is all-ones, what is not used of
  /// one is zero.
  [[nodiscard]] std::uint64_t read_memory(std::uint64_t offset, unsigned width) {
    if (offset == pci_bar::isr) return std::exchange(state_.interrupt_status, 0);
    return this->bytes_at(offset, width);
  }
  void write_memory(std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (offset < pci_bar::common_size) return write_common(offset, width, value);
    if (offset >= pci_bar::device && offset < pci_bar::vectors)
      return this->write_configuration(offset - pci_bar::device, bytes_of(value).first(width));
    if (offset < pci_bar::vectors || offset >= pci_bar::pending || !is_aligned(offset, width) || width % 4 != 0) return;
    msix_.set_word(offset - pci_bar::vectors, static_cast<std::uint32_t>(value));
    if (width == 8) msix_.set_word(offset - pci_bar::vectors + 4, static_cast<std::uint32_t>(value >> 32));
  }

  /// The four bytes at an offset into the memory window, a multiple of 4; not of the ISR status.
  [[nodiscard]] std::uint32_t word_at(std::uint64_t offset) const {
    if (offset < pci_bar::common_size) return common_word(offset);
    if (offset >= pci_bar::device && offset < pci_bar::vectors)
      return this->configuration_word(offset - pci_bar::device);
    if (offset >= pci_bar::vectors && offset < pci_bar::pending) return msix_.word(offset - pci_bar::vectors);
    if (offset >= pci_bar::pending && offset < pci_bar::size) return msix_.pending_word(offset - pci_bar::pending);
    return ~0u;
  }

  [[nodiscard]] std::uint32_t common_word(std::uint64_t offset) const {
    using enum PciRegister;
    static constexpr QueueState no_queue;
    static constexpr auto both = [](std::uint32_t low, std::uint32_t high) { return (low & 0xffff) | high << 16; };
    const bool there = this->has_queue();
    QueueState const& queue = there ? state_.queues[state_.queue_sel] : no_queue;
    auto half_of = [](std::uint64_t area, bool high) { return static_cast<std::uint32_t>(area >> (high ? 32 : 0)); };
    switch (offset) {
      case at(device_feature_select): return state_.device_features_sel;
      case at(device_feature): return this->offered_half();
      case at(driver_feature_select): return state_.driver_features_sel;
      case at(driver_feature): return Base::half(state_.driver_features, state_.driver_features_sel);
      case at(config_msix_vector): return both(pci_.configuration_vector, static_cast<std::uint32_t>(queue_count_));
      case at(device_status): return both(state_.status | (state_.config_generation & 0xff) << 8, state_.queue_sel);
      case at(queue_size):
        return there ? both(queue.size != 0 ? queue.size : C::queue_sizes[state_.queue_sel],
                            pci_.queue_vectors[state_.queue_sel])
                     : both(0, no_vector);
      case at(queue_enable): return queue.ready ? 1 : 0;  // and queue_notify_off
      case at(queue_desc): return half_of(queue.descriptor_area, false);
      case at(queue_desc) + 4: return half_of(queue.descriptor_area, true);
      case at(queue_driver): return half_of(queue.driver_area, false);
      case at(queue_driver) + 4: return half_of(queue.driver_area, true);
      case at(queue_device): return half_of(queue.device_area, false);
      case at(queue_device) + 4: return half_of(queue.device_area, true);
      default: return 0;
    }
  }

  void write_common(std::uint64_t offset, unsigned width, std::uint64_t written) {
    using enum PciRegister;
    const auto value = static_cast<std::uint32_t>(written);
    switch (width) {
      case 1:
        if (offset == at(device_status)) this->set_status(value & 0xff);
        return;
      case 2: return write_16(static_cast<PciRegister>(offset), static_cast<std::uint16_t>(value));
      case 4: break;
      default: return;
    }
    switch (offset) {
      case at(device_feature_select): state_.device_features_sel = value; return;
      case at(driver_feature_select): state_.driver_features_sel = value; return;
      case at(driver_feature): return this->set_driver_features(value);
      default: break;
    }
    QueueState* queue = this->queue_to_set();
    if (queue == nullptr) return;
    switch (offset) {
      case at(queue_desc): return Base::set_half(queue->descriptor_area, false, value);
      case at(queue_desc) + 4: return Base::set_half(queue->descriptor_area, true, value);
      case at(queue_driver): return Base::set_half(queue->driver_area, false, value);
      case at(queue_driver) + 4: return Base::set_half(queue->driver_area, true, value);
      case at(queue_device): return Base::set_half(queue->device_area, false, value);
      case at(queue_device) + 4: return Base::set_half(queue->device_area, true, value);
      default: return;
    }
  }
  void write_16(PciRegister which, std::uint16_t value) {
    using enum PciRegister;
    switch (which) {
      case config_msix_vector: pci_.configuration_vector = vector_of(value); return;
      case queue_select: state_.queue_sel = value; return;
      case queue_msix_vector:
        if (this->has_queue()) pci_.queue_vectors[state_.queue_sel] = vector_of(value);
        return;
      case queue_size:
        if (QueueState* queue = this->queue_to_set(); queue != nullptr) queue->size = value;
        return;
      case queue_enable:
        if (value != 1) return;  // a driver never writes 0 (4.1.4.3.2)
        if (QueueState* queue = this->queue_to_set(); queue != nullptr && queue->size == 0)
          queue->size = C::queue_sizes[state_.queue_sel];
        return this->set_queue_ready(true);
      default: return;
    }
  }

  static constexpr std::uint64_t at(PciRegister which) { return static_cast<std::uint64_t>(which); }
  /// A vector as it is kept: one that there is, or none.
  static constexpr std::uint16_t vector_of(std::uint16_t written) { return written < vectors ? written : no_vector; }

  // What DeviceRegisters asks for.
  void tell_used(std::size_t index) {
    if (msix_.enabled()) msix_.send(pci_.queue_vectors[index]);
    else state_.interrupt_status |= interrupt::used_buffer;
  }
  void tell_configuration() { msix_.send(pci_.configuration_vector); }
  void show() {}
  void show_configuration() {}
  void show_all() {}
  void forget() {
    pci_.configuration_vector = no_vector;
    pci_.queue_vectors.fill(no_vector);
    msix_.forget_pending();
  }

  State& pci_;
  PciConfiguration configuration_;
  MsixTable<vectors> msix_;
};

static_assert(Transport<PciTransport<CoreArchetype>>);

}  // namespace axvm::inline v1::virtio
