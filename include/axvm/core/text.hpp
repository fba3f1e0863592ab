#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace axvm::inline v1 {

namespace detail {
template <class S>
inline constexpr bool is_literal = false;
template <std::size_t N>
inline constexpr bool is_literal<char[N]> = true;

void take_string(std::string_view);
}  // namespace detail

/// What reads as a string. (Asked of every literal of every length: std::convertible_to would be a class for each.)
template <class S>
concept StringLike = detail::is_literal<S> || requires(S const& string) {
  detail::take_string(string);
  static_cast<std::string_view>(string);
};

/// A string as a string_view; the length of a literal is known without strlen, which a freestanding image has not.
template <StringLike S>
[[gnu::always_inline]] constexpr std::string_view view_of(S const& string) {
  if constexpr (detail::is_literal<S>) return {string, std::extent_v<S> - 1};
  else return string;
}

/// A parameter that takes any string, as std::string_view does, but a literal without strlen.
struct AnyText {
  char const* data = nullptr;
  std::size_t size = 0;

  constexpr AnyText() = default;
  template <std::size_t N>
  [[gnu::always_inline]] constexpr AnyText(char const (&literal)[N])  // NOLINT(google-explicit-constructor)
      : data(literal), size(N - 1) {}
  template <StringLike String>
    requires(!detail::is_literal<String>)
  [[gnu::always_inline]] constexpr AnyText(String const& string)  // NOLINT(google-explicit-constructor)
      : AnyText(static_cast<std::string_view>(string)) {}
  constexpr AnyText(std::string_view string)  // NOLINT(google-explicit-constructor)
      : data(string.data()), size(string.size()) {}

  [[nodiscard]] constexpr std::string_view view() const { return {data, size}; }
};

/// A number that `text()` shows in hexadecimal.
struct Hex {
  std::uint64_t value = 0;
};

namespace detail {

// Messages are made in many places and never in a hurry, so that each place should cost a call and no more, and not a
// function of its own: what depends on the types of the parts is inlined even where nothing else is.

/// A text as the functions see it that all capacities share.
struct TextSlot {
  char* bytes;
  std::size_t capacity;
  std::size_t& size;
  bool& truncated;
};

[[gnu::noinline]] constexpr void append_text(TextSlot text, std::string_view added) {
  const std::size_t room = text.truncated ? 0 : text.capacity - text.size;
  if (added.size() > room) text.truncated = true;
  const std::size_t count = added.size() < room ? added.size() : room;
  for (std::size_t i = 0; i < count; ++i) text.bytes[text.size + i] = added[i];
  text.size += count;
}

[[gnu::noinline]] constexpr void append_number(TextSlot text, std::string_view prefix, std::uint64_t value,
                                               unsigned radix) {
  char digits[20]{};
  std::size_t first = sizeof digits;
  do {
    digits[--first] = "0123456789abcdef"[value % radix];
    value /= radix;
  } while (value != 0);
  const std::string_view number(digits + first, sizeof digits - first);
  if (prefix.size() + number.size() > text.capacity - text.size) text.truncated = true;
  append_text(text, prefix);
  append_text(text, number);
}

/// What a text is joined of: a string, or a number if there is a radix.
struct TextPart {
  AnyText string;  ///< of a number, what stands before its digits
  std::uint64_t number = 0;
  unsigned radix = 0;

  template <std::size_t N>
  [[gnu::always_inline]] constexpr TextPart(char const (&literal)[N])  // NOLINT(google-explicit-constructor)
      : string(literal) {}
  template <StringLike String>
    requires(!is_literal<String>)
  [[gnu::always_inline]] constexpr TextPart(String const& part)  // NOLINT(google-explicit-constructor)
      : string(part) {}
  constexpr TextPart(AnyText part) : string(part) {}  // NOLINT(google-explicit-constructor)
  template <std::signed_integral T>
    requires(!std::same_as<T, char>)
  [[gnu::always_inline]] constexpr TextPart(T part)  // NOLINT(google-explicit-constructor)
      : TextPart(static_cast<std::int64_t>(part)) {}
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool>)
  [[gnu::always_inline]] constexpr TextPart(T part)  // NOLINT(google-explicit-constructor)
      : number(part), radix(10) {}
  constexpr TextPart(std::int64_t part)  // NOLINT(google-explicit-constructor)
      : number(static_cast<std::uint64_t>(part)), radix(10) {
    if (part >= 0) return;
    string = "-";
    number = ~number + 1;
  }
  constexpr TextPart(Hex part) : string("0x"), number(part.value), radix(16) {}  // NOLINT(google-explicit-constructor)
};

