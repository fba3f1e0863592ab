#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <axvm/observe/notation.hpp>

namespace axvm::inline v1 {

namespace detail {

/// A table whose cells may have several lines. Columns are as wide as what they hold, up to a limit, where the text
/// is broken.
template <std::size_t Columns>
class TextTable {
 public:
  using Widths = std::array<std::size_t, Columns>;
  using Cell = std::vector<std::string>;

  explicit constexpr TextTable(Widths const& limits) : limits_(limits) {}

  [[gnu::cold]] void add(std::array<Cell, Columns> cells) {
    for (std::size_t c = 0; c < Columns; ++c) {
      Cell lines;
      for (std::string const& text : cells[c])
        for (std::string& line : notation::wrap(text, limits_[c])) lines.push_back(std::move(line));
      for (std::string const& line : lines) widths_[c] = std::max(widths_[c], notation::width(line));
      cells[c] = std::move(lines);
    }
    rows_.push_back(std::move(cells));
  }

  /// All rows, a rule below the first one, and no spaces at the ends of lines.
  [[nodiscard]] std::string str() const {
    std::string out;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      std::size_t lines = 1;
      for (Cell const& cell : rows_[r]) lines = std::max(lines, cell.size());
      for (std::size_t line = 0; line < lines; ++line)
        put(out, [&](std::size_t c) { return line < rows_[r][c].size() ? rows_[r][c][line] : std::string(); });
      if (r == 0) put(out, [this](std::size_t c) { return std::string(widths_[c], '-'); });
    }
    return out;
  }

 private:
  template <class CellOf>
  [[gnu::cold]] void put(std::string& out, CellOf const& cell_of) const {
    for (std::size_t c = 0; c < Columns; ++c) {
      const std::string text = cell_of(c);
      out.append(text).append(widths_[c] - notation::width(text) + 2, ' ');
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }

  Widths limits_;
  Widths widths_{};
  std::vector<std::array<Cell, Columns>> rows_;
};

}  // namespace detail

}  // namespace axvm::inline v1
