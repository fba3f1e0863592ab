#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <array>
#include <cstdint>

#include <axvm/device/io_apic.hpp>
#include <axvm/device/message.hpp>
#include <axvm/hv/kvm/counted_list.hpp>

namespace axvm::kvm::inline v1 {

/// A message as KVM's structures have it: kvm_msi, kvm_irq_routing_msi.
template <class T>
[[nodiscard]] T to_kvm_message(Message const& message) {
  T out{};
  out.address_lo = static_cast<std::uint32_t>(message.address);
  out.address_hi = static_cast<std::uint32_t>(message.address >> 32);
  out.data = message.data;
  return out;
}

/// The messages whose ends KVM tells of. It knows them as routes of lines that it keeps for an I/O APIC of somebody
/// else; nothing ever comes by these lines ([linux/kvm] 7.5).
class WatchedEnds {
 public:
  /// Sets or, where `message` is null, ends what is told of a line, and has KVM know.
  void set(int vm, unsigned line, Message const* message) {
    bool& watched = watched_[line];
    if (message == nullptr ? !watched : watched && *message == messages_[line]) return;
    watched = message != nullptr;
    if (watched) messages_[line] = *message;
    CountedList<kvm_irq_routing_entry, IoApic::max_pins> table;
    for (std::uint32_t gsi = 0; gsi < watched_.size(); ++gsi) {
      if (!watched_[gsi]) continue;
      kvm_irq_routing_entry& entry = table.entries[table.count++];
      entry.gsi = gsi;
      entry.type = KVM_IRQ_ROUTING_MSI;
      entry.u.msi = to_kvm_message<kvm_irq_routing_msi>(messages_[gsi]);
    }
    (void)::ioctl(vm, SET_GSI_ROUTING, &table);
  }

 private:
  std::array<bool, IoApic::max_pins> watched_{};
  std::array<Message, IoApic::max_pins> messages_{};
};

}  // namespace axvm::kvm::inline v1
