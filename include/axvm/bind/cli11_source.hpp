#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include <CLI/CLI.hpp>

#include <axvm/bind/cli11.hpp>
#include <axvm/core/nearest_name.hpp>

// What cli11.hpp declares. Included by exactly one source file of a program.

namespace axvm::inline v1 {

namespace detail {

/// "blk0.path" -> "blk0"; empty for the machine's own.
inline std::string_view device_of(std::string_view setting) {
  const std::size_t dot = setting.find('.');
  return dot == std::string_view::npos ? std::string_view{} : setting.substr(0, dot);
}

inline std::string_view without_number(std::string_view device) {
  while (!device.empty() && std::isdigit(static_cast<unsigned char>(device.back())) != 0) device.remove_suffix(1);
  return device;
}

/// What --help calls a value of this setting: "SIZE", "strict|warn", "N,N".
inline std::string placeholder(Setting const& setting) {
  std::string one = "N";
  if (setting.kind() == ValueKind::Boolean) one = "true|false";
  if (setting.kind() == ValueKind::Size) one = "SIZE";
  if (setting.kind() == ValueKind::Text) {
    one = setting.notes.unit.empty() ? "TEXT" : setting.notes.unit;
    std::transform(one.begin(), one.end(), one.begin(), [](unsigned char c) { return std::toupper(c); });
  }
  if (setting.kind() == ValueKind::Enumeration) {
    one.clear();
    for (Enumerator const& enumerator : setting.notes.type->enumerators)
      one.append(one.empty() ? "" : "|").append(enumerator.name);
  }
  std::string all = one;
  for (std::size_t i = 1; i < setting.notes.count; ++i) all.append(",").append(one);
  return all;
}

/// CLI11's own layout with one empty line between groups instead of two and without its "{false}" behind `--no-name`.
class HelpLayout : public CLI::Formatter {
 public:
  std::string make_option_name(CLI::Option const* option, bool is_positional) const override {
    return CLI::detail::find_and_replace(CLI::Formatter::make_option_name(option, is_positional), "{false}", "");
  }
  std::string make_usage(CLI::App const* app, std::string name) const override {
    return CLI::Formatter::make_usage(app, name) + "\n";
  }
  std::string make_group(std::string group, bool is_positional,
                         std::vector<CLI::Option const*> options) const override {
    return CLI::Formatter::make_group(group, is_positional, options).substr(1);
  }
};

}  // namespace detail

std::string flag_of(std::string_view setting) {
  std::string flag = "--" + std::string(setting);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

SettingFlags::SettingFlags(CLI::App& app, std::span<const Setting> settings) : app_(app) {
  app.allow_extras();
  app.formatter(std::make_shared<detail::HelpLayout>());
  app.get_formatter()->column_width(36);
  std::vector<std::string_view> devices;
  for (Setting const& setting : settings)
    if (const auto device = detail::device_of(setting.name); devices.empty() || devices.back() != device)
      devices.push_back(device);
  for (Setting const& setting : settings) {
    const auto device = detail::device_of(setting.name), kind = detail::without_number(device);
    std::string_view first, last;
    for (std::string_view other : devices) {
      if (detail::without_number(other) != kind) continue;
      if (first.empty()) first = other;
      last = other;
    }
    std::string group = device.empty() ? "Machine" : std::string(device);
    if (device != first) group.clear();  // hidden
    else if (first != last) group.append(" (and in the same way up to ").append(last).append(")");
    add(setting, group);
  }
}

void SettingFlags::add(Setting const& setting, std::string const& group) {
  const std::string flag = flag_of(setting.name);
  std::string names = flag;
  if (const char alias = setting.notes.alias; alias != 0) {
    const auto taken =
        app_.get_options([alias](CLI::Option const* option) { return option->check_sname(std::string(1, alias)); });
    if (taken.empty()) names.append(",-").append(1, alias);
  }
  const std::string help(setting.summary().view());
  const bool boolean = setting.kind() == ValueKind::Boolean && !setting.is_list();
  CLI::Option* option = nullptr;
  if (boolean) option = app_.add_flag(names + ",!--no-" + flag.substr(2), help);
  else option = app_.add_option(names, CLI::callback_t{}, help)->type_name(detail::placeholder(setting));
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->group(group);
  flags_.emplace_back(&setting, option);
}

void SettingFlags::parse(std::vector<std::string> arguments, std::vector<Error>& errors) {
  // CLI11 takes `--name=` for a flag whose value is the next argument.
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string& argument = arguments[i];
    if (!argument.starts_with("--") || argument.find('=') != argument.size() - 1) continue;
    CLI::Option const* option = app_.get_option_no_throw(argument.substr(0, argument.size() - 1));
    if (option == nullptr || option->get_items_expected_max() == 0) continue;
    argument.pop_back();
    arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::string());
    ++i;
  }
  for (;;) {
    try {
      app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
      break;
    } catch (CLI::ArgumentMismatch const& error) {
      // Only the last argument can lack its value: any other would have taken the one behind it.
      const bool flag_ends = !arguments.empty() && app_.get_option_no_throw(arguments.back()) != nullptr;
      const std::string what = flag_ends ? arguments.back() + " needs a value" : error.what();
      errors.push_back({.operation = text<1023>(what), .hint = {}});
      if (!flag_ends) break;
      arguments.pop_back();
    } catch (CLI::Success const&) {
      throw;
    } catch (CLI::ParseError const& error) {
      errors.push_back({.operation = text<1023>(std::string_view(error.what())), .hint = {}});
      break;
    }
  }
  report_unknown(errors);
}

void SettingFlags::report_unknown(std::vector<Error>& errors) const {
  bool after_unknown = false;  // the word behind an unknown flag is probably its value
  for (std::string const& argument : app_.remaining()) {
    const bool is_flag = argument.size() > 1 && argument[0] == '-';
    if (!is_flag && !after_unknown)
      errors.push_back({.operation = text<1023>("'", argument.substr(0, 400), "' belongs to no option"), .hint = {}});
    after_unknown = is_flag && argument.find('=') == std::string::npos;
    if (!is_flag || argument == "--") continue;
    const std::string flag = argument.substr(0, std::min<std::size_t>(argument.find('='), 400));
    std::vector<std::string> known;
    for (CLI::Option const* option : app_.get_options())
      for (std::string const& name : option->get_lnames()) known.push_back("--" + name);
    NearestName nearest(flag);
    for (std::string const& name : known) nearest.consider(name);
    errors.push_back({.operation = text<1023>(flag, " is no option of this program"),
                      .hint = nearest.name().empty() ? Text<511>("--help lists them")
                                                     : text<511>("did you mean ", nearest.name(), "?")});
  }
}

void SettingFlags::apply(std::vector<Error>& errors) const {
  for (auto const& [setting, option] : flags_) {
    if (option->count() == 0) continue;
    const std::string given = option->results().empty() ? std::string() : option->results().back();
    auto done = setting->set(given);
    if (done) continue;
    done.error().operation = text<1023>(flag_of(setting->name), ": ", done.error().operation);
    errors.push_back(done.error());
  }
}

bool SettingFlags::given(std::string_view name) const {
  for (auto const& [setting, option] : flags_)
    if (setting->name == name) return option->count() != 0;
  return false;
}

}  // namespace axvm::inline v1
