#include <doctest/doctest.h>

#include "boot_image.hpp"

using namespace axvm;
using boot::Entry;
using boot::LowMemory;

namespace {
constexpr std::array<std::byte, 3> code{std::byte{0x0f}, std::byte{0x0b}, std::byte{0xf4}};

Result<EntryState> load(TestMemory& memory, boot::FlatImage image) {
  return boot::load_flat(image, {.memory = memory.view(), .map = {}, .rsdp = {}, .rng_seed = {}});
}
}  // namespace

TEST_CASE("flat code is entered in 64-bit mode at its first byte, with a stack") {
  TestMemory memory(1_MiB);
  auto state = load(memory, {.code = code, .address = 0x1'2345});
  REQUIRE(state);
  CHECK(state->system.in_64_bit_mode());
  CHECK(state->general.rip == 0x1'2345);
  CHECK(state->general.rflags == 2);
  CHECK(state->general.rsp == LowMemory::stack_top);
  CHECK(memory[0x1'2345] == std::byte{0x0f});
  CHECK(memory[0x1'2347] == std::byte{0xf4});
  CHECK(memory.view().load<std::uint64_t>(state->system.cr3) == LowMemory::page_tables + 0x1003);
}

TEST_CASE("flat code can be entered in 32-bit mode") {
  TestMemory memory(1_MiB);
  auto state = load(memory, {.code = code, .entry = Entry::Protected32});
  REQUIRE(state);
  CHECK(state->general.rip == 0x1'0000);
  CHECK(state->system.cr0 == 0x11);
  CHECK(state->system.cs.db);
}

TEST_CASE("flat code can be entered in real mode") {
  TestMemory memory(1_MiB);
  auto state = load(memory, {.code = code, .address = 0x1'2345, .entry = Entry::Real16});
  REQUIRE(state);
  CHECK(state->system.cs.selector == 0x1234);
  CHECK(state->system.cs.base == 0x1'2340);
  CHECK(state->general.rip == 5);
  CHECK(state->system.cr0 == 0x10);
  CHECK(state->system.ds.limit == 0xffff);
  CHECK(state->system.idt.limit == 0x3ff);
  CHECK(state->system.efer == 0);
}

TEST_CASE("flat code that cannot be loaded is refused with the numbers") {
  TestMemory memory(1_MiB);
  CHECK(load(memory, {.code = {}}).error().code == ErrorCode::InvalidArgument);

  auto beyond = load(memory, {.code = code, .address = 1_MiB - 2});
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code == ErrorCode::OutOfMemory);
  CHECK(contains(beyond.error(), "3 bytes at 0xffffe"));

  CHECK(load(memory, {.code = code, .address = 1_MiB - 2, .entry = Entry::Real16}).error().code ==
        ErrorCode::InvalidArgument);
  CHECK(load(memory, {.code = code, .address = ~0ull}).error().code == ErrorCode::InvalidArgument);
  CHECK(load(memory, {.code = code, .address = 4_GiB - 2}).error().code == ErrorCode::InvalidArgument);
  CHECK(memory.untouched());
}

TEST_CASE("flat code keeps out of the loader's own range") {
  TestMemory memory(1_MiB);
  CHECK_FALSE(load(memory, {.code = code, .address = LowMemory::begin - 2}));
  CHECK_FALSE(load(memory, {.code = code, .address = LowMemory::page_tables_end - 1}));
  CHECK(memory.untouched());
  CHECK(load(memory, {.code = code, .address = LowMemory::begin - 3}));
  CHECK(load(memory, {.code = code, .address = LowMemory::page_tables_end}));
}

TEST_CASE("memory that does not reach the page tables is an error") {
  TestMemory memory(0xe000);
  CHECK(load(memory, {.code = code, .address = 0x1000}).error().code == ErrorCode::OutOfMemory);
  TestMemory tiny(0x2000);
  CHECK(load(tiny, {.code = code, .address = 0x1000}).error().code == ErrorCode::OutOfMemory);
  CHECK(load(tiny, {.code = code, .address = 0x1000, .entry = Entry::Real16}));
}

TEST_CASE("a descriptor encodes all of a segment") {
  SegmentRegister segment{.selector = 0,
                          .base = 0x1234'5678,
                          .limit = 0xa'bcde,
                          .type = 0x9,
                          .s = false,
                          .dpl = 3,
                          .present = true,
                          .avl = true,
                          .l = false,
                          .db = false,
                          .g = false,
                          .unusable = false};
  CHECK(boot::segment_descriptor(segment) == 0x121a'e934'5678'bcde);
}
