#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

#include <axvm/core/field.hpp>
#include <axvm/core/nearest_name.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// A value as text.
using SettingText = Text<max_setting_text>;

/// One field of a configuration, or of a device's state, while the program runs: its name, what it may be, and where
/// its value is. Command line, machine file and control interface all work on these and know no configuration type.
class Setting {
 public:
  Text<79> name;                   ///< of the whole machine's configuration: "memory", "blk0.read_only"
  FieldNotes notes;                ///< help, unit, range, short flag
  std::string_view owner{};        ///< the class of the device that it belongs to: "VirtioBlk"; empty for no device's
  void* value = nullptr;           ///< the field itself
  void const* fallback = nullptr;  ///< the same field with its default value; null for a part of a device's state

  /// Whether it is a part of a device's state: it has no default, and an enumeration may have a value without a name,
  /// which is written as a number.
  [[nodiscard]] bool is_state() const { return fallback == nullptr; }

  [[nodiscard]] ValueKind kind() const {
    const bool bytes = notes.type->kind == ValueKind::Integer && notes.unit == std::string_view("bytes", 5);
    return bytes ? ValueKind::Size : notes.type->kind;
  }
  /// Whether it holds a list of values, `notes.count` of them.
  [[nodiscard]] bool is_list() const { return notes.count != 1; }

  /// Reads the value from a text; a list is written `1,2,3`. Nothing changes for a bad one, whose error says what is
  /// wrong with it (`operation`) and what to write (`hint`) but not where it stood: the caller knows.
  [[nodiscard]] Result<> set(std::string_view text) const;
  /// Reads value `index` of a list.
  [[nodiscard]] Result<> set(std::size_t index, std::string_view text) const;

  /// The value as text, such as set() reads.
  [[nodiscard]] SettingText text() const { return list_text(value); }
  /// The default as text; empty for an empty one and where there is none.
  [[nodiscard]] SettingText default_text() const { return is_state() ? SettingText{} : list_text(fallback); }
  /// Value `index` of a list.
  [[nodiscard]] SettingText text(std::size_t index) const { return one_text(at(value, index)); }

  /// What values it takes, as a phrase: "strict or warn", "1 to 20", "1M or more, a multiple of 4K"; empty for all that
  /// its kind allows.
  [[nodiscard]] Text<255> allowed() const;

  /// The field's help with unit, default and allowed values: "guest memory (bytes, or with K, M, G, T; default 512M)".
  /// Of a part of a state help, unit and allowed values, as far as anything was said of it.
  [[nodiscard]] Text<511> summary() const;

 private:
  /// The bounds of a number, with the field's type taken into account, as 64 bits of its signedness.
  struct Range {
    std::uint64_t low = 0, high = 0;
  };

  template <class Pointer>
  [[nodiscard]] Pointer* at(Pointer* base, std::size_t index) const {
    using Byte = std::conditional_t<std::is_const_v<Pointer>, std::byte const, std::byte>;
    return static_cast<Byte*>(base) + index * notes.type->size;
  }

  [[nodiscard]] Range range() const;
  [[nodiscard]] Result<std::uint64_t> parse(std::string_view text) const;
  [[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text) const;
  [[nodiscard]] Result<std::uint64_t> parse_enumerator(std::string_view text) const;
  [[nodiscard]] Result<> check_text(std::string_view text) const;
  [[nodiscard]] Text<31> number_text(std::uint64_t number) const;
  [[nodiscard]] SettingText one_text(void const* from) const;
  [[nodiscard]] SettingText list_text(void const* from) const;
};

/// The setting of this name, or null.
inline Setting const* find_setting(std::span<const Setting> settings, std::string_view name) {
  for (Setting const& setting : settings)
    if (setting.name == name) return &setting;
  return nullptr;
}

}  // namespace axvm::inline v1

#include <axvm/core/setting_text.hpp>
