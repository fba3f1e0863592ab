#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/name.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1::acpi {

/// The encodings that every piece of ACPI Machine Language is made of ([acpi/6.5] 20.2): opcodes, integers, strings,
/// names and packages with their length. Writes into memory of the caller, never beyond it. What goes wrong (no room,
/// a name or a value that cannot be expressed) is remembered and told by status() at the end.
class AmlStream {
 public:
  constexpr explicit AmlStream(Bytes storage) : out_(storage) {}

  /// Bytes written so far, those that found no room included.
  [[nodiscard]] constexpr std::size_t size() const { return out_.size(); }
  /// The encoded bytes.
  [[nodiscard]] constexpr ConstBytes written() const { return out_.written(); }

  /// The first thing that could not be expressed, with the object it was in, or how much room there should have been.
  [[nodiscard, AXVM_ONCE]] constexpr Result<> status() const {
    if (!fault_.empty())
      return failure(ErrorCode::InvalidArgument,
                     text<1023>("write AML of ", fault_object_.view(), ": ", fault_.view()));
    if (out_.overflowed())
      return failure(ErrorCode::OutOfMemory,
                     text<1023>("write AML: ", out_.size(), " bytes do not fit into ", out_.capacity()));
    return {};
  }
  /// Records that something cannot be expressed; the first record stays.
  [[gnu::noinline, gnu::cold]] constexpr void fail(std::string_view what) {
    if (!fault_.empty()) return;
    fault_ = what;
    fault_object_ = object_.empty() ? std::string_view{"the root", 8} : object_.view();
  }
  /// The same with a literal, whose length needs no search.
  template <std::size_t N>
  constexpr void fail(char const (&what)[N]) {
    fail(std::string_view(what, N - 1));
  }

  /// One byte: an opcode, a flag, a raw field.
  [[gnu::noinline, gnu::cold]] constexpr void byte(std::uint8_t value) { out_.put<std::uint8_t>(value); }
  /// The two bytes of an extended opcode, ExtOpPrefix first.
  constexpr void extended(std::uint8_t opcode) {
    byte(0x5b);
    byte(opcode);
  }
  /// Bytes as they are.
  constexpr void bytes(ConstBytes values) { out_.put_bytes(values); }

  /// An integer in its smallest encoding; all 64 bits set is Ones.
  [[gnu::noinline, gnu::cold]] constexpr void integer(std::uint64_t value) {
    if (value == 0) byte(0x00);                               // ZeroOp
    else if (value == 1) byte(0x01);                          // OneOp
    else if (value == ~std::uint64_t{0}) byte(0xff);          // OnesOp
    else if (value <= 0xff) prefixed(0x0a, value, 1);         // BytePrefix
    else if (value <= 0xffff) prefixed(0x0b, value, 2);       // WordPrefix
    else if (value <= 0xffff'ffff) prefixed(0x0c, value, 4);  // DWordPrefix
    else prefixed(0x0e, value, 8);                            // QWordPrefix
  }

  /// A string of the ASCII characters 1 to 0x7f.
  constexpr void string(std::string_view value) {
    byte(0x0d);  // StringPrefix
    for (char c : value) {
      if (c <= 0) fail("a string holds only the ASCII characters 1 to 0x7f");
      byte(static_cast<std::uint8_t>(c));
    }
    byte(0);
  }

  /// A NameString.
  [[gnu::noinline, gnu::cold]] constexpr void path(NamePath const& name) {
    if (name.encoded().empty()) fail("the number of an instance has more digits than a name has room for");
    for (char c : name.encoded()) byte(static_cast<std::uint8_t>(c));
  }

  /// What `body` writes, preceded by its PkgLength in the smallest encoding (one to four bytes, its own included).
  template <class Body>
  constexpr void package(Body&& body) {
    std::size_t start = size();
    byte(0);
    body();
    std::uint64_t length = size() - start - 1;
    std::size_t width = length + 1 <= 0x3f ? 1 : length + 2 <= 0xfff ? 2 : length + 3 <= 0xf'ffff ? 3 : 4;
    if (length + width > 0xfff'ffff) fail("a package has at most 0xfffffff bytes");
    if (width > 1) out_.insert(start + 1, width - 1);
    put_package_length(start, length + width, width);
  }

  /// A number in the encoding of a PkgLength, as the widths of fields have it: 0 to 0xfffffff.
  [[gnu::noinline, gnu::cold]] constexpr void package_length(std::uint64_t value) {
    if (value > 0xfff'ffff) fail("a field is at most 0xfffffff bits wide");
    std::size_t width = value <= 0x3f ? 1 : value <= 0xfff ? 2 : value <= 0xf'ffff ? 3 : 4;
    std::size_t start = size();
    for (std::size_t i = 0; i < width; ++i) byte(0);
    put_package_length(start, value, width);
  }

  /// What `body` writes belongs to the object `name`, which messages then name.
  template <class Body>
  constexpr void within(NamePath const& name, Body&& body) {
    Text<4> outer = object_;
    object_ = name.last();
    body();
    object_ = outer;
  }

 private:
  constexpr void prefixed(std::uint8_t prefix, std::uint64_t value, unsigned width) {
    byte(prefix);
    for (unsigned i = 0; i < width; ++i) byte(static_cast<std::uint8_t>(value >> (8 * i) & 0xff));
  }

  [[gnu::noinline, gnu::cold]] constexpr void put_package_length(std::size_t at, std::uint64_t value,
                                                                 std::size_t width) {
    if (width == 1) {
      out_.overwrite(at, static_cast<std::uint8_t>(value));
      return;
    }
    // The first byte has the number of bytes that follow and the lowest four bits.
    out_.overwrite(at, static_cast<std::uint8_t>((width - 1) << 6 | (value & 0xf)));
    for (std::size_t i = 1; i < width; ++i)
      out_.overwrite(at + i, static_cast<std::uint8_t>(value >> (4 + 8 * (i - 1)) & 0xff));
  }

  ByteWriter out_;
  Text<4> object_;
  Text<16> fault_object_;
  Text<127> fault_;
};

}  // namespace axvm::inline v1::acpi
