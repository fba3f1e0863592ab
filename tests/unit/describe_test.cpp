#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/acpi/acpi.hpp>
#include <axvm/compose/compose.hpp>
#include <axvm/compose/description.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/device/devices.hpp>
#include <axvm/observe/observe.hpp>
#include <axvm/virtio/virtio.hpp>

// Descriptions of machines: the values, and what the renderers make of them. With AXVM_DESCRIBE_DUMP naming a folder,
// the outputs of some machines are written there for describe_outputs_test.py.

using namespace axvm;

namespace describe_test {

/// What is asked of a hypervisor here.
struct OnPaper {
  static constexpr bool has(Feature) { return true; }
};
struct LocalApicsOnly : OnPaper {
  static constexpr bool lacks_io_apic = true;
};

/// Something a user might invent, with nothing said of it anywhere else.
struct Chime {
  static constexpr auto claims = axvm::claims(Mmio<"bell">{.size = 0x1000}, Mmio<"log">{.size = 8},
                                              Irq<"rung">{.trigger = Trigger::Level}, Msi<"each">{.vectors = 3});
  struct Config {
    int initial = 0;
  };
  Chime(Config const&, DeviceContext&) {}
  void read(In<"bell">, MmioAccess&) {}
  void write(In<"bell">, MmioAccess const&) {}
  void read(In<"log">, MmioAccess&) {}
  void write(In<"log">, MmioAccess const&) {}
  static void describe_acpi(acpi::Aml& aml, Placement const& place) {
    aml.scope("\\_SB.PCI0", [&] {
      aml.device(acpi::device_name("CH", place.instance), [&] {
        aml.name("_UID", 70000);
        aml.method("_STA", [&] { aml.return_(15); });
        aml.name("_HID", "AXVM0001");
      });
    });
  }
};

/// The worst for who lays out text: long names, and characters that the formats treat specially.
template <class>
struct ADeviceWithARatherLongNameThatNoColumnHasRoomFor {
  static constexpr auto claims = axvm::claims(Pio<"<a>&\"b\"\\ and what else there is">{.size = 300},
                                              Mmio<"a_window_whose_name_is_long_and_has_no_space">{.size = 3 * MiB});
  struct Config {
    int fields = 0;
  };
  ADeviceWithARatherLongNameThatNoColumnHasRoomFor(Config const&, DeviceContext&) {}
  template <class Tag>
  void read(Tag, auto&) {}
  template <class Tag>
  void write(Tag, auto const&) {}
};

struct Plain {
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000});
  struct Config {
    bool there = true;
  };
  static constexpr bool present(Config const& config) { return config.there; }
  Plain(Config const&, DeviceContext&) {}
  void read(MmioAccess&) {}
  void write(MmioAccess const&) {}
};

template <class Profile, class DeviceList, class H = OnPaper>
struct Machine {
  using Composition = axvm::Composition<Profile, DeviceList, H>;
  using Config = MachineConfig<typename Composition::List>;
  static constexpr Description description(Config const& config = {}) {
    return describe_composition<Composition>(config);
  }
};

using Xv2 = Machine<IvyBridgeXv2, Devices<Uart8250, Pit8254, Repeat<2, VirtioBlk>>>;
using Small = Machine<Bare, Devices<DebugExit>>;
using Nothing = Machine<Bare, Devices<>>;
using Invented = Machine<Portable, Devices<Uart8250, Pit8254, Chime, Chime>>;
using Large = Machine<Portable, Devices<Uart8250, Pit8254, Repeat<14, VirtioBlk>, Repeat<14, Plain>>>;
using Awkward =
    Machine<Portable, Devices<ADeviceWithARatherLongNameThatNoColumnHasRoomFor<Chime>, Repeat<2, Chime>, DebugExit>>;

Xv2::Config one_disk() {
  Xv2::Config config{.memory = 6 * GiB, .vcpus = 4};
  config.of<VirtioBlk>().path = "disk.img";
  return config;
}

std::vector<Region> regions_of(Description const& machine) {
  std::vector<Region> regions;
  for_each_region(machine, [&](Region const& region) { regions.push_back(region); });
  return regions;
}

