#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/device/access.hpp>
#include <axvm/device/context.hpp>
#include <axvm/virtio/bits.hpp>
#include <axvm/virtio/device_registers.hpp>
#include <axvm/virtio/mmio_page.hpp>
#include <axvm/virtio/mmio_registers.hpp>
#include <axvm/virtio/register_state.hpp>
#include <axvm/virtio/transport.hpp>

// Virtio over MMIO, [virtio/1.2] 4.2, register layout version 2.
// Modelled: all control registers, the device status state machine of 2.1 and 3.1, feature negotiation with VERSION_1,
//   INDIRECT_DESC and EVENT_IDX, split virtqueues, doorbells, the interrupt line (edge-triggered, not shared).
// Left out: the legacy layout (version 1), packed rings, QueueReset (VIRTIO_F_RING_RESET is not offered, the register
//   reads 0), shared memory regions (every length and base reads all-ones).
// Departs from 4.2.2: InterruptStatus says that a buffer was used from DRIVER_OK to the reset, unless its exact meaning
//   is asked for (see MmioTransport).
// Ignored: writes to control registers that are not 32 bits wide and aligned, writes to read-only registers and to the
//   configuration space of a core that has no writable one, reserved bits of every register, writes to a queue's
//   registers while it is ready; once the device has DEVICE_NEEDS_RESET or FAILED notifications, QueueReady, bits of
//   the status but FAILED, and its configuration space.
// Reads of any width and alignment give the window's bytes as memory would, little-endian; write-only and unassigned
//   registers and what lies behind the configuration space are all-ones. (4.2.2.2 has drivers read control registers by
//   32 bits only.)

namespace axvm::inline v1::virtio {

/// What a device's settings say of its `exact_interrupt_status`.
inline constexpr std::string_view exact_interrupt_status_help =
    "InterruptStatus exactly as specified, at the price of an exit for each interrupt";

/// Carries a core over MMIO registers. A device owns a core, a state and this, and hands its accesses on. Everything is
/// called under the device's lock.
///
/// **Reads** are the guest's alone where the hypervisor has register pages: the page is kept equal to what read()
/// gives, and a write is answered there before the processor that wrote goes on. A change of the configuration space
/// comes in one stroke with its generation, so that a driver which reads the generation, the fields and the generation
/// again never accepts a mixture.
///
/// **Interrupts** are one edge for each that the driver wants. None is lost: whatever an edge speaks of is in memory
/// and in the registers before it is made; an edge that arrives while the handler runs makes it run again; and a
/// handler looks at the used ring after it has acknowledged. So it does not matter whether an acknowledgement of used
/// buffers comes before or after the next one is used, and there is nothing for a device to do about it:
/// InterruptStatus says that a buffer was used all the time from DRIVER_OK to the reset, which costs a handler one more
/// look at the ring when only the configuration has changed, and writing just that bit to InterruptACK does not leave
/// the kernel. A configuration change is kept count of and its acknowledgement, whatever other bits it has, arrives
/// here: a driver that acknowledges one reads the configuration space afterwards, and a change after that makes an edge
/// of its own. Where the hypervisor has no doorbells, or the exact meaning of InterruptStatus is asked for, used
/// buffers are kept count of as well.
template <Core C>
class MmioTransport : public DeviceRegisters<C, MmioTransport<C>> {
  using Base = DeviceRegisters<C, MmioTransport<C>>;
  friend Base;

 public:
  using Base::most_queues;
  using State = RegisterState<most_queues>;

  /// What VendorID reads as: "axvm". Nobody assigns these; drivers look only for quirks.
  static constexpr std::uint32_t vendor_id = 0x6d76'7861;
  /// The registers are in the device's first claim, a window of at least MmioPage::size.
  static constexpr std::size_t window = 0;

  /// All but the context must outlive it. `name` is for messages. `exact_interrupt_status` makes InterruptStatus and
  /// InterruptACK what 4.2.2 says, at the price of an exit for each interrupt.
  MmioTransport(C& core, State& state, TransportCounters& counters, std::string_view name, DeviceContext const& context,
                bool exact_interrupt_status = false)
      : Base(core, state, counters, name, context), line_(context.irq()), page_(context.register_page(window)) {
    this->listen(context, doorbell(MmioRegister::QueueNotify));
    exact_ = exact_interrupt_status || !context.swallow(doorbell(MmioRegister::InterruptACK, interrupt::used_buffer));
    show_all();
  }

  void read(MmioAccess& access) const {
    counters_.exits.add();
    if (access.width == 4 && is_aligned(access.offset, 4)) access.value = word_at(access.offset);
    else access.value = this->bytes_at(access.offset, access.width);
  }

  void write(MmioAccess const& access) {
    counters_.exits.add();
    if (access.offset >= mmio_config_offset) {
      this->write_configuration(access.offset - mmio_config_offset, bytes_of(access.value).first(access.width));
    } else if (access.width == 4 && is_aligned(access.offset, 4)) {
      set_register(static_cast<MmioRegister>(access.offset), static_cast<std::uint32_t>(access.value));
      show();
    }
  }

