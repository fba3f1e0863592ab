#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <boost/hana/tuple.hpp>
#include <boost/hana/unpack.hpp>

#include <axvm/compose/config.hpp>
#include <axvm/compose/devices.hpp>
#include <axvm/compose/diagnostics.hpp>
#include <axvm/compose/fault.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/settings.hpp>

namespace axvm::inline v1 {

/// Chooses the name of its settings itself: `static constexpr std::string_view config_name = "blk"` gives "blk0.path".
template <class D>
concept HasConfigName = requires {
  { D::config_name } -> std::convertible_to<std::string_view>;
};

namespace detail {

/// "VirtioBlk" -> "blk", "Uart8250" -> "uart", "Doorbell" -> "doorbell".
constexpr Text<31> default_config_name(std::string_view type) {
  constexpr std::string_view transport = "Virtio";
  if (type.size() > transport.size() && type.substr(0, transport.size()) == transport)
    type.remove_prefix(transport.size());
  while (type.size() > 1 && type.back() >= '0' && type.back() <= '9') type.remove_suffix(1);
  Text<31> name;
  for (char const& c : type) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    name.append(std::string_view(&lower, 1));
  }
  return name;
}

/// Whether a name can stand before an instance number in flags and TOML keys.
constexpr bool is_config_name(std::string_view name) {
  for (char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return !name.empty() && name.front() >= 'a' && (name.back() < '0' || name.back() > '9');
}

template <class D>
inline constexpr Text<31> config_name = [] {
  if constexpr (HasConfigName<D>) return Text<31>(std::string_view(D::config_name));
  else return default_config_name(type_name<D>);
}();

/// What the names of a device's settings begin with: "blk1". `own` is its config_name, `earlier` are those of the
/// devices before it.
[[AXVM_ONCE]] constexpr Text<47> device_name(std::string_view own, std::span<const std::string_view> earlier) {
  std::size_t instance = 0;
  for (std::string_view name : earlier) instance += name == own ? 1 : 0;
  return text<47>(own, instance);
}

/// The config_names of all devices.
template <class... Ds>
consteval std::array<std::string_view, sizeof...(Ds)> config_names(Devices<Ds...>) {
  return {config_name<Ds>.view()...};
}

template <class D>
constexpr std::span<const FieldNotes> notes_of_device() {
  if constexpr (HasFields<D>) return D::fields;
  else return notes_within<typename D::Config>();
}

/// From here on settings are of this device; their prefix.
[[gnu::cold]] inline Text<79> begin_device(SettingSink& sink, std::string_view type, std::string_view own,
                                           std::span<const std::string_view> earlier) {
  sink.owner = type;
  return text<79>(device_name(own, earlier), std::string_view(".", 1));
}

/// The settings of one device of a machine, for code that does not know its class.
struct DeviceSettings {
  std::string_view type{}, own{};  ///< the names of its class and of its settings
  SettingsTable const* table = nullptr;
  void const* defaults = nullptr;
  std::span<const FieldNotes> notes{};
};

template <class... Ds>
consteval std::array<DeviceSettings, sizeof...(Ds)> device_settings_of(Devices<Ds...>) {
  return {DeviceSettings{type_name<Ds>, config_name<Ds>.view(), &settings_table<typename Ds::Config>,
                         &default_of<typename Ds::Config>, notes_of_device<Ds>()}...};
}
template <class List>
inline constexpr auto device_settings = device_settings_of(List{});

[[gnu::cold, AXVM_ONCE]] inline void add_devices_settings(SettingSink& sink, std::span<const DeviceSettings> devices,
                                                          std::span<const std::string_view> names,
                                                          void* const* configs) {
  for (std::size_t i = 0; i != devices.size(); ++i) {
    DeviceSettings const& device = devices[i];
    add_settings(sink, begin_device(sink, device.type, device.own, names.first(i)), *device.table, configs[i],
                 device.defaults, device.notes);
  }
}

/// The first device whose name for settings is none.
template <class... Ds>
consteval auto config_name_fault(Devices<Ds...>) {
  return (Nothing{} | ... | std::conditional_t<is_config_name(config_name<Ds>), Nothing, Found<NotAConfigName<Ds>>>{});
}
/// What of the devices' configurations cannot be set; see settings_fault().
template <class... Ds>
consteval auto device_settings_fault(Devices<Ds...> list) {
  constexpr std::size_t first = [] {
    std::size_t index = 0;
    (void)(true && ... && (all_settable(settings_table<typename Ds::Config>) && ++index != 0));
    return index;
  }();
  if constexpr (first == list.count) return std::type_identity<AllSettings>{};
  else return settings_fault<typename DeviceAt<first, Devices<Ds...>>::Config>();
}

template <class... Ds>
consteval std::size_t count_device_settings(Devices<Ds...>) {
  return (std::size_t{0} + ... + setting_count<typename Ds::Config>);
}

}  // namespace detail

/// How many settings a machine has: its own and those of all its devices.
template <class Machine>
inline constexpr std::size_t machine_setting_count =
    machine_fields<typename Machine::List>.size() + detail::count_device_settings(typename Machine::List{});

/// The settings of a machine: its own (`memory`, `vcpus`), then each device's with the device's name and number before
/// them (`blk0.path`, `blk1.path`). They refer to `config`, which must outlive them. Everything that shows or changes a
/// configuration works on this list; a device gets into it by standing in the machine's type.
template <class Machine>
[[nodiscard]] std::array<Setting, machine_setting_count<Machine>> machine_settings(typename Machine::Config& config) {
  using Config = typename Machine::Config;
  using Profile = typename Machine::Composition::CpuProfileType;
  static_assert(machine_with<typename decltype(detail::config_name_fault(typename Machine::List{}))::Type>);
  static_assert(settings_with<typename decltype(detail::device_settings_fault(typename Machine::List{}))::type>);
  std::array<Setting, machine_setting_count<Machine>> settings;
  detail::SettingSink sink{settings.data()};
  for (FieldNotes notes : machine_fields<typename Machine::List>) {
    if (notes.name == member_name<&Config::vcpus>) notes.max = Profile::max_vcpus;
    void* const field = notes.locate(&config);
    const auto offset = static_cast<std::byte*>(field) - reinterpret_cast<std::byte*>(&config);
    sink.add({}, notes, field, reinterpret_cast<std::byte const*>(&detail::default_of<Config>) + offset);
  }
  static constexpr auto names = detail::config_names(typename Machine::List{});
  boost::hana::unpack(config.devices, [&sink](auto&... configs) {
    void* const all[] = {&configs..., nullptr};
    detail::add_devices_settings(sink, detail::device_settings<typename Machine::List>, names, all);
  });
  return settings;
}

}  // namespace axvm::inline v1
