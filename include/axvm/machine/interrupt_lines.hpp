#pragma once

#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/device/device.hpp>
#include <axvm/device/io_apic.hpp>
#include <axvm/host/device_lock.hpp>
#include <axvm/hv/hypervisor.hpp>

namespace axvm::inline v1::detail {

/// The local APICs of a virtual machine that stays where it is; nowhere, if they take no messages.
template <class Vm>
[[nodiscard, gnu::cold]] MessageSink messages_to([[maybe_unused]] Vm& vm) {
  if constexpr (TakesMessages<Vm>) {
    static constexpr MessageSink::Operations operations{
        [](void* self, Message const& message) { static_cast<Vm*>(self)->send(message); },
        [](void* self, unsigned line, Message const* message) { static_cast<Vm*>(self)->watch_end(line, message); }};
    return {&vm, &operations};
  } else {
    return {};
  }
}

/// The lines of a machine's devices. Those of its own I/O APIC are called under the lock of the device that has the
/// line; the I/O APIC's lock comes behind all others, and nothing is called under it but the hypervisor.
template <class BoardType>
class InterruptLines {
 public:
  /// The line of a claim: the hypervisor's, or a pin of the machine's own I/O APIC, which is built already.
  template <class Vm>
  [[nodiscard, gnu::cold]] Result<IrqLine> connect([[maybe_unused]] BoardType& board, [[maybe_unused]] Vm& vm,
                                                   Claim const& irq) {
    if constexpr (BoardType::Composition::own_io_apic)
      return pin(board.template cell<BoardType::Composition::io_apic>(), irq);
    else if constexpr (HasLines<Vm>) return vm.connect(irq);
    else return IrqLine{};  // of no device: a machine without an I/O APIC has none that claims a line
  }
  /// Forgets all of them, once no device is there that could call one.
  void clear() { pins_.clear(); }

 private:
  using Place = Cell<IoApic, DeviceLock>;

  struct Pin {
    Place* place = nullptr;
    unsigned number = 0;

    // The I/O APIC is built before all that have a line, and goes after them.
    void edge() const { place->device()->edge(number); }
    void set_level(bool level) const {
      Holding holding(place->lock());
      place->device()->set_level(number, level);
    }
  };

  [[nodiscard]] IrqLine pin(Place& place, Claim const& irq) {
    Pin& pin = pins_.add(&place, static_cast<unsigned>(irq.base));
    place.device()->connect(pin.number);
    if (irq.trigger == Trigger::Level)
      return IrqLine(&pin, [](void* self, bool level) { static_cast<Pin*>(self)->set_level(level); });
    return IrqLine(&pin, [](void* self, bool level) {
      if (level) static_cast<Pin*>(self)->edge();
    });
  }

  List<Pin> pins_;
};

}  // namespace axvm::inline v1::detail
