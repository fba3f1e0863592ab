#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/core/core.hpp>
#include <axvm/host/describe_error.hpp>

using namespace axvm;

namespace {

constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();

Error an_error(ErrorCode code, Severity severity, std::string_view operation, int number = 0,
               std::string_view hint = {}) {
  return {.code = code, .severity = severity, .operation = operation, .os_error = number, .hint = hint};
}

/// RAM in two regions that adjoin at 0x3000, a third far above.
struct Memory {
  alignas(64) std::array<std::byte, 0x4000> bytes{};
  std::array<GuestRegion, 3> regions{GuestRegion{0x1000, 0x2000, bytes.data()},
                                     GuestRegion{0x3000, 0x1000, bytes.data() + 0x2000},
                                     GuestRegion{top - 0xfff, 0xfff, bytes.data() + 0x3000}};
  GuestMemory memory{regions};
};

constexpr bool all_transitions_as_written() {
  using enum MachineState;
  constexpr std::pair<MachineState, MachineState> allowed[] = {
      {Loading, Loaded},    {Loading, Stopped},    {Loading, Failed},                      //
      {Loaded, Loaded},     {Loaded, Running},     {Loaded, Stopped},   {Loaded, Failed},  //
      {Running, Suspended}, {Running, Stopping},   {Running, Failed},                      //
      {Suspended, Running}, {Suspended, Stopping}, {Suspended, Failed},                    //
      {Stopping, Loaded},   {Stopping, Stopped},   {Stopping, Failed},                     //
      {Stopped, Loaded},    {Stopped, Failed},                                             //
      {Failed, Loaded},     {Failed, Stopped},
  };
  for (std::size_t from = 0; from < machine_state_count; ++from)
    for (std::size_t to = 0; to < machine_state_count; ++to) {
      bool listed = false;
      for (auto const& [a, b] : allowed)
        listed |= static_cast<std::size_t>(a) == from && static_cast<std::size_t>(b) == to;
      if (may_follow(static_cast<MachineState>(from), static_cast<MachineState>(to)) != listed) return false;
    }
  return true;
}
static_assert(all_transitions_as_written());
static_assert(!may_follow(MachineState::Stopped, MachineState::Running), "a stopped guest must be loaded again first");

static_assert(text<20>("port ", Hex{0x3f8}, " of ", 16) == "port 0x3f8 of 16");
static_assert(text<20>(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
static_assert(align_up(top, 2) == std::nullopt);
static_assert(!range_fits(top, 1, top));

}  // namespace

TEST_CASE("bytes: many are copied whole, and nothing beside them") {
  std::vector<std::byte> from(5000);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + i / 256 + 1);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1023}, std::size_t{1024},
                                 std::size_t{1025}, std::size_t{4096}, std::size_t{5000}}) {
    CAPTURE(size);
    std::vector<std::byte> to(5001, std::byte{0xee});
    copy_many(to.data(), ConstBytes(from).first(size));
    CHECK(std::equal(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(size), from.begin()));
    CHECK(std::count(to.begin() + static_cast<std::ptrdiff_t>(size), to.end(), std::byte{0xee}) ==
          static_cast<std::ptrdiff_t>(5001 - size));
  }
}

TEST_CASE("text: strings are cut off where the room ends, and it says so") {
  Text<5> exact("12345");
  CHECK(exact == "12345");
  CHECK_FALSE(exact.truncated());
  Text<5> cut("123456");
  CHECK(cut == "12345");
  CHECK(cut.truncated());
  CHECK(std::strlen(cut.c_str()) == 5);
  Text<0> nothing("x");
  CHECK(nothing.empty());
  CHECK(nothing.truncated());
  CHECK(std::strlen(nothing.c_str()) == 0);
}

TEST_CASE("text: a number is there as a whole or not at all, its sign and prefix included") {
  CHECK(text<4>("ab", 12) == "ab12");
  CHECK(text<4>("ab", 123) == "ab");
  CHECK(text<4>("ab", 123).truncated());
  CHECK(text<4>("a", -12) == "a-12");
  CHECK_FALSE(text<4>("a", -12).truncated());
  CHECK(text<4>("a", -123) == "a");
  CHECK(text<4>("a", -123).truncated());
  CHECK(text<4>("a", Hex{0xf}) == "a0xf");
  CHECK(text<4>("a", Hex{0xff}) == "a");
  CHECK(text<4>("a", Hex{0xff}).truncated());
}

TEST_CASE("text: behind what was cut off nothing is appended, so that no two numbers run together") {
  CHECK(text<4>("12", 3000, 4) == "12");
  CHECK(text<4>("12", 3000, "ab") == "12");
  CHECK(text<4>("12", -300, "") == "12");
}

