#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// Where a device stands in the ACPI namespace, and what it says it is.
struct AcpiNode {
  Text<79> path;  ///< "\_SB.COM1"; empty: there is no such node
  Text<31> hid;   ///< _HID ([acpi/6.5] 6.1.5), an EISA id spelled out: "PNP0501"; empty when it has none
};

namespace detail {

/// Reads ACPI Machine Language as far as it takes to find named objects ([acpi/6.5] 20.2). What lies beyond the bytes
/// given reads as zeros, so that a cut-off table ends the search and nothing else.
class AmlReader {
 public:
  constexpr explicit AmlReader(ConstBytes aml) : rest_(aml) {}

  [[nodiscard]] constexpr bool empty() const { return rest_.empty(); }

  constexpr std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_ = rest_.subspan(1);
    return value;
  }
  constexpr std::uint64_t number(unsigned bytes) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= std::uint64_t{byte()} << 8 * i;
    return value;
  }
  constexpr void skip(std::uint64_t bytes) {
    rest_ = bytes < rest_.size() ? rest_.subspan(static_cast<std::size_t>(bytes)) : ConstBytes{};
  }

  /// What a PkgLength counts ([acpi/6.5] 20.2.4), and moves behind it.
  constexpr AmlReader package() {
    const std::size_t before = rest_.size();
    const std::uint8_t lead = byte();
    const unsigned more = lead >> 6;
    const std::uint64_t length = more == 0 ? lead : (lead & 0xf) | number(more) << 4;
    const std::uint64_t own = before - rest_.size();
    const std::uint64_t inside = length > own ? length - own : 0;
    AmlReader body(rest_.first(static_cast<std::size_t>(inside < rest_.size() ? inside : rest_.size())));
    skip(inside);
    return body;
  }

  /// A NameString ([acpi/6.5] 20.2.2) as ASL writes it, below `scope` unless it begins at the root.
  constexpr Text<79> name(std::string_view scope) {
    Text<79> path(scope);
    if (peek() == '\\') {
      byte();
      path = std::string_view("\\", 1);
    }
    while (peek() == '^') {
      byte();
      path = parent(path);
    }
    std::size_t count = 1;
    switch (peek()) {
      case 0x00: count = 0, byte(); break;       // NullName
      case 0x2e: count = 2, byte(); break;       // DualNamePrefix
      case 0x2f: byte(), count = byte(); break;  // MultiNamePrefix
      default: break;
    }
    for (std::size_t i = 0; i < count && !empty(); ++i) {
      char segment[4];
      std::size_t size = 0, used = 1;
      for (char& c : segment) {
        c = static_cast<char>(byte());
        if (++size > 1 && c != '_') used = size;  // short names were filled up with underscores
      }
      if (path.size() > 1) path.append(std::string_view(".", 1));
      path.append(std::string_view(segment, used));
    }
    return path;
  }

  /// A value as a _HID can be: a string, or the number of an EISA id ([acpi/6.5] 19.3.4). Moves behind a value of any
  /// kind; those that are no _HID give nothing.
  constexpr Text<31> value() {
    Text<31> text;
    switch (byte()) {
      case 0x0a: skip(1); break;  // BytePrefix
      case 0x0b: skip(2); break;  // WordPrefix
      case 0x0e: skip(8); break;  // QWordPrefix
      case 0x11:                  // BufferOp
      case 0x12:                  // PackageOp
      case 0x13: package(); break;
      case 0x0c: {  // DWordPrefix
        const std::uint32_t id = __builtin_bswap32(static_cast<std::uint32_t>(number(4)));
        const char letters[] = {letter(id >> 26), letter(id >> 21), letter(id >> 16)};
        text.append(std::string_view(letters, 3));
        for (unsigned shift = 16; shift != 0; shift -= 4) text.append(digit(id >> (shift - 4)));
        break;
      }
      case 0x0d:  // StringPrefix
        while (!empty()) {
          const char c = static_cast<char>(byte());
          if (c == 0) break;
          text.append(std::string_view(&c, 1));
        }
        break;
      default: break;  // ZeroOp, OneOp, OnesOp
    }
    return text;
  }

 private:
  [[nodiscard]] constexpr std::uint8_t peek() const {
    return rest_.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(rest_.front());
  }
  static constexpr std::string_view parent(std::string_view path) {
    while (path.size() > 1 && path.back() != '.') path.remove_suffix(1);
    if (path.size() > 1) path.remove_suffix(1);
    return path;
  }
  static constexpr char letter(std::uint32_t bits) { return static_cast<char>('A' - 1 + (bits & 0x1f)); }
  static constexpr std::string_view digit(std::uint32_t bits) { return {&"0123456789ABCDEF"[bits & 0xf], 1}; }

  ConstBytes rest_;
};

/// The first Device among these terms, or, inside a Device, its _HID. Ends at the first term that only code has.
constexpr AcpiNode find_acpi_node(AmlReader terms, std::string_view scope, bool inside_device) {
  AcpiNode node;
  while (!terms.empty() && node.path.empty()) {
    switch (terms.byte()) {
      case 0x08:  // NameOp
        if (const Text<79> path = terms.name({}), hid = terms.value();
            inside_device && path == std::string_view("_HID", 4))
          return {Text<79>(scope), Text<31>(hid)};
        break;
      case 0x10: {  // ScopeOp
        AmlReader body = terms.package();
        const Text<79> path = body.name(scope);
        if (!inside_device) node = find_acpi_node(body, path, false);
        break;
      }
      case 0x14:                          // MethodOp
      case 0xa0:                          // IfOp
      case 0xa1: terms.package(); break;  // ElseOp
      case 0x5b:                          // ExtOpPrefix
        switch (terms.byte()) {
          case 0x01: terms.name({}), terms.byte(); break;  // MutexOp
          case 0x02: terms.name({}); break;                // EventOp
          case 0x80:                                       // OpRegionOp
            terms.name({});
            terms.byte();
            terms.value();
            terms.value();
            break;
          case 0x81:                          // FieldOp
          case 0x84:                          // PowerResOp
          case 0x85:                          // ThermalZoneOp
          case 0x86:                          // IndexFieldOp
          case 0x87: terms.package(); break;  // BankFieldOp
          case 0x82: {                        // DeviceOp
            AmlReader body = terms.package();
            if (inside_device) break;
            const Text<79> path = body.name(scope);
            node = find_acpi_node(body, path, true);
            if (node.path.empty()) node.path = path;
            break;
          }
          default: return node;
        }
        break;
      default: return node;
    }
  }
  return node;
}

}  // namespace detail

/// The first device that a piece of a DSDT defines, as a device's describe_acpi writes it into \_SB. Nothing when it
/// defines none.
[[nodiscard]] constexpr AcpiNode first_acpi_node(ConstBytes aml) {
  return detail::find_acpi_node(detail::AmlReader(aml), std::string_view("\\_SB", 4), false);
}

}  // namespace axvm::inline v1
