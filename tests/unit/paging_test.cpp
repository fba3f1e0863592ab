#include <vector>

#include <doctest/doctest.h>

#include <axvm/cpu/paging.hpp>

using namespace axvm;

namespace {
struct Memory {
  std::vector<std::byte> bytes;
  explicit Memory(std::size_t size) : bytes(size, std::byte{0xff}) {}
  GuestMemory view() {
    GuestRegion region{0x1000, bytes.size(), bytes.data()};
    return GuestMemory(std::span<const GuestRegion>(&region, 1));
  }
};
}  // namespace

TEST_CASE("identity tables map exactly what was asked for") {
  Memory memory(5 * 4096);
  REQUIRE(write_identity_tables(memory.view(), 0x1000, 2_GiB + 1));
  auto entry = [&](GuestAddress at) { return memory.view().load<std::uint64_t>(at).value(); };
  CHECK(entry(0x1000) == 0x2003);
  CHECK(entry(0x1008) == 0);
  CHECK(entry(0x2000) == 0x3003);
  CHECK(entry(0x2008) == 0x4003);
  CHECK(entry(0x2010) == 0x5003);
  CHECK(entry(0x2018) == 0);
  for (std::uint64_t i : {0u, 1u, 511u, 512u, 1535u}) CHECK(entry(0x3000 + 8 * i) == (i * 2_MiB | 0x83));
}

TEST_CASE("identity tables take two pages and one for each GiB") {
  CHECK(identity_tables_size(1) == 3 * 4096);
  CHECK(identity_tables_size(4_GiB) == 6 * 4096);
  CHECK(identity_tables_size(4_GiB + 1) == 7 * 4096);
  CHECK(identity_tables_size(512_GiB) == 514 * 4096);
}

TEST_CASE("identity tables that do not fit, or make no sense, are refused and nothing is written") {
  Memory memory(4 * 4096);
  CHECK(write_identity_tables(memory.view(), 0x1000, 3_GiB).error().code == ErrorCode::OutOfMemory);
  CHECK(write_identity_tables(memory.view(), 0x0, 1_GiB).error().code == ErrorCode::OutOfMemory);
  CHECK(write_identity_tables(memory.view(), ~0ull << 12, 1_GiB).error().code == ErrorCode::OutOfMemory);
  CHECK(write_identity_tables(memory.view(), 0x1008, 1_GiB).error().code == ErrorCode::InvalidArgument);
  CHECK(write_identity_tables(memory.view(), 0x1000, 0).error().code == ErrorCode::InvalidArgument);
  CHECK(write_identity_tables(memory.view(), 0x1000, 512_GiB + 1).error().code == ErrorCode::InvalidArgument);
  for (std::byte b : memory.bytes) REQUIRE(b == std::byte{0xff});
}

TEST_CASE("the largest identity map reaches 512 GiB") {
  Memory memory(514 * 4096);
  REQUIRE(write_identity_tables(memory.view(), 0x1000, 512_GiB));
  CHECK(memory.view().load<std::uint64_t>(0x1000 + 514 * 4096 - 8) == 512_GiB - 2_MiB + 0x83);
}