TEST_CASE("text: numbers of every type and both ends") {
  CHECK(text<20>(0) == "0");
  CHECK(text<20>(-1) == "-1");
  CHECK(text<20>(top) == "18446744073709551615");
  CHECK(text<20>(std::numeric_limits<std::int64_t>::max()) == "9223372036854775807");
  CHECK(text<20>(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(text<20>(static_cast<std::int8_t>(-128)) == "-128");
  CHECK(text<20>(static_cast<std::uint8_t>(200)) == "200");
  CHECK(text<20>(Hex{0}) == "0x0");
  CHECK(text<20>(Hex{top}) == "0xffffffffffffffff");
  CHECK(text<20>(Hex{0xdeadbeef}) == "0xdeadbeef");
}

TEST_CASE("text: is equal to every string that reads the same, whatever its type and capacity") {
  const Text<10> ten("abc");
  CHECK(ten == "abc");
  CHECK("abc" == ten);
  CHECK(ten == Text<3>("abc"));
  CHECK(Text<3>("abc") == ten);
  CHECK(ten == std::string("abc"));
  CHECK(ten == std::string_view("abc"));
  CHECK(ten != "ab");
  CHECK(ten != "abcd");
  CHECK(ten != Text<10>());
}

TEST_CASE("units: sums and alignments that leave 64 bits are nothing") {
  CHECK(checked_add(top, 0) == top);
  CHECK(checked_add(top, 1) == std::nullopt);
  CHECK(checked_add(1ull << 63, 1ull << 63) == std::nullopt);
  CHECK(align_up(0, 4096) == 0);
  CHECK(align_up(1, 4096) == 4096);
  CHECK(align_up(4096, 4096) == 4096);
  CHECK(align_up(top - 4095, 4096) == top - 4095);
  CHECK(align_up(top - 4094, 4096) == std::nullopt);
  CHECK(align_up(top, 1) == top);
  CHECK(align_down(top, 4096) == top - 4095);
  CHECK(align_down(4095, 4096) == 0);
  CHECK(is_aligned(0, 4096));
  CHECK_FALSE(is_aligned(2048, 4096));
}

TEST_CASE("bytes: a range whose end wraps around does not fit") {
  CHECK(range_fits(0, 0, 0));
  CHECK(range_fits(16, 0, 16));
  CHECK_FALSE(range_fits(17, 0, 16));
  CHECK(range_fits(8, 8, 16));
  CHECK_FALSE(range_fits(8, 9, 16));
  CHECK_FALSE(range_fits(8, top - 7, 16));  // 8 + 2^64 - 8 is 0
  CHECK_FALSE(range_fits(top, 2, 16));
  CHECK(range_fits(0, top, top));
  CHECK_FALSE(range_fits(1, top, top));
}

TEST_CASE("bytes: load and store stay within, in little-endian order") {
  std::array<std::byte, 6> bytes{};
  CHECK(store(bytes, 2, std::uint32_t{0x11223344}));
  CHECK(bytes[2] == std::byte{0x44});
  CHECK(bytes[5] == std::byte{0x11});
  CHECK(load<std::uint32_t>(bytes, 2) == 0x11223344u);
  CHECK(load<std::uint32_t>(bytes, 3) == std::nullopt);
  CHECK(load<std::uint32_t>(bytes, top - 1) == std::nullopt);
  CHECK_FALSE(store(bytes, 3, std::uint32_t{0}));
  CHECK_FALSE(store(bytes, top, std::uint8_t{0}));
  CHECK(bytes[5] == std::byte{0x11});
  CHECK(all_ones(1) == 0xff);
  CHECK(all_ones(4) == 0xffff'ffff);
  CHECK(all_ones(8) == top);
}

TEST_CASE("bytes: zero are those without any other byte, wherever it would be, and none at all") {
  std::array<std::byte, 4099> bytes{};
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{16}, bytes.size()}) {
    CAPTURE(size);
    const Bytes some = Bytes(bytes).first(size);
    CHECK(is_zero(some));
    std::size_t wrong = 0;
    for (std::byte& one : some) {
      one = std::byte{0x80};
      wrong += is_zero(some) ? 1 : 0;
      one = std::byte{};
    }
    CHECK(wrong == 0);
    if (size == bytes.size()) continue;
    bytes[size] = std::byte{1};  // behind them
    CHECK(is_zero(some));
    bytes[size] = std::byte{};
  }
  CHECK(is_zero({}));
}

TEST_CASE("error: a single one stays itself, several become one that names all of them and is as bad as the worst") {
  const Error alone = an_error(ErrorCode::NotFound, Severity::Warning, "open a.img", 2, "check the path");
  const Error same = combine({&alone, 1});
  CHECK(same.operation == "open a.img");
  CHECK(same.os_error == 2);
  CHECK(same.hint == "check the path");
  CHECK(same.severity == Severity::Warning);

  const Error errors[] = {alone, an_error(ErrorCode::HostIo, Severity::Error, "make a tap"),
                          an_error(ErrorCode::OutOfMemory, Severity::Error, "reserve memory", 12)};
  const Error all = combine(errors);
  CHECK(all.code == ErrorCode::HostIo);  // the first of the worst
  CHECK(all.severity == Severity::Error);
  CHECK(all.os_error == 0);
  CHECK(all.operation ==
        "3 problems:\n  open a.img (errno 2): check the path\n  make a tap\n  reserve memory (errno 12)");
}

TEST_CASE("error: more than fits is cut off and marked, never written past the end") {
  std::vector<Error> errors(20, an_error(ErrorCode::HostIo, Severity::Error, std::string(100, 'x')));
  const Error all = combine(errors);
  CHECK(all.operation.truncated());
  CHECK(all.operation.size() == all.operation.capacity());
  CHECK(all.operation.view().starts_with("20 problems:\n  xxx"));
}

TEST_CASE("error: only Critical and Fatal end the machine") {
  for (const Severity severity : {Severity::Info, Severity::Warning, Severity::Error}) {
    CHECK(an_error(ErrorCode::HostIo, severity, "x").is_recoverable());
    CHECK_FALSE(an_error(ErrorCode::HostIo, severity, "x").requires_shutdown());
  }
  for (const Severity severity : {Severity::Critical, Severity::Fatal}) {
    CHECK_FALSE(an_error(ErrorCode::HostIo, severity, "x").is_recoverable());
    CHECK(an_error(ErrorCode::HostIo, severity, "x").requires_shutdown());
  }
}

TEST_CASE("error: as a person reads it, with the system's reason; a number that has no reason is shown") {
  CHECK(describe(an_error(ErrorCode::NotFound, Severity::Error, "open a.img", 2, "check the path")) ==
        "open a.img: No such file or directory; check the path");
  CHECK(describe(an_error(ErrorCode::NotFound, Severity::Error, "open a.img")) == "open a.img");
  CHECK(describe(an_error(ErrorCode::Hypervisor, Severity::Error, "run a vCPU", 524)) == "run a vCPU: error 524");
}

TEST_CASE("guest memory: a range is within one region or it is refused") {
  Memory m;
  CHECK(m.memory.size() == 0x3fff);
  CHECK(m.memory.at(0x1000, 0x2000) == m.bytes.data());
  CHECK(m.memory.at(0x2fff, 1) == m.bytes.data() + 0x1fff);
  CHECK(m.memory.at(0x3000, 0x1000) == m.bytes.data() + 0x2000);
  CHECK(m.memory.at(0x1000, 0x2001) == nullptr);  // into the region that adjoins
  CHECK(m.memory.at(0x2fff, 2) == nullptr);
  CHECK(m.memory.at(0x0fff, 1) == nullptr);
  CHECK(m.memory.at(0x0fff, 2) == nullptr);
  CHECK(m.memory.at(0x3fff, 1) != nullptr);
  CHECK(m.memory.at(0x4000, 1) == nullptr);
  CHECK(m.memory.at(0x3fff, 2) == nullptr);
}

TEST_CASE("guest memory: no address and no length wraps around") {
  Memory m;
  CHECK(m.memory.at(0x1000, top) == nullptr);
  CHECK(m.memory.at(0x2000, top - 0xfff) == nullptr);   // the end wraps to 0x1000
  CHECK(m.memory.at(0x2000, top - 0x1fff) == nullptr);  // and to 0
  CHECK(m.memory.at(top, 1) == nullptr);
  CHECK(m.memory.at(top, 0x1002) == nullptr);  // would wrap into the first region
  CHECK(m.memory.at(top, top) == nullptr);
  CHECK(m.memory.at(top - 1, 1) == m.bytes.data() + 0x3ffe);  // the last byte that can be RAM
  CHECK(m.memory.at(top - 1, 2) == nullptr);
  CHECK(m.memory.at(top - 0xfff, 0xfff) == m.bytes.data() + 0x3000);
  CHECK(m.memory.at(top - 0xfff, 0x1000) == nullptr);
}

TEST_CASE("guest memory: a range that begins in a region has a part there") {
  Memory m;
  auto is = [&](Bytes part, std::size_t offset, std::size_t size) {
    return part.data() == m.bytes.data() + offset && part.size() == size;
  };
  CHECK(is(m.memory.part_at(0x1000, 0x2000), 0, 0x2000));
  CHECK(is(m.memory.part_at(0x1000, 0x2001), 0, 0x2000));
  CHECK(is(m.memory.part_at(0x2fff, 2), 0x1fff, 1));
  CHECK(is(m.memory.part_at(0x3000, 0x1000), 0x2000, 0x1000));
  CHECK(is(m.memory.part_at(0x2000, 1), 0x1000, 1));
  CHECK(m.memory.part_at(0x2000, 0).empty());
  CHECK(m.memory.part_at(0x0fff, 2).empty());
  CHECK(m.memory.part_at(0x4000, 1).empty());
  CHECK(m.memory.part_at(top, 0x1002).empty());
  CHECK(is(m.memory.part_at(0x2000, top), 0x1000, 0x1000));
  CHECK(is(m.memory.part_at(top - 1, top), 0x3ffe, 1));
  CHECK(GuestMemory().part_at(0, 1).empty());
}

TEST_CASE("guest memory: empty ranges have no address, and touching them succeeds anywhere") {
  Memory m;
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{0x1000}, std::uint64_t{0x4000}, top}) {
    CHECK(m.memory.at(address, 0) == nullptr);
    CHECK(m.memory.read(address, {}));
    CHECK(m.memory.write(address, {}));
    CHECK(m.memory.fill(address, 0, std::byte{1}));
  }
  CHECK(GuestMemory().at(0, 1) == nullptr);
  CHECK(GuestMemory().size() == 0);
}

