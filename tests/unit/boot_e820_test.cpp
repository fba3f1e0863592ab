#include <doctest/doctest.h>

#include "boot_image.hpp"

using namespace axvm;
using boot::E820Map;
using enum boot::E820Type;

namespace {
using Ranges = std::vector<boot::E820Range>;
Ranges ranges(E820Map const& map) { return {map.ranges().begin(), map.ranges().end()}; }
}  // namespace

TEST_CASE("an address map keeps its ranges sorted and apart; the later wins") {
  E820Map map;
  CHECK(map.set(100, 100, AddressRangeMemory));
  CHECK(map.set(0, 50, AddressRangeMemory));
  CHECK(ranges(map) == Ranges{{0, 50, AddressRangeMemory}, {100, 100, AddressRangeMemory}});
  CHECK(map.set(120, 30, AddressRangeReserved));
  CHECK(ranges(map) == Ranges{{0, 50, AddressRangeMemory},
                              {100, 20, AddressRangeMemory},
                              {120, 30, AddressRangeReserved},
                              {150, 50, AddressRangeMemory}});
  CHECK(map.set(40, 100, AddressRangeACPI));
  CHECK(ranges(map) == Ranges{{0, 40, AddressRangeMemory},
                              {40, 100, AddressRangeACPI},
                              {140, 10, AddressRangeReserved},
                              {150, 50, AddressRangeMemory}});
  CHECK(map.set(0, 1000, AddressRangeReserved));
  CHECK(ranges(map) == Ranges{{0, 1000, AddressRangeReserved}});
}

TEST_CASE("neighbours of one type are one range") {
  E820Map map;
  CHECK(map.set(0, 10, AddressRangeMemory));
  CHECK(map.set(20, 10, AddressRangeMemory));
  CHECK(map.set(10, 10, AddressRangeMemory));
  CHECK(ranges(map) == Ranges{{0, 30, AddressRangeMemory}});
  CHECK(map.set(30, 10, AddressRangeReserved));
  CHECK(map.ranges().size() == 2);
}

TEST_CASE("empty ranges change nothing, impossible ones are refused") {
  E820Map map;
  CHECK(map.set(5, 0, AddressRangeMemory));
  CHECK(map.ranges().empty());
  CHECK_FALSE(map.set(~0ull, 2, AddressRangeMemory));
  CHECK(map.ranges().empty());
}

TEST_CASE("an address map has at most 128 ranges, and a refused one changes nothing") {
  E820Map map;
  for (std::uint64_t i = 0; i < 128; ++i) REQUIRE(map.set(i * 20, 10, AddressRangeMemory));
  auto before = ranges(map);
  CHECK_FALSE(map.set(5000, 1, AddressRangeMemory));
  CHECK_FALSE(map.set(2, 2, AddressRangeReserved));
  CHECK(ranges(map) == before);
  CHECK(map.set(10, 10, AddressRangeMemory));  // joins two
  CHECK(map.ranges().size() == 127);
}

TEST_CASE("RAM in several pieces is described as RAM") {
  AddressMap map;
  std::byte byte{};
  std::array<GuestRegion, 3> regions{{{4_GiB, 2_GiB, &byte}, {0, 1_GiB, &byte}, {1_GiB, 1_GiB, &byte}}};
  auto e820 = boot::describe_memory(GuestMemory(regions), map);
  REQUIRE(e820);
  CHECK(ranges(*e820) == Ranges{{0, 0x9'fc00, AddressRangeMemory},
                                {0x9'fc00, 0x4'0400, AddressRangeReserved},
                                {0xe'0000, 0x2'0000, AddressRangeACPI},
                                {1_MiB, 2_GiB - 1_MiB, AddressRangeMemory},
                                {0xfeff'c000, 0x4000, AddressRangeReserved},
                                {4_GiB, 2_GiB, AddressRangeMemory}});
}

TEST_CASE("the binary form keeps all 64 bits") {
  boot::E820Range range{0x1234'5678'9abc'def0, 0xfedc'ba98'7654'3210, AddressRangeNVS};
  auto entry = boot::BootE820Entry::of(range);
  CHECK(entry.range() == range);
  std::array<std::uint8_t, 20> bytes{};
  std::memcpy(bytes.data(), &entry, 20);
  CHECK(bytes[0] == 0xf0);
  CHECK(bytes[7] == 0x12);
  CHECK(bytes[8] == 0x10);
  CHECK(bytes[16] == 4);
}

TEST_CASE("free memory is found lowest and highest, around what is taken") {
  std::byte byte{};
  std::array<GuestRegion, 2> regions{{{0, 0x1'0000, &byte}, {0x2'0000, 0x1'0000, &byte}}};
  boot::FreeMemory free(GuestMemory(regions), 0x2'8000);
  CHECK(free.end() == 0x2'8000);
  CHECK(free.lowest(0x1000, 0x1000, 0) == 0u);
  CHECK(free.take(0, 0x8800));
  CHECK(free.lowest(0x1000, 0x1000, 0) == 0x9000u);
  CHECK(free.lowest(0x7800, 1, 0) == 0x8800u);
  CHECK(free.lowest(0x7801, 1, 0) == 0x2'0000u);
  CHECK_FALSE(free.lowest(0x8001, 1, 0));
  CHECK(free.highest(0x1000, 0x1000, ~0ull) == 0x2'7000u);
  CHECK(free.highest(0x1000, 0x1000, 0x2'0fff) == 0xf000u);
  CHECK_FALSE(free.highest(0x1000, 0x1000, 0x8000));
  CHECK_FALSE(free.is_free(0xf800, 0x1000));
  CHECK_FALSE(free.is_free(~0ull, 2));
  CHECK_FALSE(free.take(~0ull, 2));
}
