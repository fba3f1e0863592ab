#include <doctest/doctest.h>

#include <axvm/compose/compose.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/device/devices.hpp>
#include <cstring>
#include <vector>

// The generated dispatch, compared with a linear scan over the layout: every port, every edge of a window.

using namespace axvm;

namespace {

/// One call of a device's read or write.
struct Call {
  unsigned device;
  std::size_t claim;
  std::uint64_t offset;
  unsigned width;
  bool is_write;
  std::uint64_t value;  ///< what was written

  friend bool operator==(Call const&, Call const&) = default;
};
std::vector<Call> calls;

/// What a byte of a device reads as.
std::uint8_t byte_of(unsigned device, std::size_t claim, std::uint64_t offset) {
  return static_cast<std::uint8_t>(device * 37 + claim * 101 + offset * 5 + 1);
}

template <class Access>
void answer(unsigned device, std::size_t claim, Access& access) {
  calls.push_back({device, claim, access.offset, access.width, false, 0});
  std::uint64_t value = 0;
  for (unsigned i = 0; i < access.width; ++i)
    value |= std::uint64_t{byte_of(device, claim, access.offset + i)} << 8 * i;
  access.value = static_cast<decltype(access.value)>(value);
}
template <class Access>
void note(unsigned device, std::size_t claim, Access const& access) {
  calls.push_back({device, claim, access.offset, access.width, true, access.value});
}

template <std::uint64_t Base, std::uint64_t Size>
struct Ports {
  static constexpr auto claims = axvm::claims(Pio{.base = Base, .size = Size});
  struct Config {
    unsigned id = 0;
  };
  Ports(Config const& config, DeviceContext&) : id(config.id) {}
  void read(PioAccess& access) { answer(id, 0, access); }
  void write(PioAccess const& access) { note(id, 0, access); }
  unsigned id;
};

template <std::uint64_t Base, std::uint64_t Size>
struct Window {
  static constexpr auto claims = axvm::claims(Mmio{.base = Base, .size = Size});
  struct Config {
    unsigned id = 0;
  };
  Window(Config const& config, DeviceContext&) : id(config.id) {}
  void read(MmioAccess& access) { answer(id, 0, access); }
  void write(MmioAccess const& access) { note(id, 0, access); }
  unsigned id;
};

/// Several windows of both kinds, told apart by tags; some of them adjoin each other, in the wrong order.
struct Card {
  static constexpr auto claims =
      axvm::claims(Pio<"high">{.base = 0x508, .size = 8}, Mmio<"registers">{.size = 0x20}, Irq{},
                   Pio<"low">{.base = 0x500, .size = 8}, Mmio<"memory">{.base = 0xe000'0000, .size = 0x1'0000});
  struct Config {
    unsigned id = 0;
  };
  Card(Config const& config, DeviceContext&) : id(config.id) {}
  void read(In<"high">, PioAccess& access) { answer(id, 0, access); }
  void write(In<"high">, PioAccess const& access) { note(id, 0, access); }
  void read(In<"registers">, MmioAccess& access) { answer(id, 1, access); }
  void write(In<"registers">, MmioAccess const& access) { note(id, 1, access); }
  void read(In<"low">, PioAccess& access) { answer(id, 3, access); }
  void write(In<"low">, PioAccess const& access) { note(id, 3, access); }
  void read(In<"memory">, MmioAccess& access) { answer(id, 4, access); }
  void write(In<"memory">, MmioAccess const& access) { note(id, 4, access); }
  unsigned id;
};

/// Nothing is asked of it here.
struct NoHypervisor {};

/// Sizes below and above the width of an access, neighbours without a gap, the first and the last port there are.
using List = Devices<Ports<0, 1>, Ports<1, 1>, Ports<2, 2>, Ports<0x20, 3>, Card, Ports<0xffff, 1>, Ports<0x40, 4>,
                     Ports<0xfff8, 4>, Ports<floating, 16>, Ports<0x100, 0x80>, Ports<0x180, 0x80>, Ports<0x3f8, 8>,
                     Window<0xd000'0000, 1>, Window<0xd000'0001, 2>, Window<0xd000'0003, 5>, Window<floating, 0x1800>,
                     Window<0xd100'0000, 0x1000>, Window<0xd100'1000, 0x1000>, Window<0xfebf'fff0, 0x10>>;
struct Composed : Composition<Bare, List, NoHypervisor> {
  static constexpr std::size_t windows = 9, least_reached = 1000;  ///< accesses of ports that reach a device
};

/// Rows of equal windows side by side, long enough for a switch, with others before and after them.
struct WithRows
    : Composition<Bare,
                  Devices<Ports<0x20, 3>, Repeat<20, Ports<floating, 8>>, Ports<0xfff0, 2>, Window<0xd000'0000, 0x30>,
                          Repeat<18, Window<floating, 0x1000>>, Window<0xe000'0000, 4>, Window<0xfebf'fff0, 0x10>>,
                  NoHypervisor> {
  static constexpr std::size_t windows = 21, least_reached = 6 * (3 + 20 * 8 + 2);
};
/// Nothing but rows.
struct RowsOnly
    : Composition<Bare, Devices<Repeat<40, Ports<floating, 1>>, Repeat<17, Window<floating, 0x40>>>, NoHypervisor> {
  static constexpr std::size_t windows = 17, least_reached = 6 * 40;
};

/// A window that answers to `address`, or null: what dispatch is to find, by looking at every claim.
template <ClaimKind Kind, class Composed>
PlacedClaim const* owner_of(std::uint64_t address) {
  for (PlacedClaim const& placed : Composed::layout)
    if (placed.claim.kind == Kind && address >= placed.claim.base && address - placed.claim.base < placed.claim.size)
      return &placed;
  return nullptr;
}

/// What an access must do: the calls it makes, the value it reads and whether it counts as unclaimed.
struct Outcome {
  std::vector<Call> calls;
  std::uint64_t value = 0;
  bool unclaimed = false;
};

template <ClaimKind Kind, class Composed>
Outcome expected(std::uint64_t address, unsigned width, bool is_write, std::uint64_t written) {
  Outcome out;
  PlacedClaim const* first = owner_of<Kind, Composed>(address);
  const bool whole = first != nullptr && first->claim.size - (address - first->claim.base) >= width;
  for (unsigned i = 0; i < width; ++i) {
    PlacedClaim const* owner = owner_of<Kind, Composed>(address + i);
    const std::uint64_t offset = owner != nullptr ? address + i - owner->claim.base : 0;
    const auto device = owner != nullptr ? static_cast<unsigned>(owner->device) : 0;
    const std::uint64_t byte = owner != nullptr ? byte_of(device, owner->index, offset) : 0xff;
    out.value |= byte << 8 * i;
    if (owner == nullptr) out.unclaimed = true;
    else if (whole && i == 0) out.calls.push_back({device, owner->index, offset, width, is_write, written});
    else if (!whole)
      out.calls.push_back({device, owner->index, offset, 1, is_write, is_write ? written >> 8 * i & 0xff : 0});
  }
  return out;
}

template <class Composed>
struct Bench {
  Bench() {
    board.for_each_cell([&]<std::size_t I>(auto& cell) {
      if constexpr (requires { cell.config.id; }) cell.config.id = I;
      DeviceContext context;
      cell.build(context);
    });
  }

