#pragma once

// How settings are read and written as text: the second half of setting.hpp, which includes it.

#include <axvm/core/setting.hpp>

namespace axvm::inline v1 {

namespace detail {

using namespace std::string_view_literals;

constexpr std::uint64_t int64_low = 1ull << 63, int64_high = int64_low - 1;

/// The first `count` bytes, or all there are. (string_view::substr can throw, string_view::find calls memchr; a
/// freestanding image has neither.)
constexpr std::string_view first_bytes(std::string_view text, std::size_t count) {
  return {text.data(), count < text.size() ? count : text.size()};
}

/// What stands before the first comma.
constexpr std::string_view before_comma(std::string_view list) {
  std::size_t end = 0;
  while (end != list.size() && list[end] != ',') ++end;
  return {list.data(), end};
}

/// The power of two behind a size's suffix: "M", "m", "MiB". 0 for none, 64 for what is no suffix.
constexpr unsigned suffix_shift(std::string_view suffix) {
  if (suffix.empty()) return 0;
  if (suffix.size() != 1 && (suffix.size() != 3 || suffix[1] != 'i' || suffix[2] != 'B')) return 64;
  switch (suffix[0]) {
    case 'k':
    case 'K': return 10;
    case 'm':
    case 'M': return 20;
    case 'g':
    case 'G': return 30;
    case 't':
    case 'T': return 40;
    default: return 64;
  }
}

/// Takes the digits at the front of `text`, decimal or after 0x hexadecimal; false for none or too many.
constexpr bool take_digits(std::string_view& text, std::uint64_t& number) {
  const bool hexadecimal = text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  if (hexadecimal) text.remove_prefix(2);
  const std::uint64_t radix = hexadecimal ? 16 : 10;
  const std::size_t all = text.size();
  for (; !text.empty(); text.remove_prefix(1)) {
    const char c = text[0], lower = static_cast<char>(c | 0x20);
    std::uint64_t digit = 16;
    if (c >= '0' && c <= '9') digit = static_cast<std::uint64_t>(c - '0');
    else if (lower >= 'a' && lower <= 'f') digit = static_cast<std::uint64_t>(lower - 'a') + 10;
    if (digit >= radix) break;
    if (__builtin_mul_overflow(number, radix, &number) || __builtin_add_overflow(number, digit, &number)) return false;
  }
  return text.size() != all;
}

/// The bits of an integer or enumeration of this type, sign-extended.
inline std::uint64_t load_bits(ValueType const& type, void const* from) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, from, type.size);
  const std::size_t width = 8 * type.size;
  if (type.is_signed && width < 64 && (bits >> (width - 1)) != 0) bits |= ~0ull << width;
  return bits;
}

inline std::unexpected<Error> bad_value(std::string_view value, std::string_view what, std::string_view hint = {}) {
  return failure(ErrorCode::InvalidArgument, axvm::text<1023>("'"sv, first_bytes(value, 400), "' "sv, what), hint);
}

}  // namespace detail

inline Setting::Range Setting::range() const {
  const std::size_t width = 8 * notes.type->size;
  if (notes.type->is_signed) {
    const auto high = static_cast<std::int64_t>((1ull << (width - 1)) - 1), low = -high - 1;
    return {static_cast<std::uint64_t>(low > notes.min ? low : notes.min),
            static_cast<std::uint64_t>(high < notes.max ? high : notes.max)};
  }
  const std::uint64_t high = width == 64 ? ~0ull : (1ull << width) - 1;
  const auto max = static_cast<std::uint64_t>(notes.max);
  return {notes.min > 0 ? static_cast<std::uint64_t>(notes.min) : 0,
          max < high && max != detail::int64_high ? max : high};
}

inline Text<31> Setting::number_text(std::uint64_t number) const {
  if (notes.type->is_signed) return axvm::text<31>(static_cast<std::int64_t>(number));
  if (kind() != ValueKind::Size || number == 0) return axvm::text<31>(number);
  unsigned unit = 0;
  while (unit < 4 && number % 1024 == 0) {
    number /= 1024;
    ++unit;
  }
  Text<31> out = axvm::text<31>(number);
  if (unit != 0) out.append(std::string_view(&"KMGT"[unit - 1], 1));
  return out;
}

