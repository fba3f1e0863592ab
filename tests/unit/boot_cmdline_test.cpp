#include <string>

#include <doctest/doctest.h>

#include <axvm/boot/cmdline.hpp>

using namespace axvm;
using boot::join_command_line;

TEST_CASE("the appended text follows the default after one space") {
  CHECK(join_command_line("console=ttyS0", "quiet")->view() == "console=ttyS0 quiet");
  CHECK(join_command_line(" a  b \n", "\t c ")->view() == "a  b c");
  CHECK(join_command_line("a", "")->view() == "a");
  CHECK(join_command_line("", " b")->view() == "b");
  CHECK(join_command_line(" ", "\n")->view().empty());
}

TEST_CASE("a zero byte is refused, with its position") {
  auto joined = join_command_line("a", std::string_view("b\0c", 3));
  REQUIRE_FALSE(joined);
  CHECK(joined.error().code == ErrorCode::InvalidArgument);
  CHECK(joined.error().operation.view().find("position 1 of 3") != std::string_view::npos);
  CHECK_FALSE(join_command_line(std::string_view("\0", 1), "a"));
}

TEST_CASE("a command line that is too long is refused, not cut") {
  std::string text(2047, 'x');
  CHECK(join_command_line(text, text)->size() == 4095);
  auto joined = join_command_line(text, text + "y");
  REQUIRE_FALSE(joined);
  CHECK(joined.error().code == ErrorCode::OutOfRange);
  CHECK(joined.error().operation.view().find("4096 bytes, at most 4095") != std::string_view::npos);
}