  /// Makes an access and compares all of it with the scan; says whether it is right.
  template <ClaimKind Kind>
  bool access(std::uint64_t address, unsigned width, bool is_write) {
    constexpr std::uint64_t pattern = 0x8877'6655'4433'2211;
    const std::uint64_t mask = all_ones(width);
    std::byte data[8];
    std::memcpy(data, &pattern, sizeof data);
    calls.clear();
    Counter const& counter = Kind == ClaimKind::Pio ? unclaimed.ports : unclaimed.mmio;
    const std::uint64_t before = counter.value();
    const auto size = static_cast<std::uint8_t>(width);
    if constexpr (Kind == ClaimKind::Pio)
      board.io({static_cast<std::uint16_t>(address), size, is_write, 1, data}, unclaimed);
    else board.mmio({address, size, is_write, data}, unclaimed);
    const Outcome wanted = expected<Kind, Composed>(address, width, is_write, is_write ? pattern & mask : 0);
    std::uint64_t value;
    std::memcpy(&value, data, sizeof value);
    return calls == wanted.calls && counter.value() - before == (wanted.unclaimed ? 1u : 0u) &&
           (is_write || (value & mask) == wanted.value);
  }

  Board<Composed> board;
  UnclaimedCounters unclaimed;
};

}  // namespace

TEST_CASE_TEMPLATE("dispatch: all ports, all widths, reads and writes, as a linear scan finds them", TestType, Composed,
                   WithRows, RowsOnly) {
  Bench<TestType> bench;
  std::size_t wrong = 0, reached = 0;
  for (std::uint32_t port = 0; port <= 0xffff; ++port)
    for (const unsigned width : {1u, 2u, 4u})
      for (const bool is_write : {false, true}) {
        const bool right = bench.template access<ClaimKind::Pio>(port, width, is_write);
        reached += calls.empty() ? 0 : 1;
        if (!right && ++wrong < 10) CHECK_MESSAGE(right, "port ", port, " width ", width, " write ", is_write);
      }
  CHECK(wrong == 0);
  CHECK(reached > TestType::least_reached);
}

