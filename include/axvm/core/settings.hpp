#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/core/reflect.hpp>
#include <axvm/core/setting.hpp>

namespace axvm::inline v1 {

/// `Config` has a field of type `Field`, which no command line and no file can set. Never defined: what is wrong with a
/// configuration is said by name, as compose/diagnostics.hpp says what is wrong with a machine.
template <class Config, class Field>
struct NotASetting;
/// Every field of a configuration can be set.
struct AllSettings;

/// True for AllSettings; unavailable for a fault, with what to write instead.
template <class Fault>
inline constexpr bool settings_with = true;

template <class Config, class Field>
constexpr bool settings_with<NotASetting<Config, Field>> __attribute__((
    unavailable("axvm: a field of a Config is a bool, an integer, an enum class, a Text<N>, a std::array of one of "
                "these, or an aggregate of them"))) = true;

namespace detail {

template <class T>
inline constexpr T default_of{};

template <class T>
concept IsNested = PlainAggregate<T> && !ArrayElement<T>::is_array;

template <class Config>
constexpr std::span<const FieldNotes> notes_within() {
  if constexpr (HasFields<Config>) return Config::fields;
  else return {};
}

/// One field of a configuration for code that does not know the configuration's type. Neither `type` nor `within`: it
/// can not be set.
struct SettingsField;

/// The fields of a configuration likewise.
struct SettingsTable {
  static constexpr std::size_t most_fields = 128;

  SettingsField const* fields = nullptr;
  std::size_t count = 0;
  std::span<const FieldNotes> notes{};  ///< the configuration's own
  /// Writes down where the fields of an object are.
  void (*locate)(void* object, void** fields) = nullptr;
};

struct SettingsField {
  std::string_view name{};
  std::size_t count = 1;  ///< of values
  bool is_array = false;
  std::size_t size = 0;                   ///< of one value
  ValueType const* type = nullptr;        ///< a value's
  SettingsTable const* within = nullptr;  ///< an aggregate's
};

template <class Config>
void locate_fields([[maybe_unused]] void* object, [[maybe_unused]] void** to) {
  [[maybe_unused]] auto tied = tie_fields(*static_cast<Config*>(object));
  [&]<std::size_t... Is>(std::index_sequence<Is...>) __attribute__((always_inline)) {
    ((to[Is] = &boost::pfr::detail::sequence_tuple::get<Is>(tied)), ...);
  }(std::make_index_sequence<field_count<Config>>{});
}

template <class Config>
struct SettingsTableOf;

template <class Field>
consteval SettingsField settings_field(std::string_view name) {
  using Array = ArrayElement<Field>;
  using Value = typename Array::Type;
  SettingsField field{.name = name, .count = Array::count, .is_array = Array::is_array, .size = sizeof(Value)};
  if constexpr (SettingValue<Value>) field.type = &value_type<Value>;
  else if constexpr (IsNested<Value>) field.within = &SettingsTableOf<Value>::table;
  return field;
}

template <class Config>
inline constexpr auto settings_fields = []<std::size_t... Is>(std::index_sequence<Is...>) {
  return std::array<SettingsField, sizeof...(Is)>{settings_field<field_type<Config, Is>>(field_name<Config, Is>)...};
}(std::make_index_sequence<field_count<Config>>{});

template <class Config>
struct SettingsTableOf {
  static_assert(field_count<Config> <= SettingsTable::most_fields, "axvm: a Config has at most 128 fields");
  static constexpr SettingsTable table{settings_fields<Config>.data(), settings_fields<Config>.size(),
                                       notes_within<Config>(), &locate_fields<Config>};
};
template <class Config>
inline constexpr SettingsTable const& settings_table = SettingsTableOf<Config>::table;

/// How many settings a configuration has; what cannot be set is SettingsFault's to report.
constexpr std::size_t count_settings(SettingsTable const& table) {
  std::size_t count = 0;
  for (std::size_t i = 0; i != table.count; ++i) {
    SettingsField const& field = table.fields[i];
    if (field.type != nullptr) ++count;
    else if (field.within != nullptr) count += field.count * count_settings(*field.within);
  }
  return count;
}

constexpr bool all_settable(SettingsTable const& table) {
  for (std::size_t i = 0; i != table.count; ++i) {
    SettingsField const& field = table.fields[i];
    if (field.type == nullptr && (field.within == nullptr || !all_settable(*field.within))) return false;
  }
  return true;
}

template <class Field>
consteval bool is_settable() {
  using Value = typename ArrayElement<Field>::Type;
  if constexpr (SettingValue<Value>) return true;
  else if constexpr (IsNested<Value>) return all_settable(settings_table<Value>);
  else return false;
}

/// Says what of a configuration cannot be set: the first such field, or AllSettings. A function that needs settings
/// asserts settings_with<it> itself; from further inside, the compiler would say how it got there at length.
template <class Config, std::size_t I = 0>
consteval auto settings_fault() {
  if constexpr (all_settable(settings_table<Config>)) {
    return std::type_identity<AllSettings>{};
  } else {
    using Field = field_type<Config, I>;
    using Value = typename ArrayElement<Field>::Type;
    if constexpr (is_settable<Field>()) return settings_fault<Config, I + 1>();
    else if constexpr (IsNested<Value>) return settings_fault<Value>();
    else return std::type_identity<NotASetting<Config, Field>>{};
  }
}

/// The field at `offset` of the object at `base`; null of no object.
inline void const* beside(void const* base, std::ptrdiff_t offset) {
  return base == nullptr ? nullptr : static_cast<std::byte const*>(base) + offset;
}

/// Where settings are written down one after the other.
struct SettingSink {
  Setting* next = nullptr;
  std::string_view owner{};  ///< Setting::owner of those that follow

