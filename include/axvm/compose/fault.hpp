#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <axvm/compose/diagnostics.hpp>

namespace axvm::inline v1::detail {

/// A fault as a value: `a | b` is the first of the two that is one.
template <class Fault>
struct Found {
  using Type = Fault;
};
template <class A, class B>
consteval auto operator|(Found<A>, Found<B>) {
  if constexpr (std::is_same_v<A, NoFault>) return Found<B>{};
  else return Found<A>{};
}
using Nothing = Found<NoFault>;

/// 0x3fb as a template argument that compilers print as it stands here.
template <std::uint64_t Value>
inline constexpr auto at = [] {
  constexpr std::size_t digits = Value == 0 ? 1 : (static_cast<std::size_t>(std::bit_width(Value)) + 3) / 4;
  At<digits + 3> text;
  text.text[0] = '0';
  text.text[1] = 'x';
  std::uint64_t rest = Value;
  for (std::size_t i = digits + 1; i > 1; --i, rest /= 16) text.text[i] = "0123456789abcdef"[rest % 16];
  return text;
}();

}  // namespace axvm::inline v1::detail