TEST_CASE_TEMPLATE("dispatch: every edge of every window, every width, as a linear scan finds them", TestType, Composed,
                   WithRows, RowsOnly) {
  Bench<TestType> bench;
  std::size_t windows = 0;
  for (PlacedClaim const& placed : TestType::layout) {
    if (placed.claim.kind != ClaimKind::Mmio) continue;
    ++windows;
    for (const std::uint64_t edge : {placed.claim.base, placed.claim.base + placed.claim.size})
      for (std::uint64_t address = edge - 16; address != edge + 16; ++address)
        for (unsigned width = 1; width <= 8; ++width)
          for (const bool is_write : {false, true})
            CHECK_MESSAGE(bench.template access<ClaimKind::Mmio>(address, width, is_write), "address ", address,
                          " width ", width, " write ", is_write);
  }
  CHECK(windows == TestType::windows);
  for (const std::uint64_t address : {0ull, 0xcfff'fffcull, 0xffff'fffcull, 0x1'0000'0000ull, ~0ull - 7})
    for (const bool is_write : {false, true}) CHECK(bench.template access<ClaimKind::Mmio>(address, 8, is_write));
}

TEST_CASE("dispatch: an access over an edge is its bytes, each to whoever owns it") {
  Bench<Composed> bench;
  std::byte data[8]{};
  // 0x506 and 0x507 belong to the window below, 0x508 and 0x509 to the one above.
  calls.clear();
  bench.board.io({0x506, 4, false, 1, data}, bench.unclaimed);
  CHECK(calls == std::vector<Call>{
                     {4, 3, 6, 1, false, 0}, {4, 3, 7, 1, false, 0}, {4, 0, 0, 1, false, 0}, {4, 0, 1, 1, false, 0}});
  CHECK(bench.unclaimed.ports.value() == 0);
  // The last port: what comes after it is nobody's, and nothing wraps around to port 0.
  calls.clear();
  bench.board.io({0xffff, 4, false, 1, data}, bench.unclaimed);
  CHECK(calls == std::vector<Call>{{5, 0, 0, 1, false, 0}});
  CHECK(static_cast<unsigned>(data[0]) == byte_of(5, 0, 0));
  for (unsigned i = 1; i < 4; ++i) CHECK(static_cast<unsigned>(data[i]) == 0xff);
  CHECK(bench.unclaimed.ports.value() == 1);
}

TEST_CASE("dispatch: string instructions are their items, in order, to the same port") {
  Bench<Composed> bench;
  SUBCASE("out") {
    std::vector<std::byte> data(3 * 2 + 8);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i + 1);
    calls.clear();
    bench.board.io({0x3f8, 2, true, 3, data.data()}, bench.unclaimed);
    CHECK(calls ==
          std::vector<Call>{{11, 0, 0, 2, true, 0x0201}, {11, 0, 0, 2, true, 0x0403}, {11, 0, 0, 2, true, 0x0605}});
  }
  SUBCASE("in, and nothing after the last item is touched") {
    std::vector<std::byte> data(5 + 8, std::byte{0xee});
    calls.clear();
    bench.board.io({0x3f9, 1, false, 5, data.data()}, bench.unclaimed);
    CHECK(calls == std::vector<Call>(5, {11, 0, 1, 1, false, 0}));
    for (std::size_t i = 0; i < data.size(); ++i)
      CHECK(static_cast<unsigned>(data[i]) == (i < 5 ? byte_of(11, 0, 1) : 0xee));
  }
  SUBCASE("over an edge") {
    std::vector<std::byte> data(2 * 4 + 8, std::byte{0xee});
    calls.clear();
    bench.board.io({0x3fe, 4, false, 2, data.data()}, bench.unclaimed);
    CHECK(calls ==
          std::vector<Call>{
              {11, 0, 6, 1, false, 0}, {11, 0, 7, 1, false, 0}, {11, 0, 6, 1, false, 0}, {11, 0, 7, 1, false, 0}});
    for (const std::size_t item : {0u, 4u}) {
      CHECK(static_cast<unsigned>(data[item]) == byte_of(11, 0, 6));
      CHECK(static_cast<unsigned>(data[item + 2]) == 0xff);
    }
    CHECK(bench.unclaimed.ports.value() == 2);
  }
  SUBCASE("no items") {
    std::byte data[8]{};
    calls.clear();
    bench.board.io({0x3f8, 1, true, 0, data}, bench.unclaimed);
    CHECK(calls.empty());
  }
}
