#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/observe/observe.hpp>

#include "fake_machine.hpp"

// Devices that are PCI functions: which number each gets, what is kept free for configuration space, what the guest is
// told of the bus. How the ACPI tables are encoded is seen in acpi_tables.cpp.

using namespace axvm;

namespace pci_test {

constexpr AddressMap map = Portable::address_map;

/// What a device claims, and what the layout says of all of them.
using Lists = std::initializer_list<std::initializer_list<Claim>>;
template <std::size_t N>
constexpr detail::LayoutResult<N> placed(Lists devices, AddressMap const& where = map) {
  std::array<PlacedClaim, N> claims{};
  std::size_t n = 0, device = 0;
  for (auto const& list : devices) {
    std::size_t index = 0;
    for (Claim const& claim : list) claims[n++] = {claim, device, index++};
    ++device;
  }
  return detail::place(claims, where);
}
constexpr Claim function = PciFunction{}.value();

/// The base of every claim.
template <std::size_t N>
std::array<std::uint64_t, N> bases(detail::LayoutResult<N> const& result) {
  std::array<std::uint64_t, N> list{};
  for (std::size_t i = 0; i < N; ++i) list[i] = result.claims[i].claim.base;
  return list;
}

std::vector<std::uint64_t> seen;

/// A function with a window of memory and one of ports; its configuration space reads as its number and the offset.
struct Card {
  static constexpr auto claims =
      axvm::claims(PciFunction<"function">{}, Mmio<"bar">{.size = 0x1000}, Pio<"doorbell">{.size = 4});
  struct Config {
    bool there = true;
    unsigned number = 0;
  };
  static constexpr bool present(Config const& config) { return config.there; }
  Card(Config const& config, DeviceContext&) : number_(config.number) {}
  void read(In<"function">, MmioAccess& access) const { access.value = number_ << 16 | access.offset; }
  void write(In<"function">, MmioAccess const& access) { seen.push_back(number_ << 16 | access.offset); }
  void read(In<"bar">, MmioAccess& access) const { access.value = 0xba; }
  void write(In<"bar">, MmioAccess const&) {}
  void read(In<"doorbell">, PioAccess& access) const { access.value = 0xdb; }
  void write(In<"doorbell">, PioAccess const&) {}

 private:
  std::uint64_t number_;
};

template <class... Ds>
using With = Machine<Portable, Devices<Ds...>, Handlers<>, fake::Fake>;
using Three = With<Uart8250, Card, Repeat<2, Card>>;

/// What a machine has written for its guest where the ACPI tables are.
template <class M>
std::vector<std::byte> tables_of(typename M::Config const& config = {.memory = 2 * MiB}) {
  auto machine = on_fake::make<M>(fake::Fake(), config);
  const std::byte* tables = machine.memory().at(map.acpi_tables, map.acpi_tables_size);
  REQUIRE(tables != nullptr);
  return {tables, tables + map.acpi_tables_size};
}
bool has(std::vector<std::byte> const& bytes, std::string_view what) {
  return std::string_view(reinterpret_cast<char const*>(bytes.data()), bytes.size()).find(what) !=
         std::string_view::npos;
}
/// The first and the last address in a descriptor of an address space, as numbers of the size of a T.
template <class T>
std::string range(T first, T last) {
  const std::array<T, 3> fields{0, first, last};  // _GRA, _MIN, _MAX
  return {reinterpret_cast<char const*>(fields.data()), sizeof fields};
}
constexpr std::string_view host_bridge("\x41\xd0\x0a\x03", 4), motherboard("\x41\xd0\x0c\x02", 4);

}  // namespace pci_test

using namespace pci_test;
using detail::FaultKind;

