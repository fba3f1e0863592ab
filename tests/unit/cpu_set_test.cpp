#include <string>

#include <doctest/doctest.h>

#include <axvm/core/core.hpp>
#include <axvm/host/host.hpp>
#include <axvm/placement/placement.hpp>

using namespace axvm;

namespace {

std::string canonical(std::string_view list) { return to_string(CpuSet::parse(list).value()); }
std::string pin(std::string_view text) { return to_string(PinOption::parse(text).value()); }
std::string numa(std::string_view text) { return to_string(NumaOption::parse(text).value()); }

template <class Option>
std::string wrong(std::string_view text) {
  const auto parsed = Option::parse(text);
  if (parsed) return "accepted";
  return std::string(parsed.error().operation.view());
}

}  // namespace

static_assert(CpuSet::parse("0-3,8").value().count() == 5);
static_assert(CpuSet::parse("0-3,8").value().list() == "0-3,8");
static_assert(CpuSet::parse("").value().empty());
static_assert(!CpuSet::parse("x"));

TEST_CASE("CPU set: lists are read and written back in order, with ranges") {
  CHECK(canonical("") == "");
  CHECK(canonical("7") == "7");
  CHECK(canonical("0-3,8,10-11") == "0-3,8,10-11");
  CHECK(canonical("11,10,8,3,2-2,1,0") == "0-3,8,10-11");
  CHECK(canonical("0-63,64-127") == "0-127");
  CHECK(canonical("63,65") == "63,65");
  CHECK(canonical("0-8191") == "0-8191");
  CHECK(canonical("8191") == "8191");
  CHECK(canonical("007") == "7");
}

TEST_CASE("CPU set: what is no list is refused with the part that is wrong") {
  for (std::string_view bad :
       {"a", "-", "-3", "3-", "1,,2", ",1", "1-2-3", "1 ", " 1", "0x1", "+1", "1;2", "0-3:1/2"}) {
    CAPTURE(std::string(bad));
    const auto parsed = CpuSet::parse(bad);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == ErrorCode::InvalidArgument);
    CHECK(parsed.error().operation.view().find("is not a number or a range") != std::string_view::npos);
    CHECK(parsed.error().hint == "write a list such as 0-3,8");
  }
  CHECK(wrong<CpuSet>("1,2,") == "'2' is followed by a comma and nothing");
  CHECK(wrong<CpuSet>("1,5-3") == "'5-3' runs backwards");
}

