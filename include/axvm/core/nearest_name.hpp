#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace axvm::inline v1 {

/// Finds the known name that somebody who mistyped one probably meant: `consider()` every known name, then look at
/// `name()`. The names must outlive it.
class NearestName {
 public:
  explicit constexpr NearestName(std::string_view wanted)
      : wanted_(wanted.data(), wanted.size() < max_length ? wanted.size() : max_length),
        distance_(wanted_.size() < 3 ? 2 : wanted_.size() / 3 + 1) {}

  /// Compares with a known name. The first of equally near ones counts.
  constexpr void consider(std::string_view known) {
    const std::size_t distance = edits(known);
    if (distance >= distance_) return;
    distance_ = distance;
    name_ = known;
  }

  /// The nearest name; empty when none resembles it (more than a third of the letters differ).
  [[nodiscard]] constexpr std::string_view name() const { return name_; }

 private:
  static constexpr std::size_t max_length = 63;

  static constexpr void lower(std::size_t& value, std::size_t to) {
    if (to < value) value = to;
  }

  /// How many letters must be inserted, removed, replaced or swapped with their neighbour (Damerau and Levenshtein).
  [[nodiscard]] constexpr std::size_t edits(std::string_view known) const {
    std::array<std::size_t, max_length + 1> before_last{}, last{}, row{};
    for (std::size_t j = 0; j <= wanted_.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= known.size(); ++i) {
      before_last = last;
      last = row;
      row[0] = i;
      for (std::size_t j = 1; j <= wanted_.size(); ++j) {
        const bool same = known[i - 1] == wanted_[j - 1];
        row[j] = last[j - 1] + (same ? 0 : 1);
        lower(row[j], last[j] + 1);
        lower(row[j], row[j - 1] + 1);
        if (i > 1 && j > 1 && known[i - 1] == wanted_[j - 2] && known[i - 2] == wanted_[j - 1])
          lower(row[j], before_last[j - 2] + 1);
      }
    }
    return row[wanted_.size()];
  }

  std::string_view wanted_, name_;
  std::size_t distance_;
};

}  // namespace axvm::inline v1
