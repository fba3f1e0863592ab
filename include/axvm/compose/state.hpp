#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/tuple.hpp>

#include <axvm/compose/config.hpp>
#include <axvm/compose/devices.hpp>
#include <axvm/compose/settings.hpp>
#include <axvm/compose/state_checks.hpp>
#include <axvm/core/machine_state.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/device/io_apic.hpp>

// The saved state of a machine's devices. Nothing here costs a machine anything that is never saved.

namespace axvm::inline v1 {

/// A range of settings with its own storage, of which the first `count` are there.
template <std::size_t Most>
struct SettingList {
  std::array<Setting, Most> all;
  std::size_t count = 0;

  [[nodiscard]] std::size_t size() const { return count; }
  [[nodiscard]] Setting const* begin() const { return all.data(); }
  [[nodiscard]] Setting const* end() const { return all.data() + count; }
};

template <class Machine>
class SavedStates;

namespace detail {

/// What is saved of a machine; nothing of one with a State that cannot be, which save_states() reports by name.
template <class Machine>
struct StateParts {
  using Fault = decltype(states_fault(typename Machine::List{}));
  static constexpr bool sound = std::is_same_v<Fault, Nothing>;
  using List = std::conditional_t<sound, typename Machine::List, Devices<>>;
};

/// A copy of the state of one device, if there is one.
template <class D>
struct SavedState {
  static constexpr std::size_t most_settings = 0;
};
template <HasState D>
struct SavedState<D> {
  static constexpr std::size_t most_settings = setting_count<typename D::State>;
  bool live = false;
  typename D::State value{};
};

template <class List>
struct SavedTuple;
template <class... Ds>
struct SavedTuple<Devices<Ds...>> {
  using Type = boost::hana::tuple<SavedState<Ds>...>;
  static constexpr std::size_t most_settings = (std::size_t{0} + ... + SavedState<Ds>::most_settings);
};

[[AXVM_ONCE]] inline std::unexpected<Error> not_possible(std::string_view what, MachineState state) {
  using namespace std::string_view_literals;
  return failure(ErrorCode::InvalidState,
                 text<1023>(what, " the devices' state of a machine that is "sv, name_of(state)),
                 state == MachineState::Loading ? "load a guest first"sv : "do it before or after a run"sv);
}

}  // namespace detail

template <class Machine>
[[nodiscard]] Result<SavedStates<Machine>> save_states(Machine& machine);
template <class Machine>
[[nodiscard]] Result<> restore_states(Machine& machine, SavedStates<Machine> const& states);

/// Copies of the State of every device of a machine that is built. Those that are absent, whose work is done in the
/// kernel, or that have no State are left out. A plain value: read, compared and changed without touching a machine.
template <class Machine>
class SavedStates {
  using Parts = detail::StateParts<Machine>;
  using List = typename Parts::List;
  using Tuple = detail::SavedTuple<List>;

 public:
  /// How many fields there are when all devices are built.
  static constexpr std::size_t most_settings = Tuple::most_settings;

  /// The state of the `Instance`-th device of type `D`, or null when it is left out.
  template <class D, std::size_t Instance = 0>
  [[nodiscard]] typename D::State* of() {
    constexpr std::size_t index = detail::index_of<D, Instance>(List{});
    static_assert(index < List::count, "axvm: the machine has no such device; is it in the Devices<...> list?");
    auto& saved = boost::hana::at_c<index>(states_);
    return saved.live ? &saved.value : nullptr;
  }

  /// All fields as a table that refers to this object, which must outlive it and stay where it is: "uart0.ier",
  /// "blk1.queues0.size", beginning as the names of the devices' settings do. What reads and writes configurations
  /// works on it, too.
  [[nodiscard]] SettingList<most_settings> settings() {
    SettingList<most_settings> list;
    detail::SettingSink sink{list.all.data()};
    for_each(*this, [&sink]<class D>(std::string_view name, detail::SavedState<D>& saved) {
      if (!saved.live) return;
      sink.owner = type_name<D>;
      detail::add_settings(sink, text<79>(name, std::string_view(".", 1)), detail::settings_table<typename D::State>,
                           &saved.value, nullptr, detail::notes_within<typename D::State>());
    });
    list.count = static_cast<std::size_t>(sink.next - list.all.data());
    return list;
  }

 private:
  friend Result<SavedStates> save_states<Machine>(Machine& machine);
  friend Result<> restore_states<Machine>(Machine& machine, SavedStates const& states);

