#pragma once

#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/device/context.hpp>
#include <axvm/hv/hypervisor.hpp>
#include <axvm/io/event_loop.hpp>
#include <axvm/machine/machine_checks.hpp>

namespace axvm::inline v1::detail {

/// What the hypervisor does for the windows of a machine's devices, so that accesses need not leave the kernel:
/// doorbells and register pages. Where it cannot, devices hear of it and take the accesses themselves.
template <class H>
class DeviceWindows {
 public:
  using Vm = typename H::Vm;

  /// One device.
  struct Owner {
    DeviceWindows* windows = nullptr;
    EventLoop::Owner* events = nullptr;
    std::span<const Claim> claims;
  };

  explicit DeviceWindows(Log log) : log_(log) {}

  /// For the devices of a virtual machine that is new; `vm` and `loop` outlive them.
  void begin(Vm& vm, EventLoop& loop) {
    vm_ = &vm;
    loop_ = &loop;
  }

  /// Lets a device ask. `owner` outlives it.
  void connect(DeviceContext& context, Owner& owner) {
    owner.windows = this;
    failed_ = Result<>{};
    context.add_doorbell = &DeviceWindows::add_doorbell;
    context.add_register_page = &DeviceWindows::add_register_page;
    context.window_owner = &owner;
  }
  /// What went wrong, of all that the device asked for, and cannot be made good by the device itself.
  [[nodiscard]] Result<> const& result() const { return failed_; }

 private:
  [[gnu::cold]] static bool add_doorbell(void* self, DoorbellAddress const& doorbell, Callback callback) {
    auto& owner = *static_cast<Owner*>(self);
    return owner.windows->add(owner, doorbell, callback);
  }
  [[gnu::cold]] static RegisterPage add_register_page(void* self, std::size_t window) {
    auto& owner = *static_cast<Owner*>(self);
    return owner.windows->map(owner.claims[window]);
  }

  bool add(Owner& owner, DoorbellAddress const& doorbell, Callback callback) {
    Claim const& window = owner.claims[doorbell.window];
    auto event = vm_->doorbell(window.kind, window.base + doorbell.offset, doorbell.width, doorbell.value);
    if (!event) {
      if constexpr (hypervisor_has<H, Feature::Doorbells>()) tell(event.error());
      return false;
    }
    // A descriptor that nobody reads: the hypervisor counts in it and never waits.
    if (callback.call == nullptr || loop_->watch_signal(*owner.events, *event, callback)) return true;
    // The hypervisor swallows the writes from now on, and nobody would hear them.
    failed_ = failure(ErrorCode::HostIo, "watch a doorbell", "raise the limit on open files (ulimit -n)", errno);
    return false;
  }

  RegisterPage map([[maybe_unused]] Claim const& window) {
    if constexpr (HasRegisterPages<Vm>) {
      auto page = vm_->register_page(window.base, window.size);
      if (page) return *page;
      tell(page.error());
    }
    return {};
  }

  /// Once in a machine's life, and not as an error: everything works, only slower.
  void tell(Error const& error) {
    if (std::exchange(told_, true)) return;
    tell_of_exits(log_, error);
  }

  Log log_;
  Vm* vm_ = nullptr;
  EventLoop* loop_ = nullptr;
  Result<> failed_;
  bool told_ = false;
};

}  // namespace axvm::inline v1::detail