std::vector<std::string> lines_of(std::string const& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return lines;
}

bool contains(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::size_t count(std::string const& text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

template <class M>
void dump(std::string const& name, typename M::Config const& config = {}) {
  char const* directory = std::getenv("AXVM_DESCRIBE_DUMP");
  if (directory == nullptr) return;
  const Description machine = M::description(config);
  const std::string base = std::string(directory) + "/" + name;
  std::ofstream(base + ".txt") << describe_text(machine);
  std::ofstream(base + ".json") << describe_json(machine);
  std::ofstream(base + ".svg") << describe_svg(machine);
}

}  // namespace describe_test

using namespace describe_test;

TEST_CASE("a description has every device with its places, and knows which are there") {
  const Description machine = Xv2::description(one_disk());
  CHECK(machine.profile_type == "IvyBridgeXv2");
  CHECK(machine.profile == IvyBridgeXv2::name);
  CHECK(machine.hypervisor == "OnPaper");
  CHECK(machine.vcpus == 4);
  CHECK(machine.max_vcpus == 20);
  CHECK(machine.cpu_use == CpuUse::shared);
  CHECK(machine.halt_poll_ns == 50'000u);
  CHECK(machine.memory == 6 * GiB);
  CHECK(machine.has_interrupts);

  struct Expected {
    std::string_view type, name, path, hid;
    bool implicit, present;
  };
  constexpr Expected expected[] = {
      {"AcpiPower", "", "", "", true, true},
      {"I8042", "", "", "", true, true},
      {"Uart8250", "uart0", "\\_SB.COM1", "PNP0501", false, true},
      {"Pit8254", "", "", "", false, true},
      {"VirtioBlk", "blk0", "\\_SB.VR05", "LNRO0005", false, true},
      {"VirtioBlk", "blk1", "\\_SB.VR06", "LNRO0005", false, false},
  };
  REQUIRE(machine.devices.size() == std::size(expected));
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    CAPTURE(expected[i].type);
    DeviceDescription const& device = machine.devices[i];
    CHECK(device.type == expected[i].type);
    CHECK(device.name == expected[i].name);
    CHECK(device.implicit == expected[i].implicit);
    CHECK(machine.present(i) == expected[i].present);
    const AcpiNode node = device.acpi_node();
    CHECK(node.path == expected[i].path);
    CHECK(node.hid == expected[i].hid);
  }
  // The places are those of the layout, not written again.
  std::size_t n = 0;
  for (PlacedClaim const& placed : Xv2::Composition::layout) {
    Claim const& claim = machine.devices[placed.device].claims[placed.index];
    CHECK(claim.base == placed.claim.base);
    CHECK(claim.size == placed.claim.size);
    CHECK(claim.kind == placed.claim.kind);
    ++n;
  }
  CHECK(n == 13);
}

TEST_CASE("a description is a constant where the devices allow it, and refers to nothing that goes away") {
  using M = Machine<Bare, Devices<Plain, Plain>>;
  static constexpr Description machine = [] {
    M::Config config;
    boost::hana::at_c<1>(config.devices).there = false;
    return M::description(config);
  }();
  static_assert(machine.present(0) && !machine.present(1));
  static_assert(machine.devices[1].name == std::string_view("plain1"));
  static_assert([] {
    std::size_t windows = 0;
    for_each_region(machine, [&](Region const& region) { windows += region.kind == RegionKind::Window ? 1 : 0; });
    return windows;
  }() == 2);
  CHECK(machine.devices.size() == 2);
}

TEST_CASE("whose the interrupt controllers are: the hypervisor's, or the I/O APIC is a device of the machine") {
  using Own = Machine<IvyBridgeXv2, Devices<Uart8250>, LocalApicsOnly>;
  using Theirs = Machine<IvyBridgeXv2, Devices<Uart8250>>;
  CHECK(Own::description().own_io_apic);
  CHECK(Own::description().devices.back().type == "IoApic");
  CHECK_FALSE(Theirs::description().own_io_apic);
  CHECK(contains(describe_text(Own::description()), "hypervisor LocalApicsOnly with local APICs\n"));
  CHECK(contains(describe_text(Theirs::description()), "hypervisor OnPaper with local APICs and I/O APIC\n"));
  auto region = [](std::string const& svg, std::string_view title) {  // how it looks
    const std::size_t at = svg.rfind("<rect", svg.find(title));
    return svg.substr(at, svg.find(" x=", at) - at);
  };
  for (std::string_view region_of_both : {"<title>local APIC, ", "<title>hypervisor pages, "}) {
    CHECK(region(describe_svg(Own::description()), region_of_both) == "<rect class=\"hypervisor\"");
    CHECK(region(describe_svg(Theirs::description()), region_of_both) == "<rect class=\"hypervisor\"");
  }
  CHECK(region(describe_svg(Own::description()), "<title>I/O APIC, ") == "<rect class=\"device\"");
  CHECK(region(describe_svg(Theirs::description()), "<title>I/O APIC, ") == "<rect class=\"hypervisor\"");
}

TEST_CASE("the address map covers everything once, in order, for any memory size") {
  const std::uint64_t sizes[] = {0,           64 * KiB,    MiB,     2 * MiB,
                                 512 * MiB,   0xcfff'f000, 3 * GiB, 4 * GiB,
                                 0xd000'0000, 6 * GiB,     3 * TiB, std::numeric_limits<std::uint64_t>::max()};
  for (std::uint64_t memory : sizes) {
    CAPTURE(memory);
    Large::Config config;
    config.memory = memory;
    const auto regions = regions_of(Large::description(config));
    GuestAddress at = 0;
    std::uint64_t ram = 0;
    std::size_t windows = 0;
    for (Region const& region : regions) {
      CHECK(region.base == at);
      CHECK(region.size != 0);
      at = region.base + region.size;
      windows += region.kind == RegionKind::Window ? 1 : 0;
      if (region.kind == RegionKind::Ram || region.kind == RegionKind::AcpiTables) ram += region.size;
      if (region.kind == RegionKind::Hole || region.kind == RegionKind::Window) {
        CHECK(region.base >= Portable::address_map.hole);
        CHECK(at <= Portable::address_map.windows_end);
      }
    }
    CHECK(windows == 28);
    CHECK(at >= 4 * GiB);
    if (memory >= MiB && memory <= 3 * TiB) CHECK(ram == memory);
  }
}

TEST_CASE("a machine without a platform has no controllers, tables or devices in its map") {
  std::vector<RegionKind> kinds;
  for (Region const& region : regions_of(Nothing::description())) kinds.push_back(region.kind);
  CHECK(kinds == std::vector{RegionKind::Ram, RegionKind::Unused, RegionKind::Hole, RegionKind::Unused,
                             RegionKind::HypervisorPages, RegionKind::Unused});
  const std::string text = describe_text(Nothing::description());
  CHECK(contains(text, "no interrupt controllers"));
}

TEST_CASE("the first node of a device's ACPI code is found wherever it stands") {
  auto find = [](auto&& body) {
    std::array<std::byte, 512> storage;
    acpi::Aml aml(storage);
    body(aml);
    return first_acpi_node(aml.written());
  };
  const AcpiNode eisa = find([](acpi::Aml& aml) {
    aml.operation_region("GPIO", acpi::RegionSpace::SystemIO, 0x510, 0x10000);
    aml.field("GPIO", {}, {{"ONE", 8}});
    aml.name("NUMS", acpi::Package(1, "two", 300, 70000, 5'000'000'000, 0xffff'ffff'ffff'ffff));
    aml.method("RUN", {.arguments = 1, .serialized = true}, [&] { aml.store(1, acpi::NamePath("ONE")); });
    aml.device("PWR", [&] {
      aml.device("SUB", [&] { aml.name("_HID", "WRONG"); });
      aml.name("_CRS", acpi::ResourceTemplate{}.io(0x510, 12));
      aml.name("_HID", acpi::EisaId("PNP0C0C"));
    });
  });
  CHECK(eisa.path == "\\_SB.PWR");
  CHECK(eisa.hid == "PNP0C0C");
  const AcpiNode absolute = find([](acpi::Aml& aml) { aml.device("\\_SB.PCI0.LPC.X1", [] {}); });
  CHECK(absolute.path == "\\_SB.PCI0.LPC.X1");
  CHECK(absolute.hid.empty());
  const AcpiNode up = find([](acpi::Aml& aml) { aml.device("^ROOT", [&] { aml.name("_HID", "A"); }); });
  CHECK(up.path == "\\ROOT");
  CHECK(find([](acpi::Aml& aml) { aml.scope("A", [&] { aml.name("B", 1); }); }).path.empty());
  CHECK(find([](acpi::Aml&) {}).path.empty());
}

TEST_CASE("cut-off and wild ACPI code ends the search and nothing else") {
  std::array<std::byte, 512> storage;
  acpi::Aml aml(storage);
  Chime::describe_acpi(aml, Placement{});
  const std::vector<std::byte> whole(aml.written().begin(), aml.written().end());
  for (std::size_t size = 0; size <= whole.size(); ++size) (void)first_acpi_node(ConstBytes(whole).first(size));
  std::uint32_t random = 1;
  for (unsigned round = 0; round < 20000; ++round) {
    std::vector<std::byte> wild = whole;
    for (unsigned i = 0; i < 3; ++i) {
      random = random * 1664525 + 1013904223;
      wild[(random >> 8) % wild.size()] = static_cast<std::byte>(random >> 24);
    }
    (void)first_acpi_node(wild);
  }
  CHECK(first_acpi_node(whole).path == "\\_SB.PCI0.CH00");
}

TEST_CASE("the table says it all") {
  CHECK(describe_text(Xv2::description(one_disk())) ==
        R"(IvyBridgeXv2: Xv2 (Xeon E5-2680 v2)
4 vCPUs of at most 20, 6 GiB of memory, hypervisor OnPaper with local APICs and I/O APIC
shared host CPUs: a vCPU that halts is waited for up to 50 us

Device                   Ports               MMIO                   IRQ      ACPI
-----------------------  ------------------  ---------------------  -------  -------------
AcpiPower (platform)     0x600-0x607                                9 level
I8042 (platform)         0x60 data
                         0x64 command
Uart8250 uart0           0x3f8-0x3ff                                4 edge   COM1 PNP0501
Pit8254                  0x40-0x43 counters                         0 edge
                         0x61 speaker
VirtioBlk blk0                               0xd0000000-0xd0000fff  5 edge   VR05 LNRO0005
VirtioBlk blk1 (absent)                      0xd0001000-0xd0001fff  6 edge

Addresses                Size        What
-----------------------  ----------  -----------------------
0x000000000-0x0000dffff  896 KiB     RAM
0x0000e0000-0x0000fffff  128 KiB     ACPI tables
0x000100000-0x0cfffffff  3.24 GiB    RAM
0x0d0000000-0x0d0000fff  4 KiB       VirtioBlk blk0
0x0d0001000-0x0d0001fff  4 KiB       VirtioBlk blk1 (absent)
0x0d0002000-0x0febfffff  747.99 MiB  free for devices
0x0fec00000-0x0fec00fff  4 KiB       I/O APIC
0x0fec01000-0x0fedfffff  1.99 MiB    unused
0x0fee00000-0x0fee00fff  4 KiB       local APIC
0x0fee01000-0x0feffbfff  1.98 MiB    unused
0x0feffc000-0x0feffffff  16 KiB      hypervisor pages
0x0ff000000-0x0ffffffff  16 MiB      unused
0x100000000-0x1afffffff  2.75 GiB    RAM
)");
}

TEST_CASE("an invented device is described like the shipped ones, and nothing else changes") {
  const std::string with = describe_text(Invented::description());
  CHECK(contains(with, "Chime chime0"));
  CHECK(contains(with, "Chime chime1"));
  CHECK(contains(with, "0xd0000000-0xd0000fff bell"));
  CHECK(contains(with, "PCI0.CH00"));
  CHECK(contains(with, "PCI0.CH01"));
  CHECK(contains(with, "5 level"));
  CHECK(contains(with, "3 messages"));
  const std::string json = describe_json(Invented::description());
  CHECK(contains(json, R"("path": "\\_SB.PCI0.CH01")"));
  CHECK(contains(json, R"("vectors": 3)"));
  const std::string svg = describe_svg(Invented::description());
  CHECK(contains(svg, "Chime chime1 bell"));
}

TEST_CASE("no line of the table is longer than 120 columns, whatever the names are") {
  for (std::string const& text : {describe_text(Awkward::description()), describe_text(Large::description()),
                                  describe_text(Invented::description()), describe_text(Nothing::description())})
    for (std::string const& line : lines_of(text)) {
      CAPTURE(line);
      CHECK(notation::width(line) <= 120);
      CHECK_FALSE(line.ends_with(' '));
    }
}

TEST_CASE("the picture has a box for each device, and absent ones look different") {
  const std::string svg = describe_svg(Large::description());
  CHECK(count(svg, "class=\"title\"") == Large::Composition::List::count);
  CHECK(count(svg, "absent in this configuration</text>") == 14);  // disks without an image
  CHECK(count(svg, "<rect class=\"absent\"") == 14 * 3 + 1);       // box, window, line; the legend
  CHECK(count(svg, "of the platform</text>") == 2);
  CHECK(contains(describe_svg(Awkward::description()), "&lt;a&gt;&amp;"));
}

TEST_CASE("numbers are written as people read them") {
  using namespace notation;
  CHECK(hex(0x3f8) == "0x3f8");
  CHECK(hex(0x3f8, 9) == "0x0000003f8");
  CHECK(range(0x61, 1) == "0x61");
  CHECK(range(0x3f8, 8) == "0x3f8-0x3ff");
  CHECK(range(~0ull - 1, 2) == "0xfffffffffffffffe-0xffffffffffffffff");
  CHECK(notation::size(0) == "0 bytes");
  CHECK(notation::size(1) == "1 byte");
  CHECK(notation::size(1023) == "1023 bytes");
  CHECK(notation::size(4 * KiB) == "4 KiB");
  CHECK(notation::size(2816 * MiB) == "2.75 GiB");
  CHECK(notation::size(1536 * KiB) == "1.5 MiB");
  CHECK(notation::size(GiB + 60 * MiB) == "1.05 GiB");
  CHECK(notation::size(~0ull) == "15.99 EiB");
  CHECK(notation::count(1, "vCPU") == "1 vCPU");
  CHECK(width("größe…") == 6);
  CHECK(first("größe", 3) == "grö");
  CHECK(shorten("größer", 4) == "grö…");
  CHECK(wrap("one two three", 7) == std::vector<std::string>{"one two", "three"});
  CHECK(wrap("abcdefgh", 3) == std::vector<std::string>{"abc", "def", "gh"});
  CHECK(wrap("", 3) == std::vector<std::string>{""});
}

TEST_CASE("JSON is escaped and separated") {
  JsonWriter json;
  json.object([&] {
    json.key("a").value(std::string_view("q\"b\\n\n\x01"));
    json.key("empty").array([] {});
    json.key("list").array([&] {
      json.value(-1);
      json.value(true);
      json.null();
      json.object([] {});
    });
  });
  CHECK(json.str() == R"({
  "a": "q\"b\\n\u000a\u0001",
  "empty": [],
  "list": [
    -1,
    true,
    null,
    {}
  ]
}
)");
}

TEST_CASE("describe outputs for describe_outputs_test.py") {
  dump<Xv2>("xv2", one_disk());
  dump<Small>("small");
  dump<Nothing>("nothing");
  dump<Invented>("invented");
  dump<Awkward>("awkward");
  Large::Config config{.memory = 3 * TiB, .vcpus = 255};
  for (std::uint64_t memory : {MiB, 3 * GiB}) dump<Large>("large" + std::to_string(memory), {.memory = memory});
  config.of<VirtioBlk, 3>().path = "disk.img";
  config.of<Plain, 2>().there = false;
  dump<Large>("large", config);
}