  /// Calls `visit(name, saved)` for every device with a State.
  template <class Self, class Visit>
  static void for_each(Self& self, Visit const& visit) {
    [&]<class... Ds, std::size_t... Is>(Devices<Ds...>, std::index_sequence<Is...>) {
      static constexpr auto names = detail::config_names(Devices<Ds...>{});
      [[maybe_unused]] auto one = [&]<class D, std::size_t I>() {
        if constexpr (HasState<D>)
          visit(detail::device_name(names[I], std::span(names).first(I)), boost::hana::at_c<I>(self.states_));
      };
      (one.template operator()<Ds, Is>(), ...);
    }(List{}, std::make_index_sequence<List::count>{});
  }

  /// Calls `visit(device, saved)` for every device with a State that the machine has built, under the device's lock.
  template <class Self, class Visit>
  static void for_each_device(Self& self, [[maybe_unused]] Machine& machine, [[maybe_unused]] Visit const& visit) {
    if constexpr (Parts::sound)
      machine.for_each_device([&]<std::size_t I>(auto& device) {
        if constexpr (HasState<DeviceAt<I, List>>) visit(device, boost::hana::at_c<I>(self.states_));
      });
  }

  /// The names of the devices that are built in the machine and left out here, or the other way round.
  [[nodiscard]] Text<511> difference(Machine& machine) const {
    using namespace std::string_view_literals;
    SavedStates present;
    for_each_device(present, machine, [](auto&, auto& saved) { saved.live = true; });
    std::array<bool, List::count + 1> built{};
    std::size_t index = 0;
    for_each(present, [&](std::string_view, auto& saved) { built[index++] = saved.live; });
    index = 0;
    Text<511> names;
    for_each(*this, [&](std::string_view name, auto const& saved) {
      if (saved.live != built[index++]) names.append(names.empty() ? ""sv : ", "sv).append(name);
    });
    return names;
  }

  typename Tuple::Type states_{};
};

/// Copies the state of all devices, each under its lock. The machine must not run: Loaded, Suspended, Stopped or
/// Failed. In any other state the error is InvalidState.
///
///     auto states = save_states(machine);
///     std::string file = write_toml(states->settings(), "...");  // axvm/bind/toml.hpp
template <class Machine>
[[nodiscard]] Result<SavedStates<Machine>> save_states(Machine& machine) {
  static_assert(machine_with<typename decltype(typename detail::StateParts<Machine>::Fault{} |
                                               detail::config_name_fault(typename Machine::List{}))::Type>);
  using namespace std::string_view_literals;
  const MachineState now = machine.state();
  if (now != MachineState::Loaded && now != MachineState::Suspended && now != MachineState::Stopped &&
      now != MachineState::Failed)
    return detail::not_possible("save"sv, now);
  SavedStates<Machine> states;
  states.for_each_device(states, machine, [](auto& device, auto& saved) {
    saved.live = true;
    saved.value = device.state;
  });
  return states;
}

/// Gives the devices these states, and each goes on from there: `state` is assigned, then restored() called if there is
/// one, under the device's lock. A device takes nothing on trust: what it cannot have been in it mends, or waits for
/// the guest to reset it. Guest memory and processors are not touched.
///
/// The machine must not run: Loaded, Suspended or Stopped, else InvalidState. InvalidArgument when the states are not
/// of the devices that the machine has built. With an error nothing has changed.
///
///     auto states = save_states(machine);  // which devices there are
///     auto errors = read_toml(path, states->settings(), MissingKeys::report);
///     if (errors.empty()) auto done = restore_states(machine, *states);
template <class Machine>
[[nodiscard]] Result<> restore_states(Machine& machine, SavedStates<Machine> const& states) {
  using namespace std::string_view_literals;
  const MachineState now = machine.state();
  if (now != MachineState::Loaded && now != MachineState::Suspended && now != MachineState::Stopped)
    return detail::not_possible("restore"sv, now);
  if (const Text<511> names = states.difference(machine); !names.empty())
    return failure(ErrorCode::InvalidArgument,
                   text<1023>("restore the devices' state: only one of the machine and the saved states has "sv, names),
                   "give both the same settings"sv);
  auto restore = [](auto& device, auto const& saved) {
    device.state = saved.value;
    if constexpr (requires { device.restored(); }) device.restored();
  };
  // An I/O APIC first: what devices then do with their lines is for it as it was.
  states.for_each_device(states, machine, [&restore](auto& device, auto const& saved) {
    if constexpr (std::is_same_v<decltype(device), IoApic&>) restore(device, saved);
  });
  states.for_each_device(states, machine, [&restore](auto& device, auto const& saved) {
    if constexpr (!std::is_same_v<decltype(device), IoApic&>) restore(device, saved);
  });
  return {};
}

}  // namespace axvm::inline v1
