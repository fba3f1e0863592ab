#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <axvm/core/core.hpp>
#include <axvm/memory/memory.hpp>

#include "scratch.hpp"

using namespace axvm;

namespace {

constexpr AddressMap map{};
static_assert(map.hole == 3_GiB + 256_MiB, "the sizes below stand on both sides of it");

/// Regions of the right size, in order, outside the hole, aligned, and not in each other's memory.
void check_regions(GuestRam const& ram, std::uint64_t size) {
  CAPTURE(size);
  std::uint64_t sum = 0;
  GuestAddress free_from = 0;
  for (GuestRegion const& region : ram.regions()) {
    CHECK(region.base >= free_from);
    free_from = region.base + region.size;
    CHECK((free_from <= map.hole || region.base >= map.high_ram));
    CHECK(region.base % (2_MiB) == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(region.host) % (2_MiB) == 0);
    for (GuestRegion const& other : ram.regions())
      if (&other != &region) CHECK((other.host + other.size < region.host || region.host + region.size < other.host));
    sum += region.size;
  }
  CHECK(sum == size);
  CHECK(ram.memory().size() == size);
  CHECK(ram.regions()[0].base == 0);
  CHECK(ram.regions()[0].size == std::min(size, map.hole));
}

/// How a process ends that touches one byte.
int touch(std::byte* address) {
  return scratch::end_of(scratch::start_child([address] { *const_cast<std::byte volatile*>(address) = std::byte{1}; }));
}

}  // namespace

TEST_CASE("guest RAM: every size has its regions around the hole, never in it") {
  for (const std::uint64_t size : {1_MiB, 1_MiB + 4_KiB, 2_MiB, 512_MiB, map.hole - 4_KiB, map.hole, map.hole + 4_KiB,
                                   4_GiB, 6_GiB, 6_GiB + 4_KiB}) {
    auto ram = GuestRam::reserve(size, map);
    REQUIRE(ram);
    CHECK(ram->regions().size() == (size <= map.hole ? 1 : 2));
    if (size > map.hole) CHECK(ram->regions()[1].base == 4_GiB);
    check_regions(*ram, size);
  }
}

TEST_CASE("guest RAM: a terabyte is only reserved, not used") {
#if defined(__SANITIZE_THREAD__)
  MESSAGE("the thread sanitizer leaves no room for a terabyte");
#else
  auto ram = GuestRam::reserve(1_TiB, map);
  if (!ram) {  // a host that does not overcommit, or limits the address space, says so
    CHECK(ram.error().code == ErrorCode::OutOfMemory);
    MESSAGE("this host does not reserve a terabyte");
    return;
  }
  check_regions(*ram, 1_TiB);
  const GuestMemory memory = ram->memory();
  const GuestAddress last = 4_GiB + (1_TiB - map.hole) - 8;
  CHECK(memory.store(last, std::uint64_t{42}));
  CHECK(memory.load<std::uint64_t>(last) == 42u);
  CHECK(memory.load<std::uint64_t>(last + 1) == std::nullopt);
#endif
}

TEST_CASE("guest RAM: sizes that make no sense are refused with the number") {
  for (const std::uint64_t size : {std::uint64_t{0}, 4_KiB, 1_MiB - 4_KiB, 1_MiB + 1, 1_MiB + 512, ~std::uint64_t{0}}) {
    const auto ram = GuestRam::reserve(size, map);
    REQUIRE_FALSE(ram);
    CHECK(ram.error().code == ErrorCode::OutOfRange);
    CHECK(ram.error().operation == text<100>("use ", size, " bytes of guest memory"));
    CHECK_FALSE(ram.error().hint.empty());
  }
}

TEST_CASE("guest RAM: more than there are addresses is an error, however the sum wraps") {
  AddressMap low_hole = map;
  low_hole.hole = 1_MiB;
  for (AddressMap const& some : {map, low_hole})
    for (const std::uint64_t size : {~std::uint64_t{0} - 4095, std::uint64_t{1} << 63, std::uint64_t{1} << 47}) {
      const auto ram = GuestRam::reserve(size, some);
      REQUIRE_FALSE(ram);
      CHECK(ram.error().code == ErrorCode::OutOfMemory);
      CHECK(ram.error().os_error != 0);
    }
}

TEST_CASE("guest RAM: a step over either end of a region is fatal to us, not to our memory") {
  // 5 MiB and a page: the end is no multiple of a huge page.
  auto ram = GuestRam::reserve(map.hole + 5_MiB + 4_KiB, map);
  REQUIRE(ram);
  for (GuestRegion const& region : ram->regions()) {
    CHECK(scratch::exited_with(touch(region.host), 0));
    CHECK(scratch::exited_with(touch(region.host + region.size - 1), 0));
    CHECK(scratch::died_of(touch(region.host + region.size), SIGSEGV));
    CHECK(scratch::died_of(touch(region.host - 1), SIGSEGV));
  }
}

TEST_CASE("guest RAM: reads as zeros at first, and again after clear()") {
  auto ram = GuestRam::reserve(map.hole + 2_MiB, map);
  REQUIRE(ram);
  const GuestMemory memory = ram->memory();
  const GuestAddress places[] = {0, 4_KiB - 1, map.hole - 1, 4_GiB, 4_GiB + 2_MiB - 1};
  for (const GuestAddress at : places) {
    CHECK(memory.load<std::uint8_t>(at) == std::uint8_t{0});
    CHECK(memory.store(at, std::uint8_t{0xaa}));
  }
  REQUIRE(ram->clear());
  for (const GuestAddress at : places) CHECK(memory.load<std::uint8_t>(at) == std::uint8_t{0});
  CHECK(memory.store(0, std::uint8_t{1}));  // and is as usable as before
  CHECK(memory.load<std::uint8_t>(0) == std::uint8_t{1});
}

TEST_CASE("guest RAM: moves without moving the memory, and goes when its owner goes") {
  std::byte* host = nullptr;
  {
    auto first = GuestRam::reserve(1_MiB, map);
    REQUIRE(first);
    host = first->regions()[0].host;
    *host = std::byte{7};
    const GuestRam second = std::move(*first);
    CHECK(second.regions()[0].host == host);
    CHECK(second.memory().load<std::uint8_t>(0) == std::uint8_t{7});
  }
  unsigned char resident = 0;
  CHECK(::mincore(host, 4096, &resident) == -1);  // ENOMEM: nothing is mapped there
}
