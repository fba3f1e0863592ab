#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace axvm::inline v1::acpi {

namespace detail {
// Never defined: reaching it while a literal is checked is the compile error.
void eisa_id_is_three_capital_letters_and_four_hexadecimal_digits();
}  // namespace detail

/// A Plug and Play identifier as _HID and _CID hold it: three letters of five bits each and four digits, in 32 bits
/// ([acpi/6.5] 19.3.4). EisaId("PNP0501") is 0x0105d041. A literal is checked by the compiler.
class EisaId {
 public:
  template <std::size_t N>
  consteval explicit EisaId(char const (&literal)[N]) {
    std::string_view text(literal, N - 1);
    if (text.size() != 7) detail::eisa_id_is_three_capital_letters_and_four_hexadecimal_digits();
    std::uint32_t id = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      if (text[i] < 'A' || text[i] > 'Z') detail::eisa_id_is_three_capital_letters_and_four_hexadecimal_digits();
      id = id << 5 | static_cast<std::uint32_t>(text[i] - 'A' + 1);
    }
    for (std::size_t i = 3; i < 7; ++i) id = id << 4 | digit(text[i]);
    value_ = __builtin_bswap32(id);  // the identifier is stored most significant byte first
  }

  /// The integer that stands for the identifier.
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }

 private:
  static consteval std::uint32_t digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0');
    if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
    detail::eisa_id_is_three_capital_letters_and_four_hexadecimal_digits();
    return 0;
  }

  std::uint32_t value_ = 0;
};

}  // namespace axvm::inline v1::acpi