inline Text<255> Setting::allowed() const {
  using namespace std::string_view_literals;
  Text<255> out;
  if (kind() == ValueKind::Enumeration) {
    std::size_t left = notes.type->enumerators.size();
    for (Enumerator const& enumerator : notes.type->enumerators)
      out.append(enumerator.name).append(--left > 1 ? ", "sv : left == 1 ? " or "sv : ""sv);
  }
  if (kind() != ValueKind::Integer && kind() != ValueKind::Size) return out;
  const bool low = notes.min != std::numeric_limits<std::int64_t>::min();
  const bool high = notes.max != std::numeric_limits<std::int64_t>::max();
  const Range bounds = range();
  if (low && high) out.append(number_text(bounds.low)).append(" to "sv).append(number_text(bounds.high));
  else if (low) out.append(number_text(bounds.low)).append(" or more"sv);
  else if (high) out.append("at most "sv).append(number_text(bounds.high));
  if (notes.multiple_of > 1)
    out.append(out.empty() ? "a multiple of "sv : ", a multiple of "sv).append(number_text(notes.multiple_of));
  return out;
}

inline Text<511> Setting::summary() const {
  using namespace std::string_view_literals;
  Text<511> out(notes.help);
  auto more = [&out, first = true](auto const&... parts) mutable {
    out.append(!first ? "; "sv : out.empty() ? "("sv : " ("sv);
    (out.append(parts), ...);
    first = false;
    return true;
  };
  bool any = false;
  if (kind() == ValueKind::Size) any = more("bytes, or with K, M, G, T"sv);
  else if (kind() != ValueKind::Text && !notes.unit.empty()) any = more(notes.unit);
  if (!is_state()) {
    const SettingText initial = default_text();
    any = more("default "sv, initial.empty() ? "none"sv : initial.view());
  }
  if (const Text<255> values = allowed(); !values.empty()) any = more(values);
  return any ? out.append(")"sv) : out;
}

inline Result<std::uint64_t> Setting::parse_number(std::string_view written) const {
  using namespace std::string_view_literals;
  const bool size = kind() == ValueKind::Size;
  auto bad = [&] {
    return size ? detail::bad_value(written, "is not a size"sv, "write for example 512M or 4G"sv)
                : detail::bad_value(written, "is not a whole number"sv);
  };
  std::string_view rest = written;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (negative) rest.remove_prefix(1);
  std::uint64_t number = 0;
  if (!detail::take_digits(rest, number)) return bad();
  const unsigned shift = size ? detail::suffix_shift(rest) : rest.empty() ? 0 : 64;
  if (shift == 64) return bad();
  const bool is_signed = notes.type->is_signed;
  const std::uint64_t highest = !is_signed ? ~0ull : negative ? detail::int64_low : detail::int64_high;
  const bool too_wide = number > highest >> shift || (negative && !is_signed && number != 0);
  number <<= shift;
  if (negative) number = 0 - number;
  const Range bounds = range();
  const bool outside = is_signed ? static_cast<std::int64_t>(number) < static_cast<std::int64_t>(bounds.low) ||
                                       static_cast<std::int64_t>(number) > static_cast<std::int64_t>(bounds.high)
                                 : number < bounds.low || number > bounds.high;
  if (too_wide || outside) {
    Text<255> expected = allowed();
    if (too_wide || expected.empty())
      expected = axvm::text<255>(number_text(bounds.low), " to "sv, number_text(bounds.high));
    return failure(ErrorCode::OutOfRange,
                   axvm::text<1023>("'"sv, detail::first_bytes(written, 400), "' is out of range: "sv, expected),
                   size && shift == 0 ? "a bare number counts bytes: write for example 512M or 4G"sv : ""sv);
  }
  if (number % notes.multiple_of != 0)
    return failure(ErrorCode::OutOfRange,
                   axvm::text<1023>("'"sv, detail::first_bytes(written, 400), "' is not a multiple of "sv,
                                    number_text(notes.multiple_of)));
  return number;
}