TEST_CASE("guest memory: what is refused changes nothing") {
  Memory m;
  std::array<std::byte, 4> buffer{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  const auto before = buffer;
  CHECK_FALSE(m.memory.read(0x2ffe, buffer));
  CHECK(buffer == before);
  CHECK_FALSE(m.memory.write(0x2ffe, buffer));
  CHECK_FALSE(m.memory.fill(0x2ffe, 4, std::byte{9}));
  const volatile std::uint64_t endless = top;  // volatile: g++ warns of the memset that is never reached
  CHECK_FALSE(m.memory.fill(0x1000, endless, std::byte{9}));
  CHECK_FALSE(m.memory.store(0x2ffe, std::uint32_t{7}));
  CHECK(m.memory.load<std::uint32_t>(0x2ffe) == std::nullopt);
  for (const std::byte byte : m.bytes) REQUIRE(byte == std::byte{0});

  CHECK(m.memory.write(0x2ffc, buffer));
  CHECK(m.memory.load<std::uint32_t>(0x2ffc) == 0x04030201u);
  CHECK(m.memory.load<std::uint16_t>(0x2ffd) == 0x0302u);  // plain loads need no alignment
  CHECK(m.memory.fill(0x2ffd, 2, std::byte{9}));
  CHECK(m.memory.load<std::uint32_t>(0x2ffc) == 0x04090901u);
}

TEST_CASE("guest memory: what is published must be aligned") {
  Memory m;
  CHECK(m.memory.store_release(0x2ffc, std::uint32_t{5}));
  CHECK(m.memory.load_acquire<std::uint32_t>(0x2ffc) == 5u);
  for (const std::uint64_t address : {0x2ff9ull, 0x2ffaull, 0x2ffbull, 0x2ffdull, 0x2fffull}) {
    CHECK_FALSE(m.memory.store_release(address, std::uint32_t{6}));
    CHECK(m.memory.load_acquire<std::uint32_t>(address) == std::nullopt);
  }
  CHECK(m.memory.load_acquire<std::uint64_t>(0x2ffc) == std::nullopt);
  CHECK(m.memory.load_acquire<std::uint16_t>(0x2ffe) != std::nullopt);
  CHECK(m.memory.load_acquire<std::uint8_t>(0x2fff) != std::nullopt);
  CHECK(m.memory.load_acquire<std::uint32_t>(0x4000) == std::nullopt);
  CHECK(m.memory.load_acquire<std::uint64_t>(top - 7) == std::nullopt);
  CHECK(m.memory.load<std::uint32_t>(0x2ffc) == 5u);
}

TEST_CASE("guest memory: takes the first eight regions") {
  std::array<std::byte, 16> bytes{};
  std::vector<GuestRegion> many;
  for (std::uint64_t i = 0; i < 9; ++i) many.push_back({i * 0x1000, 1, bytes.data() + i});
  const GuestMemory memory(many);
  CHECK(memory.regions().size() == GuestMemory::max_regions);
  CHECK(memory.at(0x7000, 1) == bytes.data() + 7);
  CHECK(memory.at(0x8000, 1) == nullptr);
}

TEST_CASE("machine state: every state and every end has a name of its own") {
  for (std::size_t a = 0; a < machine_state_count; ++a) {
    CHECK_FALSE(name_of(static_cast<MachineState>(a)).empty());
    for (std::size_t b = a + 1; b < machine_state_count; ++b)
      CHECK(name_of(static_cast<MachineState>(a)) != name_of(static_cast<MachineState>(b)));
  }
  CHECK(name_of(End::PoweredOff) == "powered off");
  CHECK(name_of(End::Stopped) == "stopped");
}
