#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <axvm/acpi/aml_stream.hpp>
#include <axvm/acpi/eisa_id.hpp>
#include <axvm/acpi/name.hpp>
#include <axvm/core/bytes.hpp>

namespace axvm::inline v1::acpi {

/// Knows its own encoding: a type of ours (Package, ResourceTemplate, ...) or of a device author.
template <class T>
concept HasAml = requires(T const& term, AmlStream& out) { term.to_aml(out); };

namespace detail {
template <class T>
inline constexpr bool is_literal = false;
template <std::size_t N>
inline constexpr bool is_literal<char[N]> = true;

// How a value is kept inside another one: a literal as a string_view, everything else as itself.
template <class T>
struct Kept {
  using type = T;
};
template <std::size_t N>
struct Kept<char[N]> {
  using type = std::string_view;
};
}  // namespace detail

/// A string: a literal, a string_view, a Text; not a `char const*`, whose length would have to be searched for.
template <class T>
concept StringTerm = detail::is_literal<T> || (std::is_class_v<T> && std::convertible_to<T const&, std::string_view>);

/// What may stand where AML wants a value: an integer (negative ones as 64-bit two's complement), a string, an EisaId,
/// a NamePath as a reference to an object, or what knows its own encoding.
template <class T>
concept Term = (std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>) || StringTerm<T> ||
               std::same_as<T, EisaId> || std::same_as<T, NamePath> || std::same_as<T, NameSeg> || HasAml<T>;

/// The type in which an operand of type `T` is kept.
template <Term T>
using Operand = typename detail::Kept<T>::type;

/// Writes a value.
template <Term T>
constexpr void encode(AmlStream& out, T const& value) {
  if constexpr (HasAml<T>) value.to_aml(out);
  else if constexpr (std::integral<T>) out.integer(static_cast<std::uint64_t>(value));
  else if constexpr (std::same_as<T, EisaId>) out.integer(value.value());
  else if constexpr (std::same_as<T, NamePath> || std::same_as<T, NameSeg>) out.path(value);
  else if constexpr (detail::is_literal<T>) out.string({value, sizeof(value) - 1});
  else out.string(value);
}

/// `value` as an operand: a literal becomes a string_view.
template <Term T>
constexpr Operand<T> operand(T const& value) {
  if constexpr (detail::is_literal<T>) return {value, sizeof(value) - 1};
  else return value;
}

/// ArgN: the argument 0 to 6 of the method.
struct Arg {
  std::uint8_t index = 0;

  constexpr explicit Arg(std::uint8_t n) : index(n) {}
  constexpr void to_aml(AmlStream& out) const {
    if (index > 6) out.fail("a method has the arguments Arg0 to Arg6");
    out.byte(static_cast<std::uint8_t>(0x68 + index));
  }
};

/// LocalN: the local variable 0 to 7 of the method.
struct Local {
  std::uint8_t index = 0;

  constexpr explicit Local(std::uint8_t n) : index(n) {}
  constexpr void to_aml(AmlStream& out) const {
    if (index > 7) out.fail("a method has the variables Local0 to Local7");
    out.byte(static_cast<std::uint8_t>(0x60 + index));
  }
};

/// What a Store or Notify is directed at, SuperName: an Arg, a Local, or the path of an object.
class SuperName {
 public:
  constexpr SuperName(Arg arg) : variable_(static_cast<std::uint8_t>(0x68 + arg.index)) {  // NOLINT
    known_ = arg.index <= 6;
  }
  constexpr SuperName(Local local) : variable_(static_cast<std::uint8_t>(0x60 + local.index)) {  // NOLINT
    known_ = local.index <= 7;
  }
  constexpr SuperName(NamePath const& path) : path_(path) {}  // NOLINT(google-explicit-constructor)
  constexpr SuperName(NameSeg name) : path_(name) {}          // NOLINT(google-explicit-constructor)
  template <std::size_t N>
  consteval SuperName(char const (&literal)[N]) : path_(literal) {}  // NOLINT(google-explicit-constructor)

  constexpr void to_aml(AmlStream& out) const {
    if (!known_) out.fail("a method has Arg0 to Arg6 and Local0 to Local7");
    if (variable_ != 0) out.byte(variable_);
    else out.path(path_);
  }

 private:
  NamePath path_ = "\\";
  std::uint8_t variable_ = 0;
  bool known_ = true;
};

/// Package: a list of at most 255 values. `Package(5, 5, 0, 0)`. A string_view's characters must outlive it.
template <Term... Ts>
struct Package {
  static_assert(sizeof...(Ts) <= 255, "axvm: an ACPI Package has at most 255 elements");
  std::tuple<Operand<Ts>...> elements;