TEST_CASE("PCI devices are numbered in the order of the list, whatever stands between them") {
  const auto result = placed<6>({{function, Mmio{}.value()}, {Mmio{}.value()}, {Pio{}.value(), function}, {function}});
  CHECK(result.fault.kind == FaultKind::None);
  CHECK(result.pci_devices == 3);
  CHECK(bases(result) ==
        std::array<std::uint64_t, 6>{0xfeb0'0000, 0xd000'0000, 0xd000'1000, 0xc000, 0xfeb0'8000, 0xfeb1'0000});
  for (std::size_t i : {0u, 4u, 5u}) CHECK(result.claims[i].claim.size == 0x1000);
}

TEST_CASE("without a PCI function nothing is kept free; with one, all of configuration space is") {
  const Claim all_before = Mmio{.size = map.pci_config - map.hole}.value(), page = Mmio{}.value();
  const auto without = placed<2>({{all_before}, {page}});
  CHECK(without.fault.kind == FaultKind::None);
  CHECK(without.pci_devices == 0);
  CHECK(bases(without) == std::array<std::uint64_t, 2>{map.hole, map.pci_config});
  const auto fits = placed<2>({{all_before}, {function}});
  CHECK(bases(fits) == std::array<std::uint64_t, 2>{map.hole, map.pci_config});
  const auto full = placed<3>({{all_before}, {page}, {function}});
  CHECK(full.fault.kind == FaultKind::NoRoomForWindow);
  CHECK(full.fault.a == 1);

  // Elsewhere in the hole it is gone around.
  AddressMap low = map;
  low.pci_config = map.hole;
  CHECK(bases(placed<2>({{page}, {function}}, low)) == std::array<std::uint64_t, 2>{map.hole + MiB, map.hole});
}

TEST_CASE("a fixed window in configuration space overlaps with the first PCI function") {
  for (const std::uint64_t base : {map.pci_config - 0x800, map.pci_config + 0x4000, map.windows_end - 0x1000}) {
    CAPTURE(base);
    const Claim fixed = Mmio{.base = base}.value();
    CHECK(placed<1>({{fixed}}).fault.kind == FaultKind::None);
    const auto before = placed<3>({{fixed}, {function}, {function}}),
               after = placed<3>({{function}, {function}, {fixed}});
    for (auto const& result : {before, after}) {
      CHECK(result.fault.kind == FaultKind::WindowsOverlap);
      CHECK(result.fault.where == std::max(base, map.pci_config));
    }
    CHECK(before.fault.b == 1);
    CHECK(after.fault.a == 0);
    CHECK(after.fault.b == 2);
  }
  const Claim below = Mmio{.base = map.pci_config - 0x1000}.value();
  CHECK(placed<2>({{below}, {function}}).fault.kind == FaultKind::None);
}

TEST_CASE("a bus has 32 device numbers, of which each has room for eight functions") {
  auto of = []<std::size_t N>(std::array<PlacedClaim, N> claims, Claim const& each) {
    for (std::size_t i = 0; i < N; ++i) claims[i] = {each, i, 0};
    return detail::place(claims, map);
  };
  const auto most = of(std::array<PlacedClaim, 32>{}, function);
  CHECK(most.fault.kind == FaultKind::None);
  CHECK(most.claims[31].claim.base == map.pci_config + MiB - 0x8000);
  const auto more = of(std::array<PlacedClaim, 33>{}, function);  // tests/compile_fail/no_free_pci_slot.cpp
  CHECK(more.fault.kind == FaultKind::NoFreePciSlot);
  CHECK(more.fault.a == 32);
  CHECK(more.fault.where == 32);

  CHECK(of(std::array<PlacedClaim, 32>{}, Mmio{.base = pci_slot, .size = 0x8000}.value()).fault.kind ==
        FaultKind::None);
  for (const std::uint64_t size : {0u, 0x8001u})
    CHECK(placed<1>({{Mmio{.base = pci_slot, .size = size}.value()}}).fault.kind == FaultKind::NoRoomForWindow);
}

TEST_CASE("only a window is a PCI function, and configuration space lies in the hole") {
  CHECK(placed<1>({{Pio{.base = pci_slot}.value()}}).fault.kind == FaultKind::PortOutOfRange);
  CHECK(placed<1>({{Irq{.line = pci_slot}.value()}}).fault.kind == FaultKind::LineOutOfRange);
  AddressMap outside = map;
  outside.pci_config = map.windows_end;
  const auto result = placed<1>({{function}}, outside);
  CHECK(result.fault.kind == FaultKind::WindowOutsideHole);
  CHECK(result.fault.where == map.windows_end);
  CHECK(placed<1>({{Mmio{}.value()}}, outside).fault.kind == FaultKind::None);
}

TEST_CASE("accesses to configuration space arrive at their function, and those to none read all-ones") {
  const fake::Fake guest({fake::load(map.pci_config + 0x8004, 4), fake::store(map.pci_config + 0x1'0010, 1, 4),
                          fake::load(map.pci_config + 0x1'8000, 4), fake::load(map.pci_config + 0x1000, 4),
                          fake::load(0xd000'2000, 1), fake::in(0xc008, 1)});
  Three::Config config{.memory = 2 * MiB};
  config.of<Card, 1>().number = 1;
  config.of<Card, 2>().number = 2;
  seen.clear();
  auto machine = on_fake::make<Three>(guest, config);
  REQUIRE(machine.run());
  CHECK(seen == std::vector<std::uint64_t>{0x2'0010});
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{0x1'0004, 0xffff'ffff, 0xffff'ffff, 0xba, 0xdb});
}

TEST_CASE("a guest is told of the bus and of what its present devices lie in") {
  const auto tables = tables_of<Three>();
  CHECK(has(tables, "MCFG"));
  CHECK(has(tables, host_bridge));
  CHECK(has(tables, motherboard));
  CHECK(has(tables, range<std::uint32_t>(0xd000'0000, 0xd000'2fff)));
  CHECK(has(tables, range<std::uint16_t>(0xc000, 0xc00b)));
  CHECK(has(tables, range<std::uint16_t>(0, 0)));

  Three::Config last{.memory = 2 * MiB};
  last.of<Card, 0>().there = last.of<Card, 1>().there = false;
  const auto of_last = tables_of<Three>(last);
  CHECK(has(of_last, "MCFG"));
  CHECK(has(of_last, range<std::uint32_t>(0xd000'2000, 0xd000'2fff)));
  CHECK(has(of_last, range<std::uint16_t>(0xc008, 0xc00b)));
}

TEST_CASE("a guest without PCI functions, or with absent ones only, has the tables of a machine without PCI") {
  Three::Config none{.memory = 2 * MiB};
  none.of<Card, 0>().there = none.of<Card, 1>().there = none.of<Card, 2>().there = false;
  const auto without = tables_of<With<Uart8250>>();
  CHECK(tables_of<Three>(none) == without);
  for (std::string_view word : {std::string_view("MCFG"), host_bridge, motherboard}) CHECK_FALSE(has(without, word));
}

TEST_CASE("a description has the device numbers, and configuration space is free for nobody else") {
  const Description machine = Three::description();
  CHECK(machine.pci_device(map.pci_config + 0x1'0000) == 2u);
  CHECK_FALSE(machine.pci_device(0xd000'0000));
  CHECK_FALSE(With<Uart8250>::description().pci_device(map.pci_config));
  std::uint64_t configuration = 0, end = 0;
  for_each_region(machine, [&](Region const& region) {
    CHECK(region.base == end);
    end = region.base + region.size;
    if (map.in_pci_config(region.base) != map.in_pci_config(end - 1)) FAIL("a region goes beyond");
    if (map.in_pci_config(region.base)) CHECK(region.kind != RegionKind::Hole);
    if (region.kind == RegionKind::PciConfig) configuration += region.size;
  });
  CHECK(configuration == MiB - 3 * 0x1000);

  const std::string text = describe_text(machine);
  CHECK(text.find("PCI 00:02.0") != std::string::npos);
  CHECK(text.find("Card card1 function, PCI 00:01.0\n") != std::string::npos);
  CHECK(describe_json(machine).find("\"00:02.0\"") != std::string::npos);
  CHECK(describe_svg(machine).find("Card card1 function, PCI 00:01.0, ") != std::string::npos);
  CHECK(describe_json(With<Uart8250>::description()).find("pci") == std::string::npos);
}
