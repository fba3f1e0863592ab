#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace axvm::inline v1::acpi {

namespace detail {
// Never defined: reaching one of them while a literal is checked is the compile error, and their names say why.
void acpi_name_has_one_to_four_characters();
void acpi_name_is_made_of_capital_letters_digits_and_underscores();
void acpi_name_prefix_has_one_to_three_characters();
void acpi_path_has_more_than_eight_names_or_four_carets();

constexpr bool is_lead_name_character(char c) { return (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_name_character(char c) { return is_lead_name_character(c) || (c >= '0' && c <= '9'); }

consteval void check_name(std::string_view text, std::size_t longest) {
  if (text.empty() || text.size() > longest) acpi_name_has_one_to_four_characters();
  if (!is_lead_name_character(text[0])) acpi_name_is_made_of_capital_letters_digits_and_underscores();
  for (char c : text)
    if (!is_name_character(c)) acpi_name_is_made_of_capital_letters_digits_and_underscores();
}
}  // namespace detail

/// The name of one object, NameSeg: four characters, short ones filled up with '_' ([acpi/6.5] 20.2.2). A literal is
/// checked by the compiler.
class NameSeg {
 public:
  /// No name. Writing it is an error that Aml::status() reports.
  constexpr NameSeg() = default;
  /// "COM1", "_HID", "VR".
  template <std::size_t N>
  consteval NameSeg(char const (&literal)[N]) {  // NOLINT(google-explicit-constructor): written as a literal
    std::string_view text(literal, N - 1);
    detail::check_name(text, 4);
    for (std::size_t i = 0; i < 4; ++i) characters_[i] = i < text.size() ? text[i] : '_';
  }

  /// Four characters, or nothing when it is no name.
  [[nodiscard]] constexpr std::string_view view() const { return {characters_.data(), empty() ? 0u : 4u}; }
  [[nodiscard]] constexpr bool empty() const { return characters_[0] == '\0'; }

  friend constexpr bool operator==(NameSeg const&, NameSeg const&) = default;

 private:
  friend class NamePrefix;
  std::array<char, 4> characters_{};
};

/// The beginning of a name that a number completes: one to three characters.
class NamePrefix {
 public:
  template <std::size_t N>
  consteval NamePrefix(char const (&literal)[N]) {  // NOLINT(google-explicit-constructor): written as a literal
    std::string_view text(literal, N - 1);
    if (text.empty() || text.size() > 3) detail::acpi_name_prefix_has_one_to_three_characters();
    detail::check_name(text, 3);
    for (char c : text) characters_[size_++] = c;
  }

  /// The prefix and `number` in hexadecimal, four characters in all; no name when the number needs more digits.
  [[nodiscard]] constexpr NameSeg with(std::size_t number) const {
    NameSeg name;
    for (std::size_t i = 4; i-- > size_; number /= 16) name.characters_[i] = "0123456789ABCDEF"[number % 16];
    if (number != 0) return {};
    for (std::size_t i = 0; i < size_; ++i) name.characters_[i] = characters_[i];
    return name;
  }

 private:
  std::array<char, 3> characters_{};
  std::size_t size_ = 0;
};

/// A name of its own for each instance of a device: device_name("VR", 0) is VR00, device_name("VR", 255) VRFF,
/// device_name("C", 20) C014. An instance that needs more digits than are left gives no name, which Aml reports.
constexpr NameSeg device_name(NamePrefix prefix, std::size_t instance) { return prefix.with(instance); }

/// Where an object is, NameString: "COM1", "\\_SB.PCI0", "^^PWRB", "\\" ([acpi/6.5] 20.2.2). Kept in its encoded form.
/// A literal is checked by the compiler; at most eight names and four carets.
class NamePath {
 public:
  template <std::size_t N>
  consteval NamePath(char const (&literal)[N]) {  // NOLINT(google-explicit-constructor): written as a literal
    std::string_view text(literal, N - 1);
    std::size_t at = 0;
    if (at < text.size() && text[at] == '\\') push(text[at++]);
    else
      while (at < text.size() && text[at] == '^') push(text[at++]);
    if (size_ > 4) detail::acpi_path_has_more_than_eight_names_or_four_carets();
    std::string_view names = text.substr(at);
    if (names.empty() && size_ == 0) detail::acpi_name_has_one_to_four_characters();
    std::size_t count = names.empty() ? 0 : 1;
    for (char c : names) count += c == '.' ? 1 : 0;
    if (count > 8) detail::acpi_path_has_more_than_eight_names_or_four_carets();
    if (count == 0) push(0x00);  // NullName
    if (count == 2) push(0x2e);  // DualNamePrefix
    if (count > 2) {
      push(0x2f);  // MultiNamePrefix
      push(static_cast<char>(count));
    }
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t length = 0;
      while (length < names.size() && names[length] != '.') ++length;
      detail::check_name(names.substr(0, length), 4);
      for (std::size_t k = 0; k < 4; ++k) push(k < length ? names[k] : '_');
      last_ = {names[0], length > 1 ? names[1] : '_', length > 2 ? names[2] : '_', length > 3 ? names[3] : '_'};
      names.remove_prefix(i + 1 < count ? length + 1 : length);
    }
  }
  constexpr NamePath(NameSeg name) {  // NOLINT(google-explicit-constructor): a name is the shortest path
    for (char c : name.view()) push(c);
    for (std::size_t i = 0; i < size_; ++i) last_[i] = name.view()[i];
  }

  /// The encoded NameString; nothing when it was made of no name.
  [[nodiscard]] constexpr std::string_view encoded() const { return {bytes_.data(), size_}; }
  /// The last name in the path, for messages.
  [[nodiscard]] constexpr std::string_view last() const { return {last_.data(), last_[0] == '\0' ? 0u : 4u}; }

 private:
  constexpr void push(char c) { bytes_[size_++] = c; }

  std::array<char, 4 + 2 + 8 * 4> bytes_{};
  std::size_t size_ = 0;
  std::array<char, 4> last_{};
};

}  // namespace axvm::inline v1::acpi
