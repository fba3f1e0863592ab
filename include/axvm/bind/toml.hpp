#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/core/error.hpp>
#include <axvm/core/setting.hpp>

// Settings in a machine file, and saved states in a file of their own, with toml++. Declarations only: one source file
// of the program includes toml_source.hpp, which defines them, so that toml++ is compiled once however many machines
// there are.
//
// "memory" is a key of the file itself, "blk0.read_only" the key read_only of the table [blk0]. Sizes are strings such
// as "512M", or integers in bytes; enumerations are strings; lists are arrays.

namespace axvm::inline v1 {

/// What to make of settings that a file does not name.
enum class MissingKeys : std::uint8_t {
  keep,    ///< they stay as they are: a machine file says what differs from the defaults
  report,  ///< each is an error: half a state is none
};

/// Sets what a machine file says. Returns everything that is wrong with it, each with file, line and key: no valid
/// TOML, unknown keys, values of the wrong type or out of range; with `report` also the keys that are missing, or the
/// table where all of a device's are. What was right is set all the same: read into a copy what must stay as it is.
[[nodiscard]] std::vector<Error> read_toml(std::string const& path, std::span<const Setting> settings,
                                           MissingKeys missing = MissingKeys::keep);

/// The same from text; `name` stands for the file in errors.
[[nodiscard]] std::vector<Error> read_toml_text(std::string_view text, std::string_view name,
                                                std::span<const Setting> settings,
                                                MissingKeys missing = MissingKeys::keep);

/// A complete file of the present values: read_toml() of it gives the same settings. Each key has its help, default and
/// allowed values as a comment, and each device's tables the name of its class; `heading` comes first, as comment
/// lines. (TOML is UTF-8: a text that is not makes a file that cannot be read.)
[[nodiscard]] std::string write_toml(std::span<const Setting> settings, std::string_view heading);

}  // namespace axvm::inline v1
