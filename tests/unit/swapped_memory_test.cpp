#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <thread>

#include <axvm/memory/swapped_memory.hpp>

namespace {

using namespace axvm;

/// Reads as a driver reads a configuration space: generation, two fields that are always equal, generation again.
class Reader {
 public:
  explicit Reader(SwappedMemory const& memory) : words_(reinterpret_cast<std::uint32_t const*>(memory.bytes().data())) {
    thread_ = std::thread([this] {
      while (!end_) look();
    });
  }
  ~Reader() {
    end_ = true;
    thread_.join();
  }

  std::atomic<unsigned> accepted = 0, torn = 0;

 private:
  [[nodiscard]] std::uint32_t word(unsigned i) const { return __atomic_load_n(words_ + i, __ATOMIC_ACQUIRE); }
  void look() {
    const std::uint32_t generation = word(0), low = word(1);
    std::this_thread::yield();
    const std::uint32_t high = word(2);
    if (word(0) != generation) return;
    ++accepted;
    if (low != high) ++torn;
  }

  std::uint32_t const* words_;
  std::atomic<bool> end_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("swapped memory: all-ones at first, then what was put there, at the same address") {
  auto memory = SwappedMemory::make(0x2000);
  REQUIRE(memory);
  std::byte const* const address = memory->bytes().data();
  CHECK(memory->bytes().size() == 0x2000);
  for (std::byte byte : memory->bytes()) REQUIRE(byte == std::byte{0xff});
  std::array<std::byte, 0x1801> content;
  content.fill(std::byte{3});
  CHECK(memory->swap(content));
  CHECK(memory->bytes().data() == address);
  CHECK(address[0x1800] == std::byte{3});
  CHECK(address[0x1801] == std::byte{0xff});
  memory->bytes()[1] = std::byte{4};
  CHECK(memory->swap({}));
  CHECK(address[1] == std::byte{0xff});
  CHECK(address[0x1fff] == std::byte{0xff});
  CHECK_FALSE(SwappedMemory::make(0));
}

TEST_CASE("swapped memory: a reader never accepts a mixture") {
  auto memory = SwappedMemory::make(0x1000);
  REQUIRE(memory);
  std::array<std::uint32_t, 3> words{};
  REQUIRE(memory->swap(std::as_bytes(std::span(words))));
  const Reader reader(*memory);
  for (std::uint32_t i = 1; i <= 2'000 || reader.accepted < 1'000; ++i) {
    words.fill(i);
    REQUIRE(memory->swap(std::as_bytes(std::span(words))));
  }
  CHECK(reader.torn == 0);
}

TEST_CASE("swapped memory: the reader of that test finds mixtures where there are any") {
  auto memory = SwappedMemory::make(0x1000);
  REQUIRE(memory);
  const Reader reader(*memory);
  auto* const words = reinterpret_cast<std::uint32_t*>(memory->bytes().data());
  for (std::uint32_t i = 1; reader.torn == 0; ++i) {
    __atomic_store_n(words + 1, i, __ATOMIC_RELEASE);
    std::this_thread::yield();
    __atomic_store_n(words + 2, i, __ATOMIC_RELEASE);
    __atomic_store_n(words, i, __ATOMIC_RELEASE);
  }
  CHECK(reader.torn != 0);
}
