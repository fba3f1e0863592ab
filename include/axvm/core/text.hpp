#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace axvm::inline v1 {

/// What reads as a string.
template <class S>
concept StringLike = std::convertible_to<S const&, std::string_view>;

/// A string as a string_view; the length of a literal is known without strlen, which a freestanding image has not.
template <StringLike S>
constexpr std::string_view view_of(S const& string) {
  if constexpr (std::is_array_v<S>) return {string, std::extent_v<S> - 1};
  else return string;
}

namespace detail {

/// A text as the functions see it that all capacities share: messages are made in many places and never in a hurry, so
/// that each place should cost a call and no more.
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
  constexpr Text(String const& string) {  // NOLINT(google-explicit-constructor)
    append(string);
  }

  [[nodiscard]] constexpr std::string_view view() const { return {bytes_.data(), size_}; }
  constexpr operator std::string_view() const { return view(); }  // NOLINT(google-explicit-constructor)
  /// The text with a terminating zero, for system calls.
  [[nodiscard]] constexpr char const* c_str() const { return bytes_.data(); }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  [[nodiscard]] constexpr bool empty() const { return size_ == 0; }
  [[nodiscard]] constexpr bool truncated() const { return truncated_; }
  [[nodiscard]] static constexpr std::size_t capacity() { return Capacity; }

  template <StringLike String>
  constexpr Text& append(String const& string) {
    detail::append_text(slot(), view_of(string));
    return *this;
  }

  /// Appends a number in decimal.
  template <std::integral T>
    requires(!std::same_as<T, char> && !std::same_as<T, bool>)
  constexpr Text& append(T value) {
    if constexpr (std::signed_integral<T>) {
      if (value < 0) return append_number({"-", 1}, ~static_cast<std::uint64_t>(value) + 1, 10);
    }
    return append_number({}, static_cast<std::uint64_t>(value), 10);
  }

  /// Appends a number in hexadecimal, with the prefix `0x`.
  constexpr Text& append_hex(std::uint64_t value) { return append_number({"0x", 2}, value, 16); }

  template <StringLike Other>
  friend constexpr bool operator==(Text const& a, Other const& b) {
    return a.view() == view_of(b);
  }

 private:
  constexpr Text& append_number(std::string_view prefix, std::uint64_t value, unsigned radix) {
    detail::append_number(slot(), prefix, value, radix);
    return *this;
  }
  constexpr detail::TextSlot slot() { return {bytes_.data(), Capacity, size_, truncated_}; }

  std::array<char, Capacity + 1> bytes_{};
  std::size_t size_ = 0;
  bool truncated_ = false;
};

/// A number that `text()` shows in hexadecimal.
struct Hex {
  std::uint64_t value = 0;
};

/// Joins strings, numbers and `Hex` values: `text<80>("port ", Hex{0x3f8}, " of ", 16)`.
template <std::size_t Capacity, class... Parts>
constexpr Text<Capacity> text(Parts const&... parts) {
  Text<Capacity> out;
  auto one = [&out](auto const& part) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(part)>, Hex>) out.append_hex(part.value);
    else out.append(part);
  };
  (one(parts), ...);
  return out;
}

/// A file's path as a configuration field: at most 1023 bytes.
using Path = Text<1023>;

}  // namespace axvm::inline v1
