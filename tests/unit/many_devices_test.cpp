#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

// A machine with more devices than anybody has at once, and one address map for every size of memory.

using namespace axvm;

namespace {

/// One access as a device saw it.
struct Seen {
  unsigned device = 0;
  bool is_port = false;
  std::uint64_t offset = 0, value = 0;

  friend bool operator==(Seen const&, Seen const&) = default;
};
std::vector<Seen> seen;

/// Has a window of ports and one of memory; answers with its number; a write to its last port pulses its line.
template <class... Line>
class Card {
 public:
  static constexpr std::uint64_t ports = 4, window = 0x1000;
  static constexpr auto claims = axvm::claims(Pio{.size = ports}, Mmio{.size = window}, Line{}...);
  struct Config {
    unsigned number = 0;
  };
  Card(Config const& config, DeviceContext& context) : number_(config.number) {
    if constexpr (sizeof...(Line) != 0) irq_ = context.irq();
  }
  void read(PioAccess& access) { access.value = static_cast<std::uint32_t>(0x100 + number_); }
  void write(PioAccess const& access) {
    seen.push_back({number_, true, access.offset, access.value});
    if (access.offset == ports - 1) irq_.pulse();
  }
  void read(MmioAccess& access) { access.value = 0x200 + number_; }
  void write(MmioAccess const& access) { seen.push_back({number_, false, access.offset, access.value}); }

 private:
  unsigned number_;
  IrqLine irq_;
};
using Plain = Card<>;
using WithLine = Card<Irq<>>;

constexpr std::size_t free_lines = floating_lines.size();
/// Both kinds mixed, as many lines as there are; tests/compile_fail/no_free_irq_pc.cpp has one line more.
using Cards = Devices<Repeat<10, WithLine>, Repeat<19, Plain>, Repeat<free_lines - 10, WithLine>>;
using M = Machine<Portable, Cards, Handlers<>, fake::Fake>;
constexpr std::size_t platform = ImplicitDevices<Portable>::count;
constexpr std::size_t cards = Flat<Cards>::count;
static_assert(cards >= 32 && M::List::count == platform + cards);

/// The place of a card's claim of this kind; null when it has none.
constexpr Claim const* claim_of(std::size_t card, ClaimKind kind) {
  for (PlacedClaim const& placed : M::layout)
    if (placed.device == platform + card && placed.claim.kind == kind) return &placed.claim;
  return nullptr;
}

M::Config numbered() {
  M::Config config{.memory = 2 * MiB};
  [&]<std::size_t... Is>(std::index_sequence<Is...>) {
    ((boost::hana::at_c<platform + Is>(config.devices).number = Is), ...);
  }(std::make_index_sequence<cards>{});
  return config;
}

}  // namespace

TEST_CASE("sixty devices: every access arrives at the device whose window it is in, at both ends of the window") {
  fake::Script script;
  std::vector<Seen> wanted;
  std::vector<std::uint64_t> reads;
  auto touch = [&](unsigned card) {
    const std::uint64_t port = claim_of(card, ClaimKind::Pio)->base, window = claim_of(card, ClaimKind::Mmio)->base;
    for (const std::uint64_t offset : {std::uint64_t{0}, Plain::ports - 1}) {
      script.push_back(fake::out(static_cast<std::uint16_t>(port + offset), card));
      wanted.push_back({card, true, offset, card});
      script.push_back(fake::in(static_cast<std::uint16_t>(port + offset), 1));
      reads.push_back(static_cast<std::uint8_t>(0x100 + card));
    }
    for (const std::uint64_t offset : {std::uint64_t{0}, Plain::window - 8}) {
      script.push_back(fake::store(window + offset, 3 * card, 8));
      wanted.push_back({card, false, offset, 3 * card});
      script.push_back(fake::load(window + offset, 8));
      reads.push_back(0x200 + card);
    }
  };
  for (unsigned i = 0; i < cards; ++i) touch(i * 7 % cards);  // not in the order of the list
  static_assert(cards % 7 != 0);

  const fake::Fake guest(script);
  auto machine = M::create(numbered(), Host{}, guest);
  REQUIRE(machine);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  seen.clear();
  REQUIRE(machine->run());
  CHECK(seen == wanted);
  CHECK(guest.recorder().reads == reads);
}

