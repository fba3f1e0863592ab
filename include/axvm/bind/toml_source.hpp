#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#ifndef TOML_EXCEPTIONS
#define TOML_EXCEPTIONS 0
#endif
#include <toml++/toml.h>

#include <axvm/bind/toml.hpp>
#include <axvm/core/nearest_name.hpp>

// What toml.hpp declares. Included by exactly one source file of a program.

namespace axvm::inline v1 {

namespace detail {

/// Whether values of the setting can exceed TOML's integers, which end at 2^63 - 1. Larger ones are written as strings.
inline bool is_wide(Setting const& setting) { return !setting.notes.type->is_signed && setting.notes.type->size == 8; }

/// Reads one machine file into settings and collects what is wrong with it.
class TomlReader {
 public:
  TomlReader(std::string_view file, std::span<const Setting> settings)
      : file_(file), settings_(settings), named_(settings.size()) {}

  void read_table(toml::table const& table, std::string const& prefix) {
    for (auto const& [key, value] : table) {
      const std::string name = prefix + std::string(key.str());
      if (Setting const* setting = find_setting(settings_, name)) {
        named_[static_cast<std::size_t>(setting - settings_.data())] = true;
        read_value(*setting, value);
      } else if (!is_table(name)) report_unknown(key.source().begin.line, name, value.is_table());
      else if (value.is_table()) read_table(*value.as_table(), name + ".");
      else report(value, name, "this is the name of a table", text<511>("write [", name, "] and its keys below"));
    }
  }

  void report(std::uint32_t line, std::string_view name, std::string_view what, Text<511> const& hint) {
    errors_.emplace(line, Error{.operation = text<1023>(file_, ":", line, ": ", name, name.empty() ? "" : ": ", what),
                                .hint = hint});
  }

  /// Reports what the file does not name; a device of which it names nothing is one error.
  void report_missing() {
    for (std::size_t i = 0, end = 0; i < settings_.size(); i = end) {
      const std::string_view device = device_of(settings_[i]);
      bool any = device.empty();
      for (end = i; end < settings_.size() && device_of(settings_[end]) == device; ++end) any = any || named_[end];
      if (!any) report_missing(device, "the whole table is missing");
      for (; any && i < end; ++i)
        if (!named_[i]) report_missing(settings_[i].name, "is missing");
    }
  }

  /// What was wrong, in the order of the lines; what is missing comes last.
  [[nodiscard]] std::vector<Error> errors() {
    std::vector<Error> sorted;
    for (auto const& [line, error] : errors_) sorted.push_back(error);
    return sorted;
  }

 private:
  void report(toml::node const& node, std::string_view name, std::string_view what, Text<511> const& hint = {}) {
    report(node.source().begin.line, name, what, hint);
  }

  void report_missing(std::string_view name, std::string_view what) {
    errors_.emplace(~std::uint32_t{0}, Error{.operation = text<1023>(file_, ": ", name, ": ", what), .hint = {}});
  }

  /// The first part of a device's setting's name: "blk0".
  static std::string_view device_of(Setting const& setting) {
    const std::string_view name = setting.name;
    const std::size_t dot = name.find('.');
    return dot == name.npos ? std::string_view{} : name.substr(0, dot);
  }

  [[nodiscard]] bool is_state() const { return !settings_.empty() && settings_.front().is_state(); }

  /// Whether settings have names that begin with `name` and a dot.
  [[nodiscard]] bool is_table(std::string const& name) const {
    for (Setting const& setting : settings_)
      if (setting.name.view().starts_with(name + ".")) return true;
    return false;
  }

  void report_unknown(std::uint32_t line, std::string const& name, bool table) {
    std::vector<std::string> known;
    for (Setting const& setting : settings_) {
      const std::string_view whole = setting.name;
      if (!table) known.emplace_back(whole);
      else
        for (std::size_t dot = whole.find('.'); dot != whole.npos; dot = whole.find('.', dot + 1))
          known.emplace_back(whole.substr(0, dot));
    }
    NearestName nearest(name);
    for (std::string const& one : known) nearest.consider(one);
    std::string_view meant = nearest.name();
    for (std::string const& one : known)  // a key above the table that it belongs to
      if (meant.empty() && one.ends_with("." + name)) meant = one;
    const auto hint = !meant.empty() ? text<511>("did you mean ", meant, "?")
                      : is_state()   ? Text<511>("the state of another machine, or of another version of it?")
                                     : Text<511>("what there is stands in the file that --write-config prints");
    report(line, name,
           table        ? "the machine has no such table"
           : is_state() ? "no device has such a state"
                        : "the machine has no such setting",
           hint);
  }

  void read_value(Setting const& setting, toml::node const& value) {
    if (!setting.is_list()) return read_one(setting, 0, value);
    toml::array const* list = value.as_array();
    if (list == nullptr)
      return report(value, setting.name, text<80>("expected an array of ", setting.notes.count, " values"));
    if (list->size() != setting.notes.count)
      return report(value, setting.name, text<80>("has ", list->size(), " values, not ", setting.notes.count));
    for (std::size_t i = 0; i < list->size(); ++i) read_one(setting, i, (*list)[i]);
  }

  void read_one(Setting const& setting, std::size_t index, toml::node const& value) {
    const ValueKind kind = setting.kind();
    const bool number = kind == ValueKind::Integer || kind == ValueKind::Size;
    const bool string = !number || kind == ValueKind::Size || is_wide(setting);
    std::string text;
    if (kind == ValueKind::Boolean && value.is_boolean()) text = value.as_boolean()->get() ? "true" : "false";
    else if (number && value.is_integer()) text = std::to_string(value.as_integer()->get());
    else if (string && kind != ValueKind::Boolean && value.is_string()) text = value.as_string()->get();
    else return report_type(setting, value);
    if (auto done = setting.set(index, text); !done)
      report(value, setting.name, done.error().operation, done.error().hint);
  }

