#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace axvm::inline v1 {

/// Writes JSON ([rfc8259]) piece by piece, indented for reading. The caller opens and closes what it opened; commas and
/// escapes come by themselves.
///
///     JsonWriter json;
///     json.object([&] { json.key("vcpus").value(4); json.key("disks").array([&] { json.value("a.img"); }); });
class JsonWriter {
 public:
  /// The name of the member of an object that comes next.
  JsonWriter& key(std::string_view name) {
    next();
    string(name);
    out_ += ": ";
    after_key_ = true;
    return *this;
  }

  template <class Body>
  void object(Body const& body) {
    nest('{', '}', body);
  }
  template <class Body>
  void array(Body const& body) {
    nest('[', ']', body);
  }

  /// A string of valid UTF-8.
  void value(std::string_view text) {
    next();
    string(text);
  }
  template <std::same_as<bool> Boolean>
  void value(Boolean truth) {
    next();
    out_ += truth ? "true" : "false";
  }
  template <std::integral Number>
    requires(!std::same_as<Number, bool> && !std::same_as<Number, char>)
  void value(Number number) {
    next();
    out_ += std::to_string(number);
  }
  void null() {
    next();
    out_ += "null";
  }

  /// All that was written, with a newline at the end.
  [[nodiscard]] std::string str() const { return out_ + "\n"; }

 private:
  /// Puts a value where it belongs: behind its key, or on a line of its own behind a comma.
  [[gnu::cold]] void next() {
    if (!after_key_ && depth_ != 0) {
      if (!first_) out_ += ',';
      new_line();
    }
    after_key_ = first_ = false;
  }
  template <class Body>
  void nest(char open, char close, Body const& body) {
    next();
    out_ += open;
    ++depth_;
    first_ = true;
    body();
    --depth_;
    if (!first_) new_line();
    first_ = false;
    out_ += close;
  }
  void new_line() { out_.append("\n").append(2 * depth_, ' '); }

  [[gnu::cold]] void string(std::string_view text) {
    out_ += '"';
    for (char c : text) {
      constexpr std::string_view digits = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') out_.append(1, '\\').append(1, c);
      else if (byte < 0x20 || byte == 0x7f)
        out_.append("\\u00").append(1, digits[byte >> 4]).append(1, digits[byte & 0xf]);
      else out_ += c;
    }
    out_ += '"';
  }

  std::string out_;
  std::size_t depth_ = 0;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace axvm::inline v1