  constexpr explicit Package(Ts const&... each) : elements(operand(each)...) {}
  constexpr void to_aml(AmlStream& out) const {
    out.byte(0x12);  // PackageOp
    out.package([&] {
      out.byte(static_cast<std::uint8_t>(sizeof...(Ts)));
      std::apply([&out](auto const&... each) { (encode(out, each), ...); }, elements);
    });
  }
};

/// A Package of `count` (at most 255) values that `each(AmlStream&, index)` writes, one per call: a _PRT, for example.
template <class Each>
struct PackageOf {
  std::size_t count = 0;
  Each each;

  constexpr PackageOf(std::size_t n, Each writer) : count(n), each(writer) {}
  constexpr void to_aml(AmlStream& out) const {
    if (count > 255) out.fail("a Package has at most 255 elements");
    out.byte(0x12);  // PackageOp
    out.package([&] {
      out.byte(static_cast<std::uint8_t>(count));
      for (std::size_t i = 0; i < count; ++i) each(out, i);
    });
  }
};

/// Buffer: bytes as they are. They must outlive it.
struct Buffer {
  ConstBytes contents;

  constexpr explicit Buffer(ConstBytes bytes) : contents(bytes) {}
  constexpr void to_aml(AmlStream& out) const {
    out.byte(0x11);  // BufferOp
    out.package([&] {
      out.integer(contents.size());
      out.bytes(contents);
    });
  }
};

/// An operator with its operands, in Polish notation. Made by the functions below.
template <Term... Ts>
struct Operation {
  std::uint8_t opcode = 0;
  bool has_target = false;  ///< arithmetic operators have a place for the result, always left empty here
  std::tuple<Operand<Ts>...> operands;

  constexpr Operation(std::uint8_t code, bool with_target, Ts const&... each)
      : opcode(code), has_target(with_target), operands(operand(each)...) {}
  constexpr void to_aml(AmlStream& out) const {
    out.byte(opcode);
    std::apply([&out](auto const&... each) { (encode(out, each), ...); }, operands);
    if (has_target) out.byte(0x00);  // NullName
  }
};

/// LEqual: Ones when the operands are equal, otherwise Zero.
template <Term A, Term B>
constexpr auto equal(A const& a, B const& b) {
  return Operation<A, B>(0x93, false, a, b);
}
/// LGreater: a > b.
template <Term A, Term B>
constexpr auto greater(A const& a, B const& b) {
  return Operation<A, B>(0x94, false, a, b);
}
/// LLess: a < b.
template <Term A, Term B>
constexpr auto less(A const& a, B const& b) {
  return Operation<A, B>(0x95, false, a, b);
}
/// LAnd.
template <Term A, Term B>
constexpr auto logical_and(A const& a, B const& b) {
  return Operation<A, B>(0x90, false, a, b);
}
/// LOr.
template <Term A, Term B>
constexpr auto logical_or(A const& a, B const& b) {
  return Operation<A, B>(0x91, false, a, b);
}
/// LNot.
template <Term A>
constexpr auto logical_not(A const& a) {
  return Operation<A>(0x92, false, a);
}
/// Add.
template <Term A, Term B>
constexpr auto add(A const& a, B const& b) {
  return Operation<A, B>(0x72, true, a, b);
}
/// Subtract: a - b.
template <Term A, Term B>
constexpr auto subtract(A const& a, B const& b) {
  return Operation<A, B>(0x74, true, a, b);
}
/// And, bit by bit.
template <Term A, Term B>
constexpr auto bit_and(A const& a, B const& b) {
  return Operation<A, B>(0x7b, true, a, b);
}
/// Or, bit by bit.
template <Term A, Term B>
constexpr auto bit_or(A const& a, B const& b) {
  return Operation<A, B>(0x7d, true, a, b);
}

/// A call of a method as a value, with as many arguments as the method has.
template <Term... Ts>
struct Call {
  NamePath method;
  std::tuple<Operand<Ts>...> arguments;

  constexpr explicit Call(NamePath const& name, Ts const&... each) : method(name), arguments(operand(each)...) {}
  constexpr void to_aml(AmlStream& out) const {
    out.path(method);
    std::apply([&out](auto const&... each) { (encode(out, each), ...); }, arguments);
  }
};

}  // namespace axvm::inline v1::acpi
