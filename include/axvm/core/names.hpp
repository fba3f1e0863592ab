#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace axvm::inline v1 {

/// An enumeration whose values can be listed: it has a fixed underlying type, as every `enum class` has.
template <class E>
concept NamedEnumeration = std::is_scoped_enum_v<E>;

/// One enumerator: its value as 64 bits (sign-extended) and its name.
struct Enumerator {
  std::uint64_t value = 0;
  std::string_view name;
};

namespace detail {

// A compiler spells template arguments in __PRETTY_FUNCTION__: g++ ends with `[with auto P = &Config::path]`, clang++
// with `[P = &Config::path]`. (Were the functions to return std::string_view, g++ would add what that stands for.) All
// of this runs in the compiler, for every field: hence pointers and known lengths, which are cheap there.
struct Spelling {
  char const* begin = nullptr;
  std::size_t size = 0;
};
template <auto Value>
consteval Spelling spell_value() {
  return {__PRETTY_FUNCTION__, sizeof __PRETTY_FUNCTION__ - 1};
}
template <auto... Values>
consteval Spelling spell_values() {
  return {__PRETTY_FUNCTION__, sizeof __PRETTY_FUNCTION__ - 1};
}
template <class T>
consteval Spelling spell_type() {
  return {__PRETTY_FUNCTION__, sizeof __PRETTY_FUNCTION__ - 1};
}

constexpr bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr std::string_view between(char const* begin, char const* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

/// The last identifier of a spelling, whatever brackets follow it.
constexpr std::string_view last_word(Spelling spelling) {
  char const* end = spelling.begin + spelling.size;
  while (!is_identifier(end[-1])) --end;
  char const* begin = end;
  while (is_identifier(begin[-1])) --begin;
  return between(begin, end);
}

/// Where the argument begins in a spelling with one template argument or pack of them.
constexpr char const* argument_of(Spelling spelling) {
  while (*spelling.begin != '=') ++spelling.begin;
  return spelling.begin + 2;
}

constexpr bool opens(char c) { return c == '<' || c == '(' || c == '{' || c == '['; }
constexpr bool closes(char c) { return c == '>' || c == ')' || c == '}' || c == ']'; }

/// The name of a type without its namespaces and template arguments.
constexpr std::string_view short_type_name(Spelling spelling) {
  char const *begin = argument_of(spelling), *end = begin;
  int depth = 0;
  for (char const* at = begin; depth >= 0; ++at) {
    if (opens(*at)) ++depth;
    else if (closes(*at)) --depth;
    else if (depth == 0 && *at == ':') begin = at + 1;
    else if (depth == 0) end = at + 1;
  }
  return between(begin, end);
}

/// How many values of an enumeration are looked at for names.
inline constexpr std::size_t enumerators_searched = 32;

/// The named values of a spelled list such as `{a::b, (a)1, a::c}`.
struct NamedValues {
  std::array<Enumerator, enumerators_searched> list{};
  std::size_t count = 0;

  constexpr explicit NamedValues(Spelling spelling) {
    char const* const end = spelling.begin + spelling.size;
    char const* at = argument_of(spelling) + 1;
    std::ptrdiff_t cast = 0;  // the length of the `(a)` before a value without a name, once one was seen
    for (std::uint64_t value = 0; value < enumerators_searched; ++value) {
      char const* const begin = at;
      char const* word = at;
      if (cast != 0 && end - at > cast && at[cast - 1] == ')' && is_digit(at[cast])) word = at = at + cast;
      for (int depth = 0; depth > 0 || (*at != ',' && !closes(*at)); ++at) {
        if (opens(*at)) ++depth;
        else if (closes(*at)) --depth;
        if (*at == ':' || *at == ')') word = at + 1;
      }
      if (is_digit(*word)) cast = word - begin;
      else list[count++] = {value, between(word, at)};
      at += 2;
    }
  }
};

template <class E>
inline constexpr NamedValues named_values{[]<std::size_t... Is>(std::index_sequence<Is...>) {
  // clang++ knows the enumerators of an enumeration in a class template only once it looked for one.
  (void) requires { E::looked_for; };
  return spell_values<static_cast<E>(Is)...>();
}(std::make_index_sequence<enumerators_searched>{})};

}  // namespace detail

/// The name of the type `T` without namespaces and template arguments: `VirtioBlk`.
template <class T>
inline constexpr std::string_view type_name = detail::short_type_name(detail::spell_type<T>());

/// The name of the member that a pointer to member points to: `path` for `&Config::path`.
template <auto Member>
  requires std::is_member_object_pointer_v<decltype(Member)>
inline constexpr std::string_view member_name = detail::last_word(detail::spell_value<Member>());

/// The enumerators of `E` with values from 0 to 31, in the order of their values; those outside have no name here.
template <NamedEnumeration E>
inline constexpr std::span<const Enumerator> enumerators_of{detail::named_values<E>.list.data(),
                                                            detail::named_values<E>.count};

}  // namespace axvm::inline v1