  [[gnu::noinline, gnu::cold]] void add(std::string_view prefix, FieldNotes const& notes, void* value,
                                        void const* fallback) {
    next->name = text<79>(prefix, notes.name);
    next->notes = notes;
    next->owner = owner;
    next->value = value;
    next->fallback = fallback;
    ++next;
  }
  /// The same for a field on which there may be notes in a list. What does not depend on a type is here, not in
  /// templates.
  [[gnu::noinline, gnu::cold]] void add(std::string_view prefix, std::string_view name,
                                        std::span<const FieldNotes> list, ValueType const& type, std::size_t count,
                                        void* value, void const* fallback) {
    FieldNotes notes;
    for (FieldNotes const& some : list)
      if (some.name == name) notes = some;
    notes.name = name;
    notes.type = &type;
    notes.count = count;
    add(prefix, notes, value, fallback);
  }
};

/// Writes down the settings of `object`, whose defaults stand in the same places of the object at `fallback`; null for
/// a state, which has none.
[[gnu::cold, AXVM_ONCE]] inline void add_settings(SettingSink& sink, std::string_view prefix,
                                                  SettingsTable const& table, void* object, void const* fallback,
                                                  std::span<const FieldNotes> notes) {
  using namespace std::string_view_literals;
  std::array<void*, SettingsTable::most_fields> at;
  table.locate(object, at.data());
  for (std::size_t i = 0; i != table.count; ++i) {
    SettingsField const& field = table.fields[i];
    void const* field_fallback = beside(fallback, static_cast<std::byte*>(at[i]) - static_cast<std::byte*>(object));
    if (field.type != nullptr) {
      sink.add(prefix, field.name, notes, *field.type, field.count, at[i], field_fallback);
    } else if (field.within != nullptr && !field.is_array) {
      add_settings(sink, text<79>(prefix, field.name, "."sv), *field.within, at[i], field_fallback,
                   field.within->notes);
    } else if (field.within != nullptr) {
      for (std::size_t n = 0; n != field.count; ++n)
        add_settings(sink, text<79>(prefix, field.name, n, "."sv), *field.within,
                     static_cast<std::byte*>(at[i]) + n * field.size,
                     beside(field_fallback, static_cast<std::ptrdiff_t>(n * field.size)), field.within->notes);
    }
  }
}

}  // namespace detail

/// How many settings a configuration has, those of nested aggregates included.
template <PlainAggregate Config>
inline constexpr std::size_t setting_count = detail::count_settings(detail::settings_table<Config>);

/// The settings of `object`: one for each field, in the order of declaration, with the field's name behind `prefix`. A
/// nested aggregate's are called `queue.size`, those in an array of aggregates `queues0.size`. They refer to `object`,
/// which must outlive them. `notes` are the device's; without any the configuration's own `fields` are taken.
template <PlainAggregate Config>
[[nodiscard]] std::array<Setting, setting_count<Config>> settings_of(
    Config& object, std::string_view prefix = {}, std::span<const FieldNotes> notes = detail::notes_within<Config>()) {
  static_assert(settings_with<typename decltype(detail::settings_fault<Config>())::type>);
  std::array<Setting, setting_count<Config>> settings;
  detail::SettingSink sink{settings.data()};
  detail::add_settings(sink, prefix, detail::settings_table<Config>, &object, &detail::default_of<Config>, notes);
  return settings;
}

}  // namespace axvm::inline v1