inline Result<std::uint64_t> Setting::parse_enumerator(std::string_view written) const {
  using namespace std::string_view_literals;
  NearestName nearest(written);
  for (Enumerator const& enumerator : notes.type->enumerators) {
    if (enumerator.name == written) return enumerator.value;
    nearest.consider(enumerator.name);
  }
  if (is_state() && !written.empty() && (written[0] == '-' || detail::is_digit(written[0])))
    return parse_number(written);
  return detail::bad_value(
      written, axvm::text<300>("is not "sv, allowed()),
      nearest.name().empty() ? Text<100>{} : axvm::text<100>("did you mean "sv, nearest.name(), "?"sv));
}

inline Result<> Setting::check_text(std::string_view written) const {
  using namespace std::string_view_literals;
  if (written.size() > notes.type->capacity)
    return failure(ErrorCode::OutOfRange, axvm::text<1023>("the text has "sv, written.size(), " bytes, at most "sv,
                                                           notes.type->capacity, " are possible"sv));
  for (char c : written)
    if (c == '\0') return failure(ErrorCode::InvalidArgument, "the text holds a zero byte"sv);
  return {};
}

inline Result<std::uint64_t> Setting::parse(std::string_view written) const {
  using namespace std::string_view_literals;
  switch (kind()) {
    case ValueKind::Boolean:
      for (std::string_view yes : {"true"sv, "yes"sv, "on"sv})
        if (written == yes) return 1;
      for (std::string_view no : {"false"sv, "no"sv, "off"sv})
        if (written == no) return 0;
      return detail::bad_value(written, "is not true or false"sv);
    case ValueKind::Enumeration: return parse_enumerator(written);
    case ValueKind::Text:
      if (auto checked = check_text(written); !checked) return std::unexpected(checked.error());
      return 0;
    default: return parse_number(written);
  }
}

inline Result<> Setting::set(std::size_t index, std::string_view written) const {
  const auto bits = parse(written);
  if (!bits) return std::unexpected(bits.error());
  void* to = at(value, index);
  if (kind() == ValueKind::Text) notes.type->assign_text(to, written);
  else std::memcpy(to, &*bits, notes.type->size);
  return {};
}

inline Result<> Setting::set(std::string_view written) const {
  using namespace std::string_view_literals;
  if (!is_list()) return set(0, written);
  std::size_t count = written.empty() ? 0 : 1;
  for (char c : written) count += c == ',' ? 1 : 0;
  if (count != notes.count)
    return detail::bad_value(written, axvm::text<80>("has "sv, count, " values, not "sv, notes.count),
                             "separate them by commas"sv);
  for (const bool check_only : {true, false}) {
    std::string_view rest = written;
    for (std::size_t i = 0; i < notes.count; ++i) {
      const std::string_view one = detail::before_comma(rest);
      if (check_only) {
        if (auto parsed = parse(one); !parsed) return std::unexpected(parsed.error());
      } else if (auto done = set(i, one); !done) {
        return done;
      }
      rest.remove_prefix(one.size() + (one.size() < rest.size() ? 1 : 0));
    }
  }
  return {};
}

inline SettingText Setting::one_text(void const* from) const {
  using namespace std::string_view_literals;
  if (kind() == ValueKind::Text) return notes.type->view_text(from);
  const std::uint64_t bits = detail::load_bits(*notes.type, from);
  if (kind() == ValueKind::Boolean) return bits != 0 ? "true"sv : "false"sv;
  for (Enumerator const& enumerator : notes.type->enumerators)
    if (enumerator.value == bits) return enumerator.name;
  return number_text(bits);
}

inline SettingText Setting::list_text(void const* from) const {
  using namespace std::string_view_literals;
  SettingText out;
  for (std::size_t i = 0; i < notes.count; ++i) {
    if (i != 0) out.append(","sv);
    out.append(one_text(at(from, i)));
  }
  return out;
}

}  // namespace axvm::inline v1
