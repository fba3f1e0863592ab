#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/core/reflect.hpp>
#include <axvm/core/text.hpp>

namespace reflect_test {

enum class Level : std::uint8_t { low, middle = 5, high = 31, beyond = 200 };
enum class Same { first, again = first, second };
enum class Nothing : int {};

struct Inner {
  int size = 8;
  bool on = true;
};
struct Outer {
  axvm::Path path;
  bool read_only = false;
  Level level = Level::low;
  std::array<int, 3> numbers{};
  Inner inner;
  std::array<Inner, 2> list;
};
struct Empty {};

template <int A, int B>
struct Device {
  enum class Mode { off, on };
  struct Config {
    int first_field = 1;
  };
};

}  // namespace reflect_test

namespace {
struct Hidden {
  int x1 = 0, _y = 0;
};
enum class HiddenKind { a, b };
}  // namespace

using namespace reflect_test;

static_assert(axvm::field_count<Outer> == 6);
static_assert(axvm::field_count<Empty> == 0);
static_assert(axvm::field_name<Outer, 0> == "path");
static_assert(axvm::field_name<Outer, 3> == "numbers");
static_assert(axvm::field_name<Outer, 5> == "list");
static_assert(axvm::field_name<Device<1, 2>::Config, 0> == "first_field");
static_assert(axvm::field_name<Hidden, 0> == "x1" && axvm::field_name<Hidden, 1> == "_y");
static_assert(axvm::member_name<&Outer::read_only> == "read_only");
static_assert(axvm::member_name<&Device<1, 2>::Config::first_field> == "first_field");

static_assert(axvm::type_name<Outer> == "Outer");
static_assert(axvm::type_name<Device<1, 2>> == "Device");
static_assert(axvm::type_name<Device<1, 2>::Config> == "Config");
static_assert(axvm::type_name<Hidden> == "Hidden");
static_assert(axvm::type_name<axvm::Text<5>> == "Text");
static_assert(axvm::type_name<int> == "int");

TEST_CASE("reflect: the fields of an aggregate, in order, by reference") {
  Outer outer;
  std::vector<std::string> names;
  axvm::for_each_field(outer, [&]<class Field>(std::string_view name, Field& field) {
    names.emplace_back(name);
    if constexpr (std::is_same_v<Field, bool>) field = true;
    if constexpr (std::is_same_v<Field, Inner>) field.size = 9;
  });
  CHECK(names == std::vector<std::string>{"path", "read_only", "level", "numbers", "inner", "list"});
  CHECK(outer.read_only);
  CHECK(outer.inner.size == 9);
  Outer const& constant = outer;
  int fields = 0;
  axvm::for_each_field(constant, [&](std::string_view, auto const&) { ++fields; });
  CHECK(fields == 6);
  Empty empty;
  axvm::for_each_field(empty, [&](std::string_view, auto&) { FAIL("an empty structure has no field"); });
}

TEST_CASE("reflect: the enumerators of an enumeration") {
  auto const& levels = axvm::enumerators_of<Level>;
  REQUIRE(levels.size() == 3);  // those above 31 are not searched
  CHECK(levels[0].name == "low");
  CHECK(levels[0].value == 0);
  CHECK(levels[1].name == "middle");
  CHECK(levels[1].value == 5);
  CHECK(levels[2].name == "high");
  CHECK(levels[2].value == 31);
  CHECK(axvm::enumerators_of<Same>.size() == 2);
  CHECK(axvm::enumerators_of<Same>[1].name == "second");
  CHECK(axvm::enumerators_of<Nothing>.size() == 0);
  REQUIRE(axvm::enumerators_of<Device<1, 2>::Mode>.size() == 2);  // an enumeration in a class template
  CHECK(axvm::enumerators_of<Device<1, 2>::Mode>[1].name == "on");
  REQUIRE(axvm::enumerators_of<HiddenKind>.size() == 2);
  CHECK(axvm::enumerators_of<HiddenKind>[1].name == "b");
  CHECK(axvm::enumerators_of<HiddenKind>[1].value == 1);
}
