#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <axvm/device/msix.hpp>

#include "fakes.hpp"

// The vectors of a function with MSI-X by themselves; through a transport in virtio_pci.cpp.

using namespace axvm;

namespace {

constexpr std::uint16_t enable = 0x8000, function_mask = 0x4000;

/// `Count` vectors, and where their messages go.
template <std::size_t Count>
struct Vectors {
  fakes::MessageRecorder apics;
  typename MsixTable<Count>::State state{};
  MsixTable<Count> table{state, apics.sink()};

  /// Message 0x40 + n to the processor n, and unmasked.
  void program(std::uint64_t n) {
    table.set_word(16 * n, 0xfee0'0000 | static_cast<std::uint32_t>(n) << 12);
    table.set_word(16 * n + 4, 0);
    table.set_word(16 * n + 8, static_cast<std::uint32_t>(0x40 + n));
    table.set_word(16 * n + 12, 0);
  }
  [[nodiscard]] static Message message(std::uint64_t n) {
    return {0xfee0'0000 | n << 12, static_cast<std::uint32_t>(0x40 + n)};
  }
};

using Sent = std::vector<Message>;

}  // namespace

TEST_CASE("msix: the words of the table") {
  Vectors<3> v;
  CHECK(v.table.table_size == 2);
  CHECK(v.table.table_bytes == 48);
  for (std::uint64_t n = 0; n < 3; ++n) {
    for (std::uint64_t word = 0; word < 12; word += 4) CHECK(v.table.word(16 * n + word) == 0);
    CHECK(v.table.word(16 * n + 12) == 1);  // masked
  }
  v.table.set_word(16, 0xffff'ffff);
  v.table.set_word(20, 0x1234'5678);
  v.table.set_word(24, 0xffff'ffff);
  v.table.set_word(28, 0xffff'fffe);
  CHECK(v.table.word(16) == 0xffff'fffc);  // addresses are of 32 bits
  CHECK(v.table.word(20) == 0x1234'5678);
  CHECK(v.table.word(24) == 0xffff'ffff);
  CHECK(v.table.word(28) == 0);  // reserved bits are not kept
  CHECK(v.state[1] == MsixVector{.address = 0x1234'5678'ffff'fffc, .data = 0xffff'ffff, .masked = false});
  v.table.set_word(28, 3);
  CHECK(v.table.word(28) == 1);
  CHECK(v.state[0] == MsixVector{});
  CHECK(v.state[2] == MsixVector{});
  // Words that there are not.
  const auto before = v.state;
  for (const std::uint64_t behind : {48ull, 60ull, 0x1'0000'0000ull, ~0ull - 3}) {
    v.table.set_word(behind, 0xffff'ffff);
    CHECK(v.table.word(behind) == 0);
  }
  CHECK(v.state == before);
  CHECK(v.apics.sent.empty());
}

TEST_CASE("msix: a vector sends what it was told, once MSI-X is enabled") {
  Vectors<3> v;
  for (std::uint64_t n = 0; n < 3; ++n) v.program(n);
  v.table.send(1);
  CHECK_FALSE(v.table.enabled());
  CHECK(v.apics.sent.empty());
  v.table.set_control(enable);
  CHECK(v.table.enabled());
  CHECK(v.apics.sent.empty());  // what came before is not kept
  v.table.send(1);
  v.table.send(0);
  v.table.send(1);
  CHECK(v.apics.take() == Sent{v.message(1), v.message(0), v.message(1)});
  for (const std::size_t none : {std::size_t{3}, std::size_t{64}, std::size_t{0xffff}, ~std::size_t{0}})
    v.table.send(none);
  CHECK(v.apics.sent.empty());
  CHECK(v.table.pending_word(0) == 0);
  v.table.set_control(0);
  v.table.send(1);
  CHECK(v.apics.sent.empty());
}

TEST_CASE("msix: a masked vector is pending, and sends once when it is unmasked") {
  Vectors<3> v;
  v.table.set_control(enable);
  for (std::uint64_t n = 0; n < 3; ++n) v.program(n);
  v.table.set_word(28, 1);
  v.table.send(1);
  v.table.send(1);
  v.table.send(2);
  CHECK(v.apics.take() == Sent{v.message(2)});
  CHECK(v.table.pending_word(0) == 2);
  CHECK(v.table.pending_word(4) == 0);
  v.table.set_word(24, 0x99);
  CHECK(v.apics.sent.empty());
  v.table.set_word(28, 0);
  CHECK(v.apics.take() == Sent{{v.message(1).address, 0x99}});
  CHECK(v.table.pending_word(0) == 0);
  v.table.set_word(28, 0);
  CHECK(v.apics.sent.empty());
}

TEST_CASE("msix: the function's mask holds all vectors back") {
  Vectors<3> v;
  for (std::uint64_t n = 0; n < 3; ++n) v.program(n);
  v.table.set_control(enable | function_mask);
  v.table.set_word(28, 1);
  for (const std::size_t n : {2u, 1u, 0u}) v.table.send(n);
  CHECK(v.apics.sent.empty());
  CHECK(v.table.pending_word(0) == 7);
  v.table.set_word(12, 1);
  v.table.set_word(12, 0);
  CHECK(v.apics.sent.empty());
  v.table.set_control(function_mask);  // disabled: they stay pending
  CHECK(v.table.pending_word(0) == 7);
  v.table.set_control(0);
  CHECK(v.apics.sent.empty());
  v.table.set_control(enable);
  CHECK(v.apics.take() == Sent{v.message(0), v.message(2)});
  CHECK(v.table.pending_word(0) == 2);
  v.table.set_word(28, 0);
  CHECK(v.apics.take() == Sent{v.message(1)});
}

TEST_CASE("msix: as many vectors as there may be") {
  Vectors<64> v;
  CHECK(v.table.table_size == 63);
  v.table.set_control(enable);
  v.table.send(31);
  v.table.send(32);
  v.table.send(63);
  CHECK(v.table.pending_word(0) == 0x8000'0000);
  CHECK(v.table.pending_word(4) == 0x8000'0001);
  for (const std::uint64_t behind : {8ull, 12ull, 0x7f8ull, ~0ull - 3}) CHECK(v.table.pending_word(behind) == 0);
  v.program(63);
  CHECK(v.apics.take() == Sent{v.message(63)});
  CHECK(v.table.pending_word(4) == 1);
  CHECK(v.table.word(16 * 63 + 12) == 0);
  CHECK(v.table.word(16 * 64) == 0);
}

TEST_CASE("msix: without anybody to take messages nothing happens") {
  MsixTable<1>::State state{};
  MsixTable<1> table{state, {}};
  table.set_control(enable);
  table.send(0);
  CHECK(table.pending_word(0) == 1);
  table.set_word(12, 0);
  CHECK(table.pending_word(0) == 0);
}
