#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include <axvm/core/names.hpp>
#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// How a value is written.
enum class ValueKind : std::uint8_t {
  Boolean,      ///< true or false
  Integer,      ///< decimal, or hexadecimal with 0x
  Size,         ///< an integer that counts bytes: also 512M, 4G
  Enumeration,  ///< the name of an enumerator
  Text,         ///< any text
};

/// What the type of a field is, for code that does not know the type.
struct ValueType {
  ValueKind kind = ValueKind::Integer;
  bool is_signed = false;                     ///< integers and enumerations
  std::size_t size = 0;                       ///< sizeof
  std::size_t capacity = 0;                   ///< text: the most bytes it holds
  std::span<const Enumerator> enumerators{};  ///< enumerations
  void (*assign_text)(void* text, std::string_view value) = nullptr;
  std::string_view (*view_text)(void const* text) = nullptr;
};

/// The most bytes a text in a configuration can hold.
inline constexpr std::size_t max_setting_text = 4095;

namespace detail {

template <class T>
struct TextCapacity : std::integral_constant<std::size_t, 0> {};
template <std::size_t N>
struct TextCapacity<Text<N>> : std::integral_constant<std::size_t, N> {};

template <class T>
struct ArrayElement {
  using Type = T;
  static constexpr bool is_array = false;
  static constexpr std::size_t count = 1;
};
template <class T, std::size_t N>
struct ArrayElement<std::array<T, N>> {
  using Type = T;
  static constexpr bool is_array = true;
  static constexpr std::size_t count = N;
};

}  // namespace detail

/// A type that one value of a configuration can have.
template <class T>
concept SettingValue = std::is_integral_v<T> || NamedEnumeration<T> || (detail::TextCapacity<T>::value != 0);

/// The description of `T`.
template <SettingValue T>
inline constexpr ValueType value_type = [] {
  ValueType type{.size = sizeof(T)};
  if constexpr (constexpr std::size_t capacity = detail::TextCapacity<T>::value; capacity != 0) {
    static_assert(capacity <= max_setting_text, "axvm: a Text in a Config holds at most 4095 bytes");
    type.kind = ValueKind::Text;
    type.capacity = capacity;
    type.assign_text = [](void* text, std::string_view value) { *static_cast<T*>(text) = T(value); };
    type.view_text = [](void const* text) { return static_cast<T const*>(text)->view(); };
  } else if constexpr (std::is_enum_v<T>) {
    // One without names, such as std::byte, is a number.
    type.kind = enumerators_of<T>.empty() ? ValueKind::Integer : ValueKind::Enumeration;
    type.is_signed = std::is_signed_v<std::underlying_type_t<T>>;
    type.enumerators = enumerators_of<T>;
  } else {
    type.kind = std::is_same_v<T, bool> ? ValueKind::Boolean : ValueKind::Integer;
    type.is_signed = std::is_signed_v<T>;
  }
  return type;
}();

/// What a device may say about a field beside its name, which it has anyway.
struct FieldNotes {
  std::string_view name{};
  std::string_view help{};                                      ///< one line, no full stop; "disk image"
  std::string_view unit{};                                      ///< "bytes" makes an integer readable as 512M, 4G
  char alias = 0;                                               ///< the short flag of the first such device: 'd' is -d
  std::int64_t min = std::numeric_limits<std::int64_t>::min();  ///< least number allowed
  std::int64_t max = std::numeric_limits<std::int64_t>::max();  ///< largest number allowed; the default is no limit
  std::uint64_t multiple_of = 1;                                ///< numbers must be multiples of it
  ValueType const* type = nullptr;                              ///< null for nested aggregates
  std::size_t count = 1;                                        ///< how many values, more or fewer than 1 for arrays
  void* (*locate)(void* object) = nullptr;                      ///< the field in an object of the configuration
};

namespace detail {
template <class Member>
struct MemberParts;
template <class Object, class Value>
struct MemberParts<Value Object::*> {
  using ObjectType = Object;
  using ValueType = Value;
};

// A function of its own: its body is compiled when the configuration is complete, which it may not be where its notes
// are written.
template <auto Member>
void* locate_member(void* object) {
  return &(static_cast<typename MemberParts<decltype(Member)>::ObjectType*>(object)->*Member);
}
}  // namespace detail

/// Notes on one field: `field<&Config::path>{.help = "disk image", .alias = 'd'}`. The members are those of FieldNotes.
template <auto Member>
struct field {  // NOLINT(readability-identifier-naming): read as a word in a list
  std::string_view help{};
  std::string_view unit{};
  char alias = 0;
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::uint64_t multiple_of = 1;

  consteval operator FieldNotes() const {  // NOLINT(google-explicit-constructor)
    using Parts = detail::MemberParts<decltype(Member)>;
    using Array = detail::ArrayElement<typename Parts::ValueType>;
    FieldNotes notes{.name = member_name<Member>,
                     .help = help,
                     .unit = unit,
                     .alias = alias,
                     .min = min,
                     .max = max,
                     .multiple_of = multiple_of,
                     .locate = &detail::locate_member<Member>};
    if constexpr (SettingValue<typename Array::Type>) {
      notes.type = &value_type<typename Array::Type>;
      notes.count = Array::count;
    }
    return notes;
  }
};

/// The notes on the fields of a configuration, as a device declares them beside it or the configuration within:
/// `static constexpr auto fields = axvm::fields(field<&Config::path>{.help = "disk image"}, ...);`
/// A field that is not named has none.
template <auto... Members>
consteval std::array<FieldNotes, sizeof...(Members)> fields(field<Members> const&... notes) {
  return {static_cast<FieldNotes>(notes)...};
}

/// Has notes on its fields.
template <class T>
concept HasFields = requires { std::span<const FieldNotes>(T::fields); };

}  // namespace axvm::inline v1
