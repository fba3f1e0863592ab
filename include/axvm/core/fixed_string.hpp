#pragma once

#include <cstddef>
#include <string_view>

namespace axvm::inline v1 {

/// A string as a template argument: `Pio<"counters">`.
template <std::size_t N>
struct FixedString {
  char bytes[N]{};

  consteval FixedString(char const (&text)[N]) {  // NOLINT(google-explicit-constructor): written as a literal
    for (std::size_t i = 0; i < N; ++i) bytes[i] = text[i];
  }

  [[nodiscard]] constexpr std::string_view view() const { return {bytes, N - 1}; }
  [[nodiscard]] static constexpr bool empty() { return N <= 1; }

  template <std::size_t M>
  friend constexpr bool operator==(FixedString const& a, FixedString<M> const& b) {
    return a.view() == b.view();
  }
};

}  // namespace axvm::inline v1
