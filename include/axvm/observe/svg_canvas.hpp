#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <axvm/core/text.hpp>
#include <axvm/observe/notation.hpp>

namespace axvm::inline v1 {

/// Where a text stands in relation to its point.
enum class SvgAnchor : std::uint8_t { Start, Middle, End };

/// Writes the elements of an SVG picture ([w3c/svg11]). Coordinates are whole pixels from the upper left corner. How
/// things look is said by classes of a style sheet, so that who embeds the picture can change it.
class SvgCanvas {
 public:
  /// The advance of a character of `size` pixels in the fixed-width fonts asked for, in pixels, rounded up.
  static constexpr int text_width(std::size_t characters, int size) {
    return (static_cast<int>(characters) * size * 61 + 99) / 100;
  }
  /// How many characters of `size` pixels fit into a width.
  static constexpr std::size_t characters_in(int width, int size) {
    return width > 0 ? static_cast<std::size_t>(width * 100 / (size * 61)) : 0;
  }

  /// A rectangle; `tip` is shown when the pointer rests on it.
  [[gnu::cold]] void rectangle(std::string_view style, int x, int y, int width, int height, std::string_view tip = {}) {
    open("rect", style);
    number("x", x), number("y", y), number("width", width), number("height", height);
    close("rect", tip);
  }

  [[gnu::cold]] void line(std::string_view style, int x1, int y1, int x2, int y2) {
    open("line", style);
    number("x1", x1), number("y1", y1), number("x2", x2), number("y2", y2);
    close("line", {});
  }

  /// One line of text with its base line at `y`, cut to `characters`; `tip` as above.
  void text(std::string_view style, int x, int y, std::string_view what, std::size_t characters,
            SvgAnchor anchor = SvgAnchor::Start) {
    if (characters == 0) return;
    const std::string shown = notation::shorten(what, characters);
    open("text", style);
    number("x", x), number("y", y);
    if (anchor != SvgAnchor::Start)
      out_.append(anchor == SvgAnchor::Middle ? " text-anchor=\"middle\"" : " text-anchor=\"end\"");
    out_ += '>';
    if (shown != what) element("title", what);
    escape(shown);
    out_ += "</text>\n";
  }

  /// The whole picture, with a white ground, `title` for readers that do not see it, and `style`: a CSS style sheet.
  /// `definitions` are elements for the style sheet to refer to.
  [[nodiscard]] std::string finish(int width, int height, std::string_view title, std::string_view style,
                                   std::string_view definitions) && {
    SvgCanvas whole;
    const std::string w = std::to_string(width), h = std::to_string(height);
    whole.out_.append("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"").append(w).append("\" height=\"").append(h);
    whole.out_.append("\" viewBox=\"0 0 ").append(w).append(" ").append(h).append("\" role=\"img\">\n");
    whole.element("title", title);
    whole.out_.append("\n<style>\n").append(style).append("</style>\n");
    whole.out_.append("<defs>\n").append(definitions).append("</defs>\n");
    whole.rectangle("ground", 0, 0, width, height);
    return std::move(whole.out_).append(out_).append("</svg>\n");
  }

 private:
  void open(std::string_view element, std::string_view style) {
    out_.append("<").append(element).append(" class=\"").append(style).append("\"");
  }
  void number(std::string_view name, int value) {
    out_.append(" ").append(name).append("=\"").append(std::to_string(value)).append("\"");
  }
  void close(std::string_view name, std::string_view tip) {
    if (tip.empty()) {
      out_ += "/>\n";
      return;
    }
    out_ += '>';
    element("title", tip);
    out_.append("</").append(name).append(">\n");
  }
  [[gnu::cold]] void element(std::string_view name, std::string_view contents) {
    out_.append("<").append(name).append(">");
    escape(contents);
    out_.append("</").append(name).append(">");
  }
  [[gnu::cold]] void escape(std::string_view text) {
    for (char c : text) {
      if (c == '<') out_ += "&lt;";
      else if (c == '>') out_ += "&gt;";
      else if (c == '&') out_ += "&amp;";
      else if (static_cast<unsigned char>(c) >= 0x20) out_ += c;  // XML has no way to write the others
    }
  }

  std::string out_;
};

}  // namespace axvm::inline v1
