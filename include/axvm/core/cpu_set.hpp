#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// A set of small numbers: host CPUs, vCPUs, NUMA nodes. Its size is fixed, so that no number read from a file or a
/// command line costs memory or time.
class CpuSet {
 public:
  /// Numbers are 0 to 8191: as many CPUs as Linux can be built for on x86 (NR_CPUS_RANGE_END in arch/x86/Kconfig).
  static constexpr unsigned capacity = 8192;

  constexpr CpuSet() = default;

  /// The numbers `first` to `last`, both included; those beyond the capacity are left out.
  [[nodiscard]] static constexpr CpuSet range(unsigned first, unsigned last) {
    CpuSet set;
    for (unsigned number = first; number <= last && number < capacity; ++number) set.add(number);
    return set;
  }

  /// Reads a list as the kernel writes it: `0-3,8,10-11`; an empty text is the empty set. Errors name what is wrong
  /// with which part.
  [[nodiscard]] static constexpr Result<CpuSet> parse(std::string_view list);

  /// Adds a number; false when it is beyond the capacity.
  constexpr bool add(unsigned number) {
    if (number >= capacity) return false;
    words_[number / 64] |= 1ull << number % 64;
    return true;
  }
  constexpr void remove(unsigned number) {
    if (number < capacity) words_[number / 64] &= ~(1ull << number % 64);
  }
  [[nodiscard]] constexpr bool has(unsigned number) const {
    return number < capacity && (words_[number / 64] >> number % 64 & 1) != 0;
  }

  [[nodiscard]] constexpr unsigned count() const {
    unsigned sum = 0;
    for (std::uint64_t word : words_)  // std::popcount may call a function of the compiler's library
      for (; word != 0; word &= word - 1) ++sum;
    return sum;
  }
  [[nodiscard]] constexpr bool empty() const { return next(0) == capacity; }
  /// The least number that is at least `from`, or `capacity` when there is none.
  [[nodiscard]] constexpr unsigned next(unsigned from) const {
    for (unsigned at = from; at < capacity; at = (at / 64 + 1) * 64)
      if (const std::uint64_t rest = words_[at / 64] >> at % 64; rest != 0)
        return at + static_cast<unsigned>(std::countr_zero(rest));
    return capacity;
  }
  /// The least number, or `capacity` of the empty set.
  [[nodiscard]] constexpr unsigned first() const { return next(0); }

  /// Calls `visit(number)` for each number, upwards.
  template <class Visit>
  constexpr void for_each(Visit&& visit) const {
    for (unsigned number = first(); number < capacity; number = next(number + 1)) visit(number);
  }
  /// Calls `visit(first, last)` for each run of numbers that follow one another, upwards.
  template <class Visit>
  constexpr void for_each_run(Visit&& visit) const {
    for (unsigned from = first(); from < capacity;) {
      unsigned to = from;
      while (has(to + 1)) ++to;
      visit(from, to);
      from = next(to + 1);
    }
  }

  /// The list as parse() reads it, numbers upwards, runs as ranges. What does not fit is left out, and truncated() of
  /// the text says so.
  template <std::size_t Capacity = 255>
  [[nodiscard]] constexpr Text<Capacity> list() const {
    Text<Capacity> out;
    for_each_run([&](unsigned from, unsigned to) {
      if (!out.empty()) out.append(",");
      out.append(from);
      if (to != from) out.append("-").append(to);
    });
    return out;
  }

  /// Bit `n % 64` of word `n / 64` is number `n`: what the kernel's system calls take.
  [[nodiscard]] constexpr std::span<const std::uint64_t, capacity / 64> words() const { return words_; }
  [[nodiscard]] constexpr std::span<std::uint64_t, capacity / 64> words() { return words_; }

  friend constexpr bool operator==(CpuSet const&, CpuSet const&) = default;
  friend constexpr CpuSet operator&(CpuSet a, CpuSet const& b) {
    for (std::size_t i = 0; i < a.words_.size(); ++i) a.words_[i] &= b.words_[i];
    return a;
  }
  friend constexpr CpuSet operator|(CpuSet a, CpuSet const& b) {
    for (std::size_t i = 0; i < a.words_.size(); ++i) a.words_[i] |= b.words_[i];
    return a;
  }
  /// What is in `a` and not in `b`.
  friend constexpr CpuSet operator-(CpuSet a, CpuSet const& b) {
    for (std::size_t i = 0; i < a.words_.size(); ++i) a.words_[i] &= ~b.words_[i];
    return a;
  }

 private:
  std::array<std::uint64_t, capacity / 64> words_{};
};

namespace detail {

/// Takes a decimal number from the front of a text; one beyond any capacity reads as CpuSet::capacity. False when
/// there is no digit.
constexpr bool take_cpu_number(std::string_view& text, unsigned& number) {
  const std::size_t all = text.size();
  for (number = 0; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1)) {
    number = number * 10 + static_cast<unsigned>(text[0] - '0');
    if (number > CpuSet::capacity) number = CpuSet::capacity;
  }
  return text.size() != all;
}

}  // namespace detail

/// Reads a list such as `0-3,8` and calls `visit(first, last)` for each of its parts in the order in which they are
/// written; for an empty list never. The parts may overlap. Stops at the first error.
template <class Visit>
constexpr Result<> for_each_cpu_range(std::string_view list, Visit&& visit) {
  using namespace std::string_view_literals;  // their length is known without strlen
  while (!list.empty()) {
    std::size_t end = 0;
    while (end != list.size() && list[end] != ',') ++end;
    const std::string_view part(list.data(), end);
    auto bad = [part](ErrorCode code, std::string_view what, std::string_view hint) {
      return failure(
          code, text<1023>("'"sv, std::string_view(part.data(), part.size() < 60 ? part.size() : 60), "' "sv, what),
          hint);
    };
    const bool ends_with_comma = end + 1 == list.size();
    std::string_view rest = part;
    unsigned first = 0;
    bool good = detail::take_cpu_number(rest, first) && !ends_with_comma;
    unsigned last = first;
    if (good && !rest.empty() && rest[0] == '-') {
      rest.remove_prefix(1);
      good = detail::take_cpu_number(rest, last);
    }
    if (!good || !rest.empty())
      return bad(ErrorCode::InvalidArgument,
                 ends_with_comma ? "is followed by a comma and nothing"sv : "is not a number or a range"sv,
                 "write a list such as 0-3,8"sv);
    if (first >= CpuSet::capacity || last >= CpuSet::capacity)
      return bad(ErrorCode::OutOfRange, "is too large"sv, text<60>("numbers go up to "sv, CpuSet::capacity - 1).view());
    if (last < first) return bad(ErrorCode::InvalidArgument, "runs backwards"sv, "write the smaller number first"sv);
    visit(first, last);
    list.remove_prefix(end + (end < list.size() ? 1 : 0));
  }
  return {};
}

constexpr Result<CpuSet> CpuSet::parse(std::string_view list) {
  CpuSet set;
  auto read = for_each_cpu_range(list, [&set](unsigned first, unsigned last) { set = set | range(first, last); });
  if (!read) return std::unexpected(read.error());
  return set;
}

}  // namespace axvm::inline v1