  /// To be called after the state was assigned: checks it as if a guest had written it and goes on from there.
  void restored() {
    this->restore();
    // An interrupt or a notification may have been under way when the state was saved, and of used buffers another kind
    // of machine may have kept no count. One too many does no harm.
    const bool listens = (state_.status & status::DRIVER_OK) != 0;
    state_.interrupt_status &= ~interrupt::used_buffer;
    if (listens && exact_) state_.interrupt_status |= interrupt::used_buffer;
    show_all();
    if (listens) line_.pulse();
    (void)this->again();
  }

 private:
  using Base::core_;
  using Base::counters_;
  using Base::state_;

  static constexpr DoorbellAddress doorbell(MmioRegister which, std::uint64_t value = 0) {
    return {.window = window, .offset = static_cast<std::uint64_t>(which), .width = 4, .value = value};
  }

  [[nodiscard]] std::uint32_t register_value(MmioRegister which) const {
    switch (which) {
      case MmioRegister::MagicValue: return mmio_magic;
      case MmioRegister::Version: return 2;
      case MmioRegister::DeviceID: return C::device_type;
      case MmioRegister::VendorID: return vendor_id;
      case MmioRegister::DeviceFeatures: return this->offered_half();
      case MmioRegister::QueueNumMax: return this->has_queue() ? C::queue_sizes[state_.queue_sel] : 0;
      case MmioRegister::QueueReady: return this->has_queue() && state_.queues[state_.queue_sel].ready ? 1 : 0;
      case MmioRegister::QueueReset: return 0;
      case MmioRegister::InterruptStatus:
        return state_.interrupt_status |
               (!exact_ && (state_.status & status::DRIVER_OK) != 0 ? interrupt::used_buffer : 0);
      case MmioRegister::Status: return state_.status;
      case MmioRegister::ConfigGeneration: return state_.config_generation;
      default: return 0xffff'ffff;
    }
  }

  void set_register(MmioRegister which, std::uint32_t value) {
    switch (which) {
      case MmioRegister::Status: return this->set_status(value);
      case MmioRegister::InterruptACK: state_.interrupt_status &= ~value; return;
      case MmioRegister::QueueNotify: return this->notify(value);
      case MmioRegister::QueueSel: state_.queue_sel = value; return;
      case MmioRegister::QueueReady: return this->set_queue_ready((value & 1) != 0);
      case MmioRegister::DeviceFeaturesSel: state_.device_features_sel = value; return;
      case MmioRegister::DriverFeaturesSel: state_.driver_features_sel = value; return;
      case MmioRegister::DriverFeatures: return this->set_driver_features(value);
      default: set_queue_register(which, value);
    }
  }

  void set_queue_register(MmioRegister which, std::uint32_t value) {
    QueueState* queue = this->queue_to_set();
    if (queue == nullptr) return;
    switch (which) {
      case MmioRegister::QueueNum: queue->size = value; return;
      case MmioRegister::QueueDescLow: return Base::set_half(queue->descriptor_area, false, value);
      case MmioRegister::QueueDescHigh: return Base::set_half(queue->descriptor_area, true, value);
      case MmioRegister::QueueDriverLow: return Base::set_half(queue->driver_area, false, value);
      case MmioRegister::QueueDriverHigh: return Base::set_half(queue->driver_area, true, value);
      case MmioRegister::QueueDeviceLow: return Base::set_half(queue->device_area, false, value);
      case MmioRegister::QueueDeviceHigh: return Base::set_half(queue->device_area, true, value);
      default: return;
    }
  }

  // What DeviceRegisters asks for. An interrupt is an edge; what it speaks of is there already.
  void tell_used(std::size_t) {
    if (exact_) {
      state_.interrupt_status |= interrupt::used_buffer;
      show();
    }
    line_.pulse();
  }
  void tell_configuration() { line_.pulse(); }
  void forget() {}

  /// The four bytes at an offset into the window, a multiple of 4, as the guest reads them.
  [[nodiscard]] std::uint32_t word_at(std::uint64_t offset) const {
    if (offset < mmio_config_offset) return register_value(static_cast<MmioRegister>(offset));
    return this->configuration_word(offset - mmio_config_offset);
  }

  [[nodiscard]] std::uint64_t end_of_words() const { return mmio_config_offset + core_.config().size(); }

  // Brings what the guest reads by itself into step.
  void show() const {
    page_.show_registers([this](std::uint64_t offset) { return word_at(offset); });
  }
  void show_all() const {
    page_.show_all(end_of_words(), [this](std::uint64_t offset) { return word_at(offset); });
  }
  void show_configuration() const {
    page_.swap_all(end_of_words(), [this](std::uint64_t offset) { return word_at(offset); });
  }

  IrqLine line_;
  MmioPage page_;
  bool exact_ = true;  ///< whether used buffers are kept count of
};

static_assert(Transport<MmioTransport<CoreArchetype>>);

}  // namespace axvm::inline v1::virtio
