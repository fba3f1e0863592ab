#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/compose/description.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/observe/device_lines.hpp>
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

  void add(std::array<Cell, Columns> cells) {
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
  void put(std::string& out, CellOf const& cell_of) const {
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

/// A machine as a table of its devices and one of its address map: UTF-8, at most 120 columns, ends with a newline.
/// Addresses are inclusive. `std::fputs(describe_text(Xv2::description(config)).c_str(), stdout);`
[[nodiscard]] inline std::string describe_text(Description const& machine) {
  std::string out(machine.profile_type);
  out.append(": ").append(machine.profile).append("\n");
  out.append(notation::count(machine.vcpus, "vCPU")).append(" of at most ").append(std::to_string(machine.max_vcpus));
  out.append(", ").append(notation::size(machine.memory)).append(" of memory, hypervisor ").append(machine.hypervisor);
  out.append(machine.has_interrupts ? "" : ", no interrupt controllers").append("\n\n");

  detail::TextTable<6> devices({27, 22, 30, 10, 7, 14});
  devices.add({{{"Device"}, {"Ports"}, {"MMIO"}, {"IRQ"}, {"Where"}, {"ACPI"}}});
  for (std::size_t i = 0; i < machine.devices.size(); ++i) {
    DeviceLines const lines(machine, i);
    std::string const title = lines.title + (machine.devices[i].implicit ? " (platform)" : "");
    devices.add({{{title}, lines.ports, lines.mmio, lines.irq, {std::string(lines.where)}, {lines.acpi}}});
  }
  out += devices.str();

  std::size_t digits = 0;
  for_each_region(machine,
                  [&](Region const& region) { digits = notation::hex(region.base + (region.size - 1)).size() - 2; });
  detail::TextTable<3> regions({37, 12, 67});
  regions.add({{{"Addresses"}, {"Size"}, {"What"}}});
  for_each_region(machine, [&](Region const& region) {
    std::string title = title_of(region, machine);
    if (region.kind == RegionKind::Window && !machine.present(region.device)) title += " (absent)";
    regions.add({{{notation::hex(region.base, digits) + "-" + notation::hex(region.base + (region.size - 1), digits)},
                  {notation::size(region.size)},
                  {std::move(title)}}});
  });
  return out.append("\n").append(regions.str());
}

}  // namespace axvm::inline v1
