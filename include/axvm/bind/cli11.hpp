#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <axvm/core/error.hpp>
#include <axvm/core/setting.hpp>

// Settings on the command line, with CLI11. Declarations only: one source file of the program includes
// cli11_source.hpp, which defines them, so that CLI11 is compiled once however many machines there are.

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace axvm::inline v1 {

/// The flags of settings: `--blk0.read-only` for "blk0.read_only", and `-d` where the field has such an alias (the
/// first setting that asks for a letter gets it, and never one that the program uses). A boolean takes `--name`,
/// `--no-name` and `--name=true|false`. Of several flags for one setting the last counts.
class SettingFlags {
 public:
  /// Adds the flags to `app`, which has the program's own already; each device's form a group of --help. Of devices
  /// that differ only in their number, --help shows the first. Both arguments must outlive this.
  SettingFlags(CLI::App& app, std::span<const Setting> settings);

  /// Reads the arguments (without the program's name), the program's own flags included, and changes no setting. What
  /// is wrong with the arguments as such (unknown flags, missing values) is added to `errors`. --help and --version
  /// leave as CLI11's exceptions (CLI::Success).
  void parse(std::vector<std::string> arguments, std::vector<Error>& errors);

  /// Puts what was given into the settings. Every bad value is added to `errors`, with its flag.
  void apply(std::vector<Error>& errors) const;

  /// Whether the setting was given.
  [[nodiscard]] bool given(std::string_view name) const;

 private:
  void add(Setting const& setting, std::string const& group);
  void report_unknown(std::vector<Error>& errors) const;

  CLI::App& app_;
  std::vector<std::pair<Setting const*, CLI::Option*>> flags_;
};

/// The long flag of a setting: "--blk0.read-only".
[[nodiscard]] std::string flag_of(std::string_view setting);

}  // namespace axvm::inline v1
