#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <boost/pfr/core.hpp>

#include <axvm/core/names.hpp>

namespace axvm::inline v1 {

/// A type whose fields can be walked: an aggregate without base classes and C arrays.
template <class T>
concept PlainAggregate = std::is_aggregate_v<T> && std::is_class_v<T>;

namespace detail {

/// Converts to anything: stands for a field in an initialiser.
struct AnyValue {
  std::size_t index = 0;
  template <class Value>
  constexpr operator Value&() const;
};

template <class T, std::size_t... Is>
constexpr bool takes_initialisers(std::index_sequence<Is...>) {
  return requires { T{AnyValue{Is}...}; };
}

/// The most initialisers that `T` takes, found by trying. (Boost.PFR's own count starts at as many as the object has
/// bits: 160 ms of compile time for one that holds a path, with clang++ 19.)
template <class T, std::size_t N = 0>
consteval std::size_t count_fields() {
  if constexpr (takes_initialisers<T>(std::make_index_sequence<N + 1>{})) return count_fields<T, N + 1>();
  else return N;
}

/// References to the fields. (One function per type: PFR's overloads for every count are slow to choose from.)
template <class T>
[[gnu::always_inline]] constexpr auto tie_fields(T& object) {
  constexpr std::size_t count = count_fields<std::remove_const_t<T>>();
  return boost::pfr::detail::tie_as_tuple(object, boost::pfr::detail::size_t_<count>{});
}

template <std::size_t I, class T>
[[gnu::always_inline]] constexpr auto& get_field(T& object) {
  return boost::pfr::detail::sequence_tuple::get<I>(tie_fields(object));
}

// The name of a field is read from the spelling of a pointer to it. The object is never defined: only the address of
// its field is named, and only while compiling. Boost.PFR has names of its own from 1.84 on.
template <class T>
struct Undefined {
  T value;
};
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif
template <class T>
extern Undefined<T> undefined;

template <class T, std::size_t I>
consteval std::string_view spell_field() {
  return last_word(spell_value<&get_field<I>(undefined<T>.value)>());
}
#ifdef __clang__
#pragma clang diagnostic pop
#endif

}  // namespace detail

/// How many fields `T` has, not counting those of nested aggregates.
template <PlainAggregate T>
inline constexpr std::size_t field_count = detail::count_fields<T>();

/// The name of field `I` of `T`, as it stands in the source.
template <PlainAggregate T, std::size_t I>
inline constexpr std::string_view field_name = detail::spell_field<T, I>();

/// The type of field `I` of `T`.
template <PlainAggregate T, std::size_t I>
using field_type = std::remove_reference_t<decltype(detail::get_field<I>(std::declval<T&>()))>;

/// Calls `visit(name, field)` for each field of `object` in the order of declaration, with a reference to the field.
/// Nested aggregates are one field; a visitor that wants theirs calls this again.
template <class T, class Visit>
  requires PlainAggregate<std::remove_const_t<T>>
constexpr void for_each_field(T& object, Visit&& visit) {
  using Plain = std::remove_const_t<T>;
  [&]<std::size_t... Is>(std::index_sequence<Is...>) {
    (visit(field_name<Plain, Is>, detail::get_field<Is>(object)), ...);
  }(std::make_index_sequence<field_count<Plain>>{});
}

}  // namespace axvm::inline v1
