#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include <axvm/compose/composition.hpp>
#include <axvm/core/inlined.hpp>
#include <axvm/core/lock.hpp>
#include <axvm/core/names.hpp>
#include <axvm/core/result.hpp>
#include <axvm/device/device.hpp>

namespace axvm::inline v1 {

namespace detail {

/// Room for an object that comes and goes, at the cost of a few functions where std::optional makes thirty: every
/// device has one.
template <class T>
class Room {
 public:
  [[gnu::always_inline]] Room() {}
  Room(Room const&) = delete;
  Room& operator=(Room const&) = delete;
  [[gnu::always_inline]] ~Room() { reset(); }

  template <class... Arguments>
  [[gnu::always_inline]] void emplace(Arguments&... arguments) {
    reset();
    ::new (static_cast<void*>(&object_)) T(arguments...);
    is_full_ = true;
  }
  void take(T& object) {
    reset();
    ::new (static_cast<void*>(&object_)) T(std::move(object));
    is_full_ = true;
  }
  [[gnu::always_inline]] void reset() {
    if (is_full_) object_.~T();
    is_full_ = false;
  }
  [[nodiscard, gnu::always_inline]] bool is_full() const { return is_full_; }
  /// The object; the room must be full.
  [[nodiscard, gnu::always_inline]] T& object() { return object_; }

 private:
  union {
    T object_;
  };
  bool is_full_ = false;
};

/// One access on its way to a device.
struct BusItem {
  std::byte* data = nullptr;  ///< as many bytes as an access's value has: what is written, or what is read goes there
  std::uint8_t width = 0;     ///< how many of them count
  bool is_write = false;
};

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

/// What a machine does with its devices when none of them is called by the guest: functions of the place of one, a
/// Cell, in a table that there is once for each class. Null: nothing is to be done.
struct CellOperations {
  void (*configure)(void* cell, void const* config) = nullptr;  ///< gives it its settings
  bool (*wanted)(void* cell) = nullptr;                         ///< Cell::wanted; null: always
  Result<> (*open)(void* cell, Host const& host) = nullptr;
  void (*build)(void* cell, DeviceContext& context) = nullptr;
  void (*quiesce)(void* cell) = nullptr;
  void (*destroy)(void* cell) = nullptr;

  void (*describe_acpi)(acpi::Aml& aml, Placement const& place) = nullptr;

  /// The name of the class if it gives memory back to the host (HasDiscards), else empty.
  std::string_view discards{};
};

/// The function by which `D` describes itself in the DSDT; null when it does not.
template <class D>
[[nodiscard]] constexpr auto acpi_describer() -> void (*)(acpi::Aml&, Placement const&) {
  if constexpr (HasAcpi<D>) return [](acpi::Aml& aml, Placement const& place) { D::describe_acpi(aml, place); };
  else return nullptr;
}

/// The place of one device in a machine: its settings, what it opened, its lock, and the device itself while it is
/// built.
template <Device D, class Lock>
class Cell {
 public:
  using DeviceType = D;
  using Resources = typename detail::ResourcesOf<D>::Type;
  using LockType = std::conditional_t<HasOwnLocking<D>, NoLock, Lock>;

  /// Written out: with one that the compiler makes the room for the device would be cleared first.
  Cell() {}

  typename D::Config config{};

  /// Whether the configuration wants the device at all.
  [[nodiscard, gnu::always_inline]] bool wanted() const {
    if constexpr (HasPresence<D>) return D::present(config);
    else return true;
  }

  /// Opens what the device needs from the host; nothing for an absent device.
  [[nodiscard, gnu::always_inline]] Result<> open([[maybe_unused]] Host const& host) {
    if constexpr (HasResources<D>) {
      if (!wanted()) return {};
      auto opened = [&] {
        if constexpr (requires { D::open(config, host); }) return D::open(config, host);
        else return D::open(config);
      }();
      if (!opened) return std::unexpected(opened.error());
      resources_.take(*opened);
    }
    return {};
  }

  /// Builds the device (again); what it opened stays open from one life to the next.
  [[gnu::always_inline]] void build(DeviceContext& context) {
    if (!wanted()) return;
    Holding holding(lock_);
    if constexpr (HasResources<D>) device_.emplace(config, resources_.object(), context);
    else device_.emplace(config, context);
  }
  /// What the device has under way outside the machine ends.
  [[gnu::always_inline]] void quiesce() {
    if constexpr (HasQuiesce<D>) {
      if (!device_.is_full()) return;
      Holding holding(lock_);
      device_.object().quiesce();
    }
  }
  [[gnu::always_inline]] void destroy() {
    Holding holding(lock_);
    device_.reset();
  }

  /// The device, or null when it is absent or not built.
  [[nodiscard, gnu::always_inline]] D* device() { return device_.is_full() ? &device_.object() : nullptr; }
  [[nodiscard, gnu::always_inline]] LockType& lock() { return lock_; }

  /// One access to the device's claim `N`, under its lock. An absent device leaves a read all-ones.
  template <std::size_t N, class Access>
  [[AXVM_INLINED]] void access(std::uint64_t offset, detail::BusItem const& item) {
    using Value = decltype(Access::value);
    using Window = decltype(detail::claim_type<N>(D::claims));
    Access access{static_cast<decltype(access.offset)>(offset), item.width, ~Value{0}};
    if constexpr (HasPresence<D>)
      if (!device_.is_full()) {
        if (!item.is_write) std::memcpy(item.data, &access.value, sizeof(Value));
        return;
      }
    Holding holding(lock_);
    if (item.is_write) {
      std::memcpy(&access.value, item.data, sizeof(Value));
      constexpr unsigned bits = 8 * sizeof(Value);
      access.value &= ~Value{0} >> (-8u * item.width & (bits - 1));  // the width, without a branch
      if constexpr (Window::name.empty()) device_.object().write(static_cast<Access const&>(access));
      else device_.object().write(In<Window::name>{}, static_cast<Access const&>(access));
    } else {
      if constexpr (Window::name.empty()) device_.object().read(access);
      else device_.object().read(In<Window::name>{}, access);
      std::memcpy(item.data, &access.value, sizeof(Value));
    }
  }

 private:
  [[gnu::always_inline]] static Cell& at(void* cell) { return *static_cast<Cell*>(cell); }
  static void configure_at(void* cell, void const* settings) {
    at(cell).config = *static_cast<typename D::Config const*>(settings);
  }
  static bool wanted_at(void* cell) { return at(cell).wanted(); }
  static Result<> open_at(void* cell, Host const& host) { return at(cell).open(host); }
  static void build_at(void* cell, DeviceContext& context) { at(cell).build(context); }
  static void quiesce_at(void* cell) { at(cell).quiesce(); }
  static void destroy_at(void* cell) { at(cell).destroy(); }

 public:
  /// What of the functions above there is, as a table.
  static constexpr CellOperations operations{.configure = &Cell::configure_at,
                                             .wanted = HasPresence<D> ? &Cell::wanted_at : nullptr,
                                             .open = HasResources<D> ? &Cell::open_at : nullptr,
                                             .build = &Cell::build_at,
                                             .quiesce = HasQuiesce<D> ? &Cell::quiesce_at : nullptr,
                                             .destroy = &Cell::destroy_at,
                                             .describe_acpi = acpi_describer<D>(),
                                             .discards = HasDiscards<D> ? type_name<D> : std::string_view()};

 private:
  [[no_unique_address]] LockType lock_;
  [[no_unique_address]] std::conditional_t<HasResources<D>, detail::Room<Resources>, detail::NoResources> resources_;
  detail::Room<D> device_;
};

}  // namespace axvm::inline v1
