#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

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

template <class Config, class Field>
consteval std::size_t settings_in_field();

template <class Config>
consteval std::size_t count_settings() {
  return []<std::size_t... Is>(std::index_sequence<Is...>) {
    return (std::size_t{0} + ... + settings_in_field<Config, field_type<Config, Is>>());
  }(std::make_index_sequence<field_count<Config>>{});
}

template <class Config, class Field>
consteval std::size_t settings_in_field() {
  using Array = ArrayElement<Field>;
  using Value = typename Array::Type;
  if constexpr (SettingValue<Value>) return 1;
  else if constexpr (IsNested<Value>) return Array::count * count_settings<Value>();
  else return 0;  // is SettingsFault's to report
}

template <class Config>
consteval bool all_settable();

template <class Field>
consteval bool is_settable() {
  using Value = typename ArrayElement<Field>::Type;
  if constexpr (SettingValue<Value>) return true;
  else if constexpr (IsNested<Value>) return all_settable<Value>();
  else return false;
}

template <class Config>
consteval bool all_settable() {
  return []<std::size_t... Is>(std::index_sequence<Is...>) {
    return (true && ... && is_settable<field_type<Config, Is>>());
  }(std::make_index_sequence<field_count<Config>>{});
}

/// Says what of a configuration cannot be set: the first such field, or AllSettings. A function that needs settings
/// asserts settings_with<it> itself; from further inside, the compiler would say how it got there at length.
template <class Config, std::size_t I = 0>
consteval auto settings_fault() {
  if constexpr (all_settable<Config>()) {
    return std::type_identity<AllSettings>{};
  } else {
    using Field = field_type<Config, I>;
    using Value = typename ArrayElement<Field>::Type;
    if constexpr (is_settable<Field>()) return settings_fault<Config, I + 1>();
    else if constexpr (IsNested<Value>) return settings_fault<Value>();
    else return std::type_identity<NotASetting<Config, Field>>{};
  }
}

template <class Config>
constexpr std::span<const FieldNotes> notes_within() {
  if constexpr (HasFields<Config>) return Config::fields;
  else return {};
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
template <class Config>
void add_settings(SettingSink& sink, std::string_view prefix, Config& object, void const* fallback,
                  std::span<const FieldNotes> notes) {
  for_each_field(object, [&]<class Field>(std::string_view name, Field& field) {
    using Array = ArrayElement<Field>;
    using Value = typename Array::Type;
    const auto offset = reinterpret_cast<std::byte*>(&field) - reinterpret_cast<std::byte*>(&object);
    void const* field_fallback = beside(fallback, offset);
    if constexpr (SettingValue<Value>) {
      sink.add(prefix, name, notes, value_type<Value>, Array::count, &field, field_fallback);
    } else if constexpr (!IsNested<Value>) {
      return;  // has been reported
    } else if constexpr (Array::is_array) {
      for (std::size_t i = 0; i < Array::count; ++i)
        add_settings(sink, text<79>(prefix, name, i, std::string_view(".", 1)), field[i],
                     beside(field_fallback, static_cast<std::ptrdiff_t>(i * sizeof(Value))), notes_within<Value>());
    } else {
      add_settings(sink, text<79>(prefix, name, std::string_view(".", 1)), field, field_fallback,
                   notes_within<Value>());
    }
  });
}

}  // namespace detail

/// How many settings a configuration has, those of nested aggregates included.
template <PlainAggregate Config>
inline constexpr std::size_t setting_count = detail::count_settings<Config>();

/// The settings of `object`: one for each field, in the order of declaration, with the field's name behind `prefix`. A
/// nested aggregate's are called `queue.size`, those in an array of aggregates `queues0.size`. They refer to `object`,
/// which must outlive them. `notes` are the device's; without any the configuration's own `fields` are taken.
template <PlainAggregate Config>
[[nodiscard]] std::array<Setting, setting_count<Config>> settings_of(
    Config& object, std::string_view prefix = {}, std::span<const FieldNotes> notes = detail::notes_within<Config>()) {
  static_assert(settings_with<typename decltype(detail::settings_fault<Config>())::type>);
  std::array<Setting, setting_count<Config>> settings;
  detail::SettingSink sink{settings.data()};
  detail::add_settings(sink, prefix, object, &detail::default_of<Config>, notes);
  return settings;
}

}  // namespace axvm::inline v1