constexpr void append_part(TextSlot text, TextPart const& part) {
  if (part.radix == 0) append_text(text, part.string.view());
  else append_number(text, part.string.view(), part.number, part.radix);
}

[[gnu::noinline]] constexpr void append_parts(TextSlot text, TextPart const* parts, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) append_part(text, parts[i]);
}

}  // namespace detail

/// Text of at most `Capacity` bytes, stored in place: no allocation, usable in constant expressions and without a
/// C library. What does not fit is cut off, with all that is appended behind it, and `truncated()` says so; the text
/// never holds a part of a number.
template <std::size_t Capacity>
class Text {
 public:
  constexpr Text() = default;
  /// From anything that reads as a string: a literal, a string_view, a std::string, a Text of another capacity.
  template <StringLike String>
  [[gnu::always_inline]] constexpr Text(String const& string)  // NOLINT(google-explicit-constructor)
      : Text(Whole{}, AnyText(string)) {}

  [[nodiscard]] constexpr std::string_view view() const { return {bytes_.data(), size_}; }
  constexpr operator std::string_view() const { return view(); }  // NOLINT(google-explicit-constructor)
  /// The text with a terminating zero, for system calls.
  [[nodiscard]] constexpr char const* c_str() const { return bytes_.data(); }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  [[nodiscard]] constexpr bool empty() const { return size_ == 0; }
  [[nodiscard]] constexpr bool truncated() const { return truncated_; }
  [[nodiscard]] static constexpr std::size_t capacity() { return Capacity; }

  template <StringLike String>
  [[gnu::always_inline]] constexpr Text& append(String const& string) {
    return append_any(string);
  }

  /// Appends a number in decimal.
  template <std::integral T>
    requires(!std::same_as<T, char> && !std::same_as<T, bool>)
  [[gnu::always_inline]] constexpr Text& append(T value) {
    detail::append_part(slot(), value);
    return *this;
  }

  /// Appends a number in hexadecimal, with the prefix `0x`.
  constexpr Text& append_hex(std::uint64_t value) {
    detail::append_part(slot(), Hex{value});
    return *this;
  }

  template <StringLike Other>
  friend constexpr bool operator==(Text const& a, Other const& b) {
    return a.view() == view_of(b);
  }

 private:
  template <std::size_t Any, class... Parts>
  friend constexpr Text<Any> text(Parts const&... parts);

  struct Whole {};
  constexpr Text(Whole, AnyText string) { detail::append_text(slot(), string.view()); }
  constexpr Text(detail::TextPart const* parts, std::size_t count) { detail::append_parts(slot(), parts, count); }

  constexpr Text& append_any(AnyText string) {
    detail::append_text(slot(), string.view());
    return *this;
  }
  constexpr detail::TextSlot slot() { return {bytes_.data(), Capacity, size_, truncated_}; }

  std::array<char, Capacity + 1> bytes_{};
  std::size_t size_ = 0;
  bool truncated_ = false;
};

/// Joins strings, numbers and `Hex` values: `text<80>("port ", Hex{0x3f8}, " of ", 16)`.
template <std::size_t Capacity, class... Parts>
[[gnu::always_inline]] constexpr Text<Capacity> text(Parts const&... parts) {
  const detail::TextPart list[]{parts...};
  return {list, sizeof...(Parts)};
}

/// A file's path as a configuration field: at most 1023 bytes.
using Path = Text<1023>;

}  // namespace axvm::inline v1