TEST_CASE("sixty devices: each line is one device's alone, and all lines that can be given away are") {
  fake::Script script;
  std::vector<fake::LineChange> wanted;
  std::set<std::uint64_t> lines;
  for (unsigned i = 0; i < cards; ++i) {
    script.push_back(fake::out(static_cast<std::uint16_t>(claim_of(i, ClaimKind::Pio)->base + Plain::ports - 1), 1));
    if (Claim const* line = claim_of(i, ClaimKind::Irq)) {
      CAPTURE(line->base);
      CHECK(lines.insert(line->base).second);
      wanted.push_back({line->base, true});
      wanted.push_back({line->base, false});
    }
  }
  CHECK(lines == std::set<std::uint64_t>(floating_lines.begin(), floating_lines.end()));
  CHECK(lines.size() == 45);  // as NoFreeIrq says
  for (const std::uint64_t taken : {0u, 2u, unsigned{AcpiPower::sci_interrupt}}) CHECK(lines.count(taken) == 0);

  const fake::Fake guest(script);
  auto machine = M::create(numbered(), Host{}, guest);
  REQUIRE(machine);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  REQUIRE(machine->run());
  CHECK(guest.recorder().interrupts == wanted);
}

TEST_CASE("sixty devices: no window overlaps RAM, whatever the size of memory from 1 MiB to 1 TiB") {
  constexpr AddressMap map = Portable::address_map;
  std::vector<std::uint64_t> sizes{map.hole - 4_KiB, map.hole + 4_KiB, map.windows_end, map.high_ram - 4_KiB,
                                   map.high_ram + 4_KiB};
  for (std::uint64_t size = 1_MiB; size <= 1_TiB; size *= 2)
    for (const std::uint64_t some : {size, size + 4_KiB, size + size / 2, size + size / 3 / 4_KiB * 4_KiB})
      if (some <= 1_TiB) sizes.push_back(some);
  // Where one region of RAM becomes two, every page for some way.
  for (std::uint64_t size = map.hole - 64 * 4_KiB; size <= map.hole + 64 * 4_KiB; size += 4_KiB) sizes.push_back(size);
  for (std::uint64_t size = map.high_ram - 1_GiB; size <= map.high_ram + 1_GiB; size += 16_MiB) sizes.push_back(size);

  auto apart = [](std::uint64_t a, std::uint64_t a_size, std::uint64_t b, std::uint64_t b_size) {
    return a + a_size <= b || b + b_size <= a;
  };
  M::Config config;
  std::size_t reserved = 0;
  for (const std::uint64_t size : sizes) {
    CAPTURE(size);
    // What is mapped. Nothing is touched, so that a terabyte costs nothing; a host may refuse so much all the same.
    const auto ram = GuestRam::reserve(size, map);
    if (ram) ++reserved;
    else CHECK((size > 8_GiB && ram.error().code == ErrorCode::OutOfMemory));
    std::uint64_t mapped = 0;
    if (ram)
      for (GuestRegion const& region : ram->regions()) {
        mapped += region.size;
        for (PlacedClaim const& placed : M::layout)
          if (placed.claim.kind == ClaimKind::Mmio)
            REQUIRE(apart(region.base, region.size, placed.claim.base, placed.claim.size));
      }
    if (ram) CHECK(mapped == size);
    // What a person is shown: all of memory, every window in its place, one after the other.
    config.memory = size;
    std::uint64_t shown = 0, end = 0;
    std::size_t windows = 0;
    for_each_region(M::description(config), [&](Region const& region) {
      REQUIRE(region.base == end);
      end = region.base + region.size;
      if (region.kind == RegionKind::Ram || region.kind == RegionKind::AcpiTables) shown += region.size;
      if (region.kind == RegionKind::Window) ++windows;
    });
    CHECK(shown == size);
    CHECK(windows == cards);
  }
  CHECK(reserved > sizes.size() / 2);
}

namespace {

template <std::uint64_t Size>
struct Screen {
  static constexpr auto claims = axvm::claims(Pio{.size = 3}, Mmio{.size = Size});
  struct Config {};
  Screen(Config const&, DeviceContext&) {}
  void read(auto&) {}
  void write(auto const&) {}
};

}  // namespace

TEST_CASE("windows: the first of a size begins where the hole does, aligned or not; others on multiples of a size") {
  using Screens =
      Composition<Bare, Devices<Screen<512 * MiB>, Screen<200 * MiB>, Screen<MiB>, Screen<MiB>>, fake::Fake>;
  std::vector<std::uint64_t> ports, windows;
  for (PlacedClaim const& placed : Screens::layout)
    (placed.claim.kind == ClaimKind::Pio ? ports : windows).push_back(placed.claim.base);
  CHECK(ports == std::vector<std::uint64_t>{0xc000, 0xc004, 0xc008, 0xc00c});
  CHECK(Bare::address_map.hole % (512 * MiB) != 0);
  CHECK(windows == std::vector<std::uint64_t>{0xd000'0000, 0xf000'0000, 0xfc80'0000, 0xfc90'0000});
}
