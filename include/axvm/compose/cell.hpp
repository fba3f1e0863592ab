#pragma once

#include <cstddef>
#include <optional>
#include <type_traits>

#include <axvm/compose/composition.hpp>
#include <axvm/core/lock.hpp>
#include <axvm/device/device.hpp>

namespace axvm::inline v1 {

namespace detail {

struct NoResources {};
template <class D>
struct ResourcesOf {
  using Type = NoResources;
};
template <HasResources D>
struct ResourcesOf<D> {
  using Type = typename D::Resources;
};

/// The `N`-th claim type of a Claims list, for its name.
template <std::size_t N, class... Cs>
constexpr auto claim_type(Claims<Cs...> const&) -> DeviceAt<N, Devices<Cs...>>;

}  // namespace detail

/// A device that does its own locking: `static constexpr bool concurrent = true`.
template <class D>
concept HasOwnLocking = requires { requires D::concurrent; };

/// The place of one device in a machine: its settings, what it opened, its lock, and the device itself while it is
/// built.
template <Device D, class Lock>
class Cell {
 public:
  using DeviceType = D;
  using Resources = typename detail::ResourcesOf<D>::Type;
  using LockType = std::conditional_t<HasOwnLocking<D>, NoLock, Lock>;

  typename D::Config config{};

  /// Whether the configuration wants the device at all.
  [[nodiscard]] bool wanted() const {
    if constexpr (HasPresence<D>) return D::present(config);
    else return true;
  }

  /// Opens what the device needs from the host; nothing for an absent device.
  [[nodiscard]] Result<> open([[maybe_unused]] Host const& host) {
    if constexpr (HasResources<D>) {
      if (!wanted()) return {};
      auto opened = [&] {
        if constexpr (requires { D::open(config, host); }) return D::open(config, host);
        else return D::open(config);
      }();
      if (!opened) return std::unexpected(opened.error());
      resources_.emplace(std::move(*opened));
    }
    return {};
  }

  /// Builds the device (again); what it opened stays open from one life to the next.
  void build(DeviceContext& context) {
    if (!wanted()) return;
    Holding holding(lock_);
    if constexpr (HasResources<D>) device_.emplace(config, *resources_, context);
    else device_.emplace(config, context);
  }
  void destroy() {
    Holding holding(lock_);
    device_.reset();
  }

  /// The device, or null when it is absent, not built, or its work is done in the kernel.
  [[nodiscard]] D* device() { return device_ ? &*device_ : nullptr; }
  [[nodiscard]] LockType& lock() { return lock_; }

  /// One access to the device's claim `N`, under its lock. An absent device leaves a read all-ones.
  template <std::size_t N, bool IsWrite, class Access>
  void access(Access& access) {
    if constexpr (HasPresence<D>)
      if (!device_) return;
    using Window = decltype(detail::claim_type<N>(D::claims));
    Holding holding(lock_);
    if constexpr (IsWrite) {
      if constexpr (Window::name.empty()) device_->write(static_cast<Access const&>(access));
      else device_->write(In<Window::name>{}, static_cast<Access const&>(access));
    } else {
      if constexpr (Window::name.empty()) device_->read(access);
      else device_->read(In<Window::name>{}, access);
    }
  }

 private:
  [[no_unique_address]] LockType lock_;
  std::optional<Resources> resources_;
  std::optional<D> device_;
};

}  // namespace axvm::inline v1
