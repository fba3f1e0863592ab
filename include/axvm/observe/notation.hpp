#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/core/text.hpp>
#include <axvm/core/units.hpp>
#include <axvm/device/claims.hpp>

/// How numbers and names are written for people, in every output alike.
namespace axvm::inline v1::notation {

/// A number in hexadecimal, with at least `digits` digits: "0x3f8".
[[gnu::cold]] inline std::string hex(std::uint64_t value, std::size_t digits = 1) {
  std::string text(axvm::text<18>(Hex{value}).view().substr(2));
  if (text.size() < digits) text.insert(0, digits - text.size(), '0');
  return "0x" + text;
}

/// Function 0 of a device of PCI bus 0, as lspci has it: "00:03.0".
[[gnu::cold]] inline std::string pci(unsigned device) { return "00:" + hex(device, 2).substr(2) + ".0"; }

/// The first and the last of `size` (at least 1) ports or addresses: "0x3f8-0x3ff", or "0x61" where there is only one.
[[gnu::cold]] inline std::string range(std::uint64_t base, std::uint64_t size) {
  return size == 1 ? hex(base) : hex(base) + "-" + hex(base + (size - 1));
}

/// A number of bytes in its largest unit, cut after two decimals: "512 MiB", "2.75 GiB".
[[gnu::cold]] inline std::string size(std::uint64_t bytes) {
  constexpr std::string_view units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  unsigned unit = 0;
  while (unit < 6 && bytes >> 10 * (unit + 1) != 0) ++unit;
  std::string text = std::to_string(bytes >> 10 * unit);
  const std::uint64_t rest = unit == 0 ? 0 : bytes >> 10 * (unit - 1) & 1023;
  if (const std::uint64_t hundredths = rest * 100 / 1024; hundredths != 0) {
    text += hundredths < 10 ? ".0" : ".";
    text += std::to_string(hundredths % 10 == 0 ? hundredths / 10 : hundredths);
  }
  return text.append(" ").append(bytes == 1 ? "byte" : units[unit]);
}

/// A number and what is counted: "1 vCPU", "4 vCPUs".
inline std::string count(std::uint64_t number, std::string_view what) {
  return std::to_string(number).append(" ").append(what).append(number == 1 ? "" : "s");
}

/// How a line signals.
constexpr std::string_view name_of(Trigger trigger) { return trigger == Trigger::Edge ? "edge" : "level"; }

/// How many characters a UTF-8 text has.
constexpr std::size_t width(std::string_view text) {
  std::size_t characters = 0;
  for (char c : text) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return characters;
}

/// The first `characters` characters of a text.
constexpr std::string_view first(std::string_view text, std::size_t characters) {
  std::size_t end = 0;
  for (; end < text.size(); ++end)
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && characters-- == 0) break;
  return text.substr(0, end);
}

/// The text, or as much of its beginning as `characters` (at least 1) have room for, with an ellipsis.
[[gnu::cold]] inline std::string shorten(std::string_view text, std::size_t characters) {
  if (width(text) <= characters) return std::string(text);
  return std::string(first(text, characters - 1)).append("…");
}

/// Lines of at most `characters` (at least 1), broken at spaces where that is possible.
[[gnu::cold]] inline std::vector<std::string> wrap(std::string_view text, std::size_t characters) {
  std::vector<std::string> lines;
  while (width(text) > characters) {
    const std::size_t fits = first(text, characters).size();
    std::size_t end = text.substr(0, fits + 1).rfind(' ');
    if (end == std::string_view::npos || end == 0) end = fits;
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  lines.emplace_back(text);
  return lines;
}

}  // namespace axvm::inline v1::notation