  void report_type(Setting const& setting, toml::node const& value) {
    auto expected = [&]() -> std::string_view {
      switch (setting.kind()) {
        case ValueKind::Boolean: return "true or false";
        case ValueKind::Integer: return "an integer";
        case ValueKind::Size: return "a size: a string such as \"512M\" or an integer in bytes";
        default: return "a string";
      }
    };
    auto found = [&]() -> std::string_view {
      switch (value.type()) {
        case toml::node_type::boolean: return value.as_boolean()->get() ? "true" : "false";
        case toml::node_type::string: return "a string";
        case toml::node_type::integer: return "an integer";
        case toml::node_type::floating_point: return "a number with a fraction";
        case toml::node_type::array: return "an array";
        case toml::node_type::table: return "a table";
        default: return "a date or time";
      }
    };
    report(value, setting.name, text<160>("expected ", expected(), ", found ", found()));
  }

  std::string_view file_;
  std::span<const Setting> settings_;
  std::vector<bool> named_;                     ///< for each setting whether the file has its key
  std::multimap<std::uint32_t, Error> errors_;  ///< by line
};

inline std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out.append(1, '\\').append(1, c);
    else if (byte >= 0x20 && byte != 0x7f) out.append(1, c);
    else {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04X", static_cast<unsigned>(byte));
      out.append(escape.data());
    }
  }
  return out.append("\"");
}

inline std::string toml_value(Setting const& setting, std::size_t index) {
  const SettingText text = setting.text(index);
  if (setting.kind() == ValueKind::Boolean) return std::string(text.view());
  if (setting.kind() == ValueKind::Text || setting.kind() == ValueKind::Enumeration) return toml_quoted(text);
  const bool suffixed = text.view().find_first_not_of("-0123456789") != std::string_view::npos;
  const bool wide = is_wide(setting) && text.size() >= 19;  // 2^63 has 19 digits
  return suffixed || wide ? toml_quoted(text) : std::string(text.view());
}

/// A value and the end of its line. A long list is broken, so that two files can be compared line by line.
inline void append_toml_values(std::string& out, Setting const& setting) {
  constexpr std::size_t in_a_line = 32;
  const std::size_t count = setting.notes.count;
  const bool broken = count > in_a_line;
  if (setting.is_list()) out.append("[");
  for (std::size_t i = 0; i < count; ++i) {
    if (broken && i % in_a_line == 0) out.append("\n ");
    if (i != 0 || broken) out.append(" ");
    out.append(toml_value(setting, i));
    if (broken || i + 1 != count) out.append(",");
  }
  out.append(broken ? "\n]\n" : setting.is_list() ? "]\n" : "\n");
}

}  // namespace detail

std::vector<Error> read_toml_text(std::string_view text, std::string_view name, std::span<const Setting> settings,
                                  MissingKeys missing) {
  detail::TomlReader reader(name, settings);
  const toml::parse_result parsed = toml::parse(text, name);
  if (parsed) reader.read_table(parsed.table(), {});
  if (parsed && missing == MissingKeys::report) reader.report_missing();
  if (!parsed) reader.report(parsed.error().source().begin.line, {}, parsed.error().description(), {});
  return reader.errors();
}

std::vector<Error> read_toml(std::string const& path, std::span<const Setting> settings, MissingKeys missing) {
  errno = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  std::string content;
  std::array<char, 4096> part;
  std::size_t count = 0;
  while (file && (count = std::fread(part.data(), 1, part.size(), file.get())) != 0) content.append(part.data(), count);
  if (!file || std::ferror(file.get()) != 0)
    return {{.code = errno == ENOENT ? ErrorCode::NotFound : ErrorCode::HostIo,
             .operation = text<1023>("read file ", path),
             .os_error = errno,
             .hint = {}}};
  return read_toml_text(content, path, settings, missing);
}

std::string write_toml(std::span<const Setting> settings, std::string_view heading) {
  std::string out;
  auto comment = [&out](std::string_view lines) {
    while (!lines.empty()) {
      const std::string_view line = lines.substr(0, lines.find('\n'));
      out.append("# ").append(line).append("\n");
      lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    }
  };
  auto table_of = [](Setting const& setting) {
    const std::string_view name = setting.name;
    const std::size_t dot = name.rfind('.');
    return dot == name.npos ? std::string_view{} : name.substr(0, dot);
  };
  comment(heading);
  std::vector<std::string_view> tables{std::string_view{}};  // the file's own keys come before any table
  for (Setting const& setting : settings)
    if (std::find(tables.begin(), tables.end(), table_of(setting)) == tables.end()) tables.push_back(table_of(setting));
  std::string_view device;  // whose class the last heading named
  for (std::string_view table : tables) {
    bool first = true;
    for (Setting const& setting : settings) {
      if (table_of(setting) != table) continue;
      if (first || table.empty()) out.append("\n");
      if (const std::string_view name = table.substr(0, table.find('.')); first && name != device) {
        device = name;
        comment(setting.owner);
      }
      if (first && !table.empty()) out.append("[").append(table).append("]\n");
      first = false;
      comment(setting.summary());
      out.append(setting.name.view().substr(table.empty() ? 0 : table.size() + 1)).append(" = ");
      detail::append_toml_values(out, setting);
    }
  }
  return out;
}

}  // namespace axvm::inline v1