TEST_CASE("CPU set: numbers of any size cost nothing and are refused") {
  for (std::string_view large : {"8192", "0-8192", "4294967296", "0-18446744073709551615",
                                 "99999999999999999999999999-1", "0-99999999999999999999999999999999999999"}) {
    const auto parsed = CpuSet::parse(large);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == ErrorCode::OutOfRange);
    CHECK(parsed.error().hint == "numbers go up to 8191");
  }
  CHECK(wrong<CpuSet>(std::string(100'000, '9')).size() < 100);
}

TEST_CASE("CPU set: members, neighbours and the operations of sets") {
  CpuSet set = CpuSet::range(60, 70);
  CHECK(set.count() == 11);
  CHECK(set.has(60));
  CHECK(set.has(70));
  CHECK_FALSE(set.has(59));
  CHECK_FALSE(set.has(71));
  CHECK_FALSE(set.has(100'000));
  CHECK_FALSE(set.add(CpuSet::capacity));
  CHECK(set.add(CpuSet::capacity - 1));
  CHECK(set.next(71) == CpuSet::capacity - 1);
  set.remove(CpuSet::capacity - 1);
  CHECK(set.next(71) == CpuSet::capacity);
  CHECK(set.first() == 60);
  CHECK((set & CpuSet::range(0, 63)) == CpuSet::range(60, 63));
  CHECK((set - CpuSet::range(0, 63)) == CpuSet::range(64, 70));
  CHECK((CpuSet::range(0, 1) | CpuSet::range(3, 3)).list() == "0-1,3");
  CHECK(CpuSet::range(5, 4).empty());
  CHECK(CpuSet::range(8190, 1'000'000'000).count() == 2);
  CHECK((set.words()[0] >> 60) == 0xf);
}

TEST_CASE("CPU set: a text too short for the list says so and ends with a whole number") {
  CpuSet even;
  for (unsigned i = 0; i < 200; i += 2) even.add(i);
  const Text<10> list = even.list<10>();
  CHECK(list == "0,2,4,6,8,");
  CHECK(list.truncated());
}

TEST_CASE("--pin: a list keeps its order, and prints as it was meant") {
  CHECK(pin("auto") == "auto");
  CHECK(pin("none") == "none");
  CHECK(pin("0-3,8") == "0-3,8");
  CHECK(pin("8,0,1,2,3") == "8,0-3");
  CHECK(pin("0,20,1,21") == "0,20,1,21");
  CHECK(PinOption::parse("3,1").value().cpus == std::vector<unsigned>{3, 1});
  CHECK(PinOption::parse(pin("5,4,3-3")).value() == PinOption::parse("5,4,3").value());
}

TEST_CASE("--pin: what is wrong is said") {
  CHECK(wrong<PinOption>("") == "read --pin: the list is empty");
  CHECK(wrong<PinOption>("automatic") == "read --pin: 'automatic' is not auto, none or a list");
  CHECK(wrong<PinOption>("0-3,2") == "read --pin: CPU 2 is listed twice");
  CHECK(wrong<PinOption>("0-3,x1") == "read --pin: 'x1' is not a number or a range");
  CHECK(wrong<PinOption>("0-100000") == "read --pin: '0-100000' is too large");
}

TEST_CASE("--numa: nodes with lists in them are read and printed") {
  CHECK(numa("auto") == "auto");
  CHECK(numa("off") == "off");
  CHECK(numa("0:2G:0-3,1:2048M:4-7") == "0:2G:0-3,1:2G:4-7");
  CHECK(numa("1:512M:0,2,4,0:1536M:1,3,5-7") == "1:512M:0,2,4,0:1536M:1,3,5-7");
  const NumaOption option = NumaOption::parse("3:1T:9,0:4096:0-8").value();
  REQUIRE(option.nodes.size() == 2);
  CHECK(option.nodes[0].host_node == 3);
  CHECK(option.nodes[0].memory == TiB);
  CHECK(option.nodes[0].vcpus == CpuSet::range(9, 9));
  CHECK(option.nodes[1].memory == 4096);
  CHECK(NumaOption::parse(to_string(option)).value() == option);
}

TEST_CASE("--numa: what is wrong is said") {
  CHECK(wrong<NumaOption>("") == "read --numa: '' is not auto, off or nodes");
  CHECK(wrong<NumaOption>("on") == "read --numa: 'on' is not auto, off or nodes");
  CHECK(wrong<NumaOption>("0:2G") == "read --numa: '0:2G' is not NODE:MEM:CPUS");
  CHECK(wrong<NumaOption>("0:2G:0:1") == "read --numa: '0:2G:0:1' is not NODE:MEM:CPUS");
  CHECK(wrong<NumaOption>("x:2G:0") == "read --numa: 'x:2G:0' does not begin with the number of a host node");
  CHECK(wrong<NumaOption>("99999:2G:0") == "read --numa: '99999:2G:0' does not begin with the number of a host node");
  for (std::string_view size : {"", "2X", "0", "G", "99999999999999999999", "20000000T", "-1"})
    CHECK(wrong<NumaOption>("0:" + std::string(size) + ":0") ==
          "read --numa: '0:" + std::string(size) + ":0' has no size between its colons");
  CHECK(wrong<NumaOption>("0:2G:") == "read --numa: '0:2G:' names no vCPUs");
  CHECK(wrong<NumaOption>("0:2G:0,") == "read --numa: '0' is followed by a comma and nothing");
  CHECK(wrong<NumaOption>("0:2G:0-3,1:2G:3-4") == "read --numa: vCPU 3 is on two nodes");
  std::string many;
  for (unsigned i = 0; i < 33; ++i) many += (i == 0 ? "" : ",") + ("0:1M:" + std::to_string(i));
  CHECK(wrong<NumaOption>(many) == "read --numa: more than 32 nodes");
}
