#include "guest.hpp"

// Port and memory-mapped accesses of real guests: every width, string instructions, windows' edges.

using namespace axvm;

namespace {

struct Access {
  std::uint64_t offset, width, value;
  friend bool operator==(Access const&, Access const&) = default;
};

/// Remembers what is written; reads give a pattern that shows offset and byte position.
template <class Claim, class A>
struct Memo {
  struct Config {};
  Memo(Config const&, DeviceContext&) {}
  void write(A const& access) { writes.push_back({access.offset, access.width, access.value}); }
  void read(A& access) {
    reads.push_back({access.offset, access.width, 0});
    access.value = static_cast<decltype(access.value)>(0x8877'6655'4433'2211 + access.offset);
  }
  std::vector<Access> writes, reads;
};

struct Ports : Memo<Pio<>, PioAccess> {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x100, .size = 8});
  using Memo::Memo;
};
struct Window : Memo<Mmio<>, MmioAccess> {
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000});
  using Memo::Memo;
};

using Machine1 = Machine<Bare, Devices<Ports, Window>>;
constexpr std::uint64_t window = Machine1::layout[1].claim.base;

std::uint64_t rax_of(Machine1& machine) { return machine.vcpu().general()->rax; }

}  // namespace

TEST_CASE("port writes of every width arrive with their offset and nothing else") {
  auto machine = load_guest<Machine1>(
      Guest().rax(0x1122'3344'5566'7788).dx(0x103).out8().dx(0x104).out16().dx(0x104).out32().hlt());
  REQUIRE(machine.run());
  CHECK(machine.device<Ports>()->writes == std::vector<Access>{{3, 1, 0x88}, {4, 2, 0x7788}, {4, 4, 0x5566'7788}});
}

TEST_CASE("port reads of every width change only the register's own part") {
  auto read = [](auto width) {
    Guest guest;
    guest.rax(0xffff'ffff'0000'0000).dx(0x100);
    auto machine = load_guest<Machine1>((guest.*width)().hlt());
    REQUIRE(machine.run());
    return rax_of(machine);
  };
  CHECK(read(&Guest::in8) == 0xffff'ffff'0000'0011);
  CHECK(read(&Guest::in16) == 0xffff'ffff'0000'2211);
  CHECK(read(&Guest::in32) == 0x4433'2211);  // a 32-bit write clears the upper half
}

TEST_CASE("REP OUTSB gives every byte to the device, in order") {
  Guest guest;
  guest.rsi(0x10000).ecx(300).dx(0x100).rep_outsb().hlt();  // the code's own bytes are the data
  auto machine = load_guest<Machine1>(guest);
  REQUIRE(machine.run());
  auto const& writes = machine.device<Ports>()->writes;
  REQUIRE(writes.size() == 300);
  for (std::size_t i = 0; i < guest.code.size(); ++i) CHECK(writes[i] == Access{0, 1, guest.code[i]});
}

TEST_CASE("REP INSB fills guest memory") {
  auto machine = load_guest<Machine1>(Guest().rdi(0x20000).ecx(100).dx(0x101).rep_insb().hlt());
  REQUIRE(machine.run());
  CHECK(machine.device<Ports>()->reads.size() == 100);
  for (GuestAddress at = 0x20000; at < 0x20000 + 100; ++at) CHECK(machine.memory().load<std::uint8_t>(at) == 0x12);
  CHECK(machine.memory().load<std::uint8_t>(0x20000 + 100) == 0);
}

TEST_CASE("memory-mapped writes of every width") {
  auto machine = load_guest<Machine1>(
      Guest().rax(0x1122'3344'5566'7788).rdi(window + 0x10).store8().store16().store32().store64().hlt());
  REQUIRE(machine.run());
  CHECK(machine.device<Window>()->writes ==
        std::vector<Access>{
            {0x10, 1, 0x88}, {0x10, 2, 0x7788}, {0x10, 4, 0x5566'7788}, {0x10, 8, 0x1122'3344'5566'7788}});
}

TEST_CASE("memory-mapped reads of every width") {
  auto read = [](auto width) {
    Guest guest;
    guest.rax(0).rsi(window);
    auto machine = load_guest<Machine1>((guest.*width)().hlt());
    REQUIRE(machine.run());
    return rax_of(machine);
  };
  CHECK(read(&Guest::load8) == 0x11);
  CHECK(read(&Guest::load16) == 0x2211);
  CHECK(read(&Guest::load32) == 0x4433'2211);
  CHECK(read(&Guest::load64) == 0x8877'6655'4433'2211);
}

TEST_CASE("an access over a window's end: the device gets its bytes, the rest reads all-ones") {
  auto machine = load_guest<Machine1>(Guest().rax(0).dx(0x106).in32().hlt());
  REQUIRE(machine.run());
  CHECK(rax_of(machine) == 0xffff'1817);  // offsets 6 and 7, one byte each
  CHECK(machine.device<Ports>()->reads == std::vector<Access>{{6, 1, 0}, {7, 1, 0}});
  CHECK(machine.counters().unclaimed.ports.value() == 1);
}

TEST_CASE("what nobody claims reads all-ones, whatever was there before") {
  auto port = load_guest<Machine1>(Guest().rax(0x12).dx(0x100).out8().dx(0x9999).in32().hlt());
  REQUIRE(port.run());
  CHECK(rax_of(port) == 0xffff'ffff);
  auto memory = load_guest<Machine1>(Guest().rax(0).rsi(window + 0x2000).load64().hlt());
  REQUIRE(memory.run());
  CHECK(rax_of(memory) == ~0ull);
  CHECK(memory.counters().unclaimed.mmio.value() == 1);
}
