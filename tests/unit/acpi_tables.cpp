// The ACPI tables as a guest finds them: it starts at the RSDP and follows addresses. acpi_iasl_test.sh has this
// program write the same tables to files and reads them with iasl and acpiexec.
#include <axvm/acpi/acpi.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace acpi = axvm::acpi;

namespace {

constexpr axvm::GuestAddress base = 0xe0000;

/// Tables as a guest sees them.
struct Guest {
  std::vector<std::byte> bytes = std::vector<std::byte>(0x20000, std::byte{0xa5});
  acpi::Tables written;

  template <class T>
  [[nodiscard]] T load(axvm::GuestAddress address) const {
    auto value = axvm::load<T>(bytes, address - base);
    REQUIRE(value.has_value());
    return *value;
  }
  [[nodiscard]] axvm::ConstBytes range(axvm::GuestAddress address, std::size_t size) const {
    REQUIRE(axvm::range_fits(address - base, size, written.size));
    return axvm::ConstBytes(bytes).subspan(address - base, size);
  }

  /// The address of each table by its signature, found as ACPICA does.
  [[nodiscard]] std::map<std::string, axvm::GuestAddress> find() const {
    auto rsdp = load<acpi::Rsdp>(written.rsdp);
    REQUIRE(acpi::checksum(range(written.rsdp, 20)) == 0);
    REQUIRE(acpi::checksum(range(written.rsdp, 36)) == 0);
    std::map<std::string, axvm::GuestAddress> tables{{"RSDP", written.rsdp},
                                                     {"XSDT", axvm::GuestAddress{rsdp.XsdtAddress}}};
    std::uint32_t length = table(rsdp.XsdtAddress, "XSDT");
    for (std::uint32_t at = 36; at < length; at += 8) {
      axvm::GuestAddress address = load<std::uint64_t>(rsdp.XsdtAddress + at);
      auto signature = load<std::array<char, 4>>(address);
      table(address, std::string(signature.data(), 4));
      tables[std::string(signature.data(), 4)] = address;
    }
    auto fadt = load<acpi::Fadt>(tables.at("FACP"));
    tables["DSDT"] = fadt.X_DSDT;
    table(fadt.X_DSDT, "DSDT");
    tables["FACS"] = fadt.FIRMWARE_CTRL;
    return tables;
  }

  /// The length of a table that has the signature, lies within what was written, and sums to zero.
  std::uint32_t table(axvm::GuestAddress address, std::string const& signature) const {
    auto header = load<acpi::Header>(address);
    REQUIRE(std::string(header.Signature.data(), 4) == signature);
    REQUIRE(acpi::checksum(range(address, header.Length)) == 0);
    REQUIRE(std::string(header.OEMID.data(), 6) == "AXVM  ");
    REQUIRE(std::string(header.OEM_Table_ID.data(), 8) == "AXVMXV2 ");
    return header.Length;
  }

  /// All of a table.
  [[nodiscard]] axvm::ConstBytes all(std::string const& signature) const {
    axvm::GuestAddress address = find().at(signature);
    if (signature == "RSDP") return range(address, 36);
    return range(address, load<std::uint32_t>(address + 4));
  }

  /// The table's entries of one type: the structures that MADT and SRAT are made of.
  template <class Entry>
  [[nodiscard]] std::vector<Entry> entries(std::string const& signature, std::size_t first) const {
    std::vector<Entry> found;
    axvm::ConstBytes bytes_of_table = all(signature);
    for (std::size_t at = first; at < bytes_of_table.size();) {
      auto type = std::to_integer<std::uint8_t>(bytes_of_table[at]);
      auto length = std::to_integer<std::uint8_t>(bytes_of_table[at + 1]);
      REQUIRE(length >= 2);
      if (type == Entry{}.Type) {
        REQUIRE(length == sizeof(Entry));
        auto entry = axvm::load<Entry>(bytes_of_table, at);
        REQUIRE(entry.has_value());
        found.push_back(*entry);
      }
      at += length;
    }
    return found;
  }
};

template <class Devices>
Guest guest_with(acpi::Platform const& platform, Devices&& devices) {
  Guest guest;
  auto written = build_tables(axvm::Bytes(guest.bytes), base, platform, devices);
  if (!written) FAIL(std::string(written.error().operation.view()));
  guest.written = *written;
  return guest;
}

/// Processors with the local APIC ids first, first + 1, ..., spread evenly over the nodes.
std::vector<acpi::Processor> processors(std::uint32_t count, std::uint32_t nodes = 1, std::uint32_t first = 0) {
  std::vector<acpi::Processor> list;
  for (std::uint32_t i = 0; i < count; ++i)
    list.push_back({.apic_id = first + i, .proximity_domain = i * nodes / count});
  return list;
}

acpi::Platform small_platform(std::vector<acpi::Processor> const& list) {
  acpi::Platform platform;
  platform.processors = list;
  platform.pm1a_event = 0x600;
  platform.pm1a_control = 0x604;
  platform.reset_register = 0x606;
  platform.reset_value = 0x01;
  return platform;
}

void describe_nothing(acpi::Aml&) {}

/// COM1 and 24 virtio devices, as the shipped devices describe themselves.
void describe_devices(acpi::Aml& aml) {
  aml.device("COM1", [&] {
    aml.name("_HID", acpi::EisaId("PNP0501"));
    aml.name("_UID", 0);
    aml.name("_DDN", "COM1");
    aml.name("_CRS", acpi::ResourceTemplate{}.io(0x3f8, 8).irq(4));
  });
  for (std::size_t i = 0; i < 24; ++i)
    aml.device(acpi::device_name("VR", i), [&] {
      aml.name("_HID", "LNRO0005");
      aml.name("_UID", i);
      aml.name("_CCA", 1);
      aml.name("_CRS", acpi::ResourceTemplate{}.memory32_fixed(0xd0000000 + i * 0x1000, 0x1000).interrupt(i));
    });
}

/// Everything that Aml can say, in ASL that makes sense.
void describe_everything(acpi::Aml& aml) {
  aml.device("PWRB", [&] {
    aml.name("_HID", acpi::EisaId("PNP0C0C"));
    aml.method("_STA", [&] { aml.return_(0xf); });
  });
  aml.device("GED0", [&] {
    aml.name("_HID", "ACPI0013");
    aml.name("_UID", "ged");
    aml.name("_CRS", acpi::ResourceTemplate{}.interrupt(20, {.level = true, .shared = true}).interrupt(21));
    aml.operation_region("REGS", acpi::RegionSpace::SystemIO, 0x620, 4);
    aml.field("REGS", {.access = acpi::AccessType::ByteAcc, .update = acpi::UpdateRule::WriteAsZeros},
              {{"STAT", 8}, acpi::FieldUnit::reserved(8), {"CTRL", 16}});
    aml.method("TWIC", {.arguments = 2, .serialized = true}, [&] {
      aml.store(add(acpi::Arg(0), acpi::Arg(1)), acpi::Local(0));
      aml.return_(subtract(acpi::Local(0), bit_or(acpi::Arg(1), 0)));
    });
    aml.method("_EVT", {.arguments = 1, .serialized = true}, [&] {
      aml.if_(equal(acpi::Arg(0), 20), [&] {
        aml.notify("PWRB", 0x80);
        aml.store(bit_and(acpi::NamePath("STAT"), 0x7f), "STAT");
      });
      aml.else_([&] {
        aml.if_(logical_and(greater(acpi::Arg(0), 1), logical_not(less(acpi::Arg(0), 3))),
                [&] { aml.store(acpi::Call("TWIC", acpi::Arg(0), 1), "CTRL"); });
      });
    });
  });
  aml.device("PCI0", [&] {
    aml.name("_HID", acpi::EisaId("PNP0A08"));
    aml.name("_CID", acpi::EisaId("PNP0A03"));
    aml.name("_UID", 0);
    aml.name("_SEG", 0);
    aml.name("_BBN", 0);
    aml.name("_CRS", acpi::ResourceTemplate{}
                         .word_bus_number(0, 255)
                         .io(0xcf8, 8)
                         .word_io(0x1000, 0xffff)
                         .dword_memory(0xe0000000, 0xefffffff)
                         .qword_memory(0x80'0000'0000, 0xff'ffff'ffff, acpi::Usage::ResourceProducer,
                                       acpi::Caching::Prefetchable));
    aml.name("_PRT", acpi::PackageOf(32 * 4, [](acpi::AmlStream& out, std::size_t i) {
               encode(out, acpi::Package(i / 4 << 16 | 0xffff, i % 4, 0, 16 + i % 8));
             }));
  });
  aml.device("HIGH", [&] {
    aml.name("_HID", "LNRO0005");
    aml.name("_UID", 99);
    aml.name("_CRS", acpi::ResourceTemplate{}
                         .qword_memory(0x40'0000'0000, 0x40'0000'0fff, acpi::Usage::ResourceConsumer)
                         .irq(10, {.level = true, .active_low = true, .shared = true, .wakes = true}));
    std::array<std::byte, 100> bytes{std::byte{1}};
    aml.name("BYTS", acpi::Buffer(bytes));
    aml.name("LIST", acpi::Package("text", 1234567890123ull, ~0ull, acpi::NamePath("\\_SB.PWRB")));
  });
  aml.scope("\\", [&] { aml.name("AXVM", 1); });
}

/// Writes each table into a directory of its own when acpi_iasl_test.sh asks for it.
void dump(Guest const& guest, std::string const& machine) {
  char const* directory = std::getenv("AXVM_ACPI_DUMP");
  if (directory == nullptr) return;
  for (auto const& [name, address] : guest.find()) {
    axvm::ConstBytes bytes = guest.all(name);
    std::ofstream file(std::string(directory) + "/" + machine + "-" + name + ".dat", std::ios::binary);
    file.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    REQUIRE(file.good());
  }
}

constexpr std::uint64_t size_while_compiling() {
  std::array<std::byte, 2048> storage{};
  acpi::Processor list[] = {{.apic_id = 0}, {.apic_id = 1}};
  acpi::Platform platform;
  platform.processors = list;
  platform.pm1a_event = 0x600;
  platform.pm1a_control = 0x604;
  auto written = build_tables(axvm::Bytes(storage), base, platform, [](acpi::Aml& aml) { aml.name("AXVM", 1); });
  return written && acpi::checksum(axvm::ConstBytes(storage).first(36)) == 0 ? written->size : 0;
}
// All tables can be built while compiling.
static_assert(size_while_compiling() > 600);

}  // namespace

TEST_CASE("ACPI tables of the smallest machine") {
  auto list = processors(1);
  Guest guest = guest_with(small_platform(list), describe_nothing);
  auto tables = guest.find();
  CHECK(tables.size() == 6);
  CHECK(tables.at("RSDP") == base);
  CHECK(tables.at("FACS") % 64 == 0);
  CHECK(guest.load<acpi::Facs>(tables.at("FACS")).Length == 64);
  // Nothing is written behind what is reported.
  CHECK(std::all_of(guest.bytes.begin() + static_cast<std::ptrdiff_t>(guest.written.size), guest.bytes.end(),
                    [](std::byte byte) { return byte == std::byte{0xa5}; }));
  dump(guest, "small");
}

TEST_CASE("the FADT says what a PC without firmware has") {
  auto list = processors(1);
  Guest guest = guest_with(small_platform(list), describe_nothing);
  auto fadt = guest.load<acpi::Fadt>(guest.find().at("FACP"));
  CHECK(fadt.header.Revision == 6);
  CHECK(+fadt.SCI_INT == 9);
  CHECK(+fadt.SMI_CMD == 0);
  CHECK(+fadt.PM1a_EVT_BLK == 0x600);
  CHECK(+fadt.PM1_EVT_LEN == 4);
  CHECK(+fadt.X_PM1a_EVT_BLK.Address == 0x600);
  CHECK(+fadt.X_PM1a_EVT_BLK.Register_Bit_Width == 32);
  CHECK(+fadt.PM1a_CNT_BLK == 0x604);
  CHECK(+fadt.PM1_CNT_LEN == 2);
  CHECK(+fadt.X_PM1a_CNT_BLK.Register_Bit_Width == 16);
  CHECK(+fadt.PM_TMR_LEN == 0);
  CHECK(+fadt.X_PM_TMR_BLK.Address == 0);
  CHECK(+fadt.RESET_REG.Address_Space_ID == 1);
  CHECK(+fadt.RESET_REG.Address == 0x606);
  CHECK(+fadt.RESET_VALUE == 1);
  CHECK(+fadt.DSDT == +fadt.X_DSDT);
  CHECK(+fadt.X_FIRMWARE_CTRL == 0);
  CHECK(+fadt.IAPC_BOOT_ARCH == (acpi::LEGACY_DEVICES | acpi::VGA_Not_Present | acpi::CMOS_RTC_Not_Present));
  // The power button is a fixed feature, the sleep button is not, the hardware is not reduced.
  CHECK(+fadt.Flags == (acpi::WBINVD | acpi::PROC_C1 | acpi::SLP_BUTTON | acpi::FIX_RTC | acpi::RESET_REG_SUP));

  acpi::Platform other = small_platform(list);
  other.reset_register = 0;
  other.pm_timer = 0x608;
  other.power_button = false;
  other.i8042 = other.vga = other.cmos_rtc = true;
  other.rtc_century = 0x32;
  other.legacy_devices = other.msi = false;
  Guest changed = guest_with(other, describe_nothing);
  fadt = changed.load<acpi::Fadt>(changed.find().at("FACP"));
  CHECK(+fadt.RESET_REG.Address == 0);
  CHECK(+fadt.PM_TMR_BLK == 0x608);
  CHECK(+fadt.PM_TMR_LEN == 4);
  CHECK(+fadt.X_PM_TMR_BLK.Address == 0x608);
  CHECK(+fadt.CENTURY == 0x32);
  CHECK(+fadt.IAPC_BOOT_ARCH == (acpi::BOOT_ARCH_8042 | acpi::MSI_Not_Supported));
  CHECK(+fadt.Flags ==
        (acpi::WBINVD | acpi::PROC_C1 | acpi::PWR_BUTTON | acpi::SLP_BUTTON | acpi::FIX_RTC | acpi::TMR_VAL_EXT));
  dump(changed, "other");
}

TEST_CASE("ACPI tables of 20 processors on two nodes with 25 devices") {
  auto list = processors(20, 2);
  std::array<acpi::NodeMemory, 3> memory{
      {{0, 0, 0xd0000000}, {0, 0x1'0000'0000, 0x3000'0000}, {1, 0x1'3000'0000, 0x1'0000'0000}}};
  std::array<std::uint8_t, 4> distances{10, 21, 22, 10};
  acpi::Platform platform = small_platform(list);
  platform.nodes = 2;
  platform.memory = memory;
  platform.distances = distances;
  Guest guest = guest_with(platform, describe_devices);
  CHECK(guest.find().size() == 8);

  auto madt = guest.load<acpi::Madt>(guest.find().at("APIC"));
  CHECK(+madt.Local_Interrupt_Controller_Address == 0xfee00000);
  CHECK(+madt.Flags == 1);
  auto cpus = guest.entries<acpi::ProcessorLocalApic>("APIC", sizeof(acpi::Madt));
  REQUIRE(cpus.size() == 20);
  for (unsigned i = 0; i < 20; ++i) {
    CHECK(+cpus[i].ACPI_Processor_UID == i);
    CHECK(+cpus[i].APIC_ID == i);
    CHECK(+cpus[i].Flags == 1);
  }
  CHECK(guest.entries<acpi::ProcessorLocalX2Apic>("APIC", sizeof(acpi::Madt)).empty());
  auto io_apics = guest.entries<acpi::IoApic>("APIC", sizeof(acpi::Madt));
  REQUIRE(io_apics.size() == 1);
  CHECK(+io_apics[0].IO_APIC_Address == 0xfec00000);
  CHECK(+io_apics[0].Global_System_Interrupt_Base == 0);
  auto overrides = guest.entries<acpi::InterruptSourceOverride>("APIC", sizeof(acpi::Madt));
  REQUIRE(overrides.size() == 2);
  CHECK(+overrides[0].Source == 0);
  CHECK(+overrides[0].Global_System_Interrupt == 2);
  CHECK(+overrides[0].Flags == 0);
  CHECK(+overrides[1].Source == 9);
  CHECK(+overrides[1].Global_System_Interrupt == 9);
  CHECK(+overrides[1].Flags == 0xd);
  auto nmis = guest.entries<acpi::LocalApicNmi>("APIC", sizeof(acpi::Madt));
  REQUIRE(nmis.size() == 1);
  CHECK(+nmis[0].ACPI_Processor_UID == 0xff);
  CHECK(+nmis[0].Local_APIC_LINT == 1);

  auto cpu_nodes = guest.entries<acpi::ProcessorLocalApicAffinity>("SRAT", sizeof(acpi::Srat));
  REQUIRE(cpu_nodes.size() == 20);
  CHECK(+cpu_nodes[9].Proximity_Domain_7_0 == 0);
  CHECK(+cpu_nodes[10].Proximity_Domain_7_0 == 1);
  CHECK(+cpu_nodes[10].APIC_ID == 10);
  auto ranges = guest.entries<acpi::MemoryAffinity>("SRAT", sizeof(acpi::Srat));
  REQUIRE(ranges.size() == 3);
  CHECK(+ranges[2].Proximity_Domain == 1);
  CHECK(+ranges[2].Base_Address == 0x1'3000'0000);
  CHECK(+ranges[2].Length_in_bytes == 0x1'0000'0000);
  CHECK(+ranges[2].Flags == 1);
  auto slit = guest.all("SLIT");
  REQUIRE(slit.size() == sizeof(acpi::Slit) + 4);
  CHECK(slit[45] == std::byte{21});
  CHECK(slit[46] == std::byte{22});
  dump(guest, "xv2");
}

TEST_CASE("ACPI tables of 300 processors and of all that AML can say") {
  auto list = processors(300, 3);
  std::array<acpi::NodeMemory, 3> memory{
      {{0, 0, 0x1000'0000}, {1, 0x1000'0000, 0x1000'0000}, {2, 0x2000'0000, 0x1000}}};
  acpi::Platform platform = small_platform(list);
  platform.nodes = 3;
  platform.memory = memory;
  Guest guest = guest_with(platform, describe_everything);
  auto narrow = guest.entries<acpi::ProcessorLocalApic>("APIC", sizeof(acpi::Madt));
  auto wide = guest.entries<acpi::ProcessorLocalX2Apic>("APIC", sizeof(acpi::Madt));
  REQUIRE(narrow.size() == 255);
  REQUIRE(wide.size() == 45);
  CHECK(+narrow[254].APIC_ID == 254);
  CHECK(+wide[0].X2APIC_ID == 255);
  CHECK(+wide[0].ACPI_Processor_UID == 255);
  CHECK(guest.entries<acpi::LocalX2ApicNmi>("APIC", sizeof(acpi::Madt)).size() == 1);
  auto wide_nodes = guest.entries<acpi::ProcessorLocalX2ApicAffinity>("SRAT", sizeof(acpi::Srat));
  REQUIRE(wide_nodes.size() == 45);
  CHECK(+wide_nodes[44].X2APIC_ID == 299);
  CHECK(+wide_nodes[44].Proximity_Domain == 2);
  auto slit = guest.all("SLIT");
  REQUIRE(slit.size() == sizeof(acpi::Slit) + 9);
  for (std::size_t i = 0; i < 9; ++i) CHECK(slit[44 + i] == (i % 4 == 0 ? std::byte{10} : std::byte{20}));
  dump(guest, "all");
}

TEST_CASE("ACPI tables of a machine with PCI: one bus, its configuration space, what it hands on") {
  auto list = processors(2, 2);
  std::array<acpi::NodeMemory, 2> memory{{{0, 0, 0x1000'0000}, {1, 0x1000'0000, 0x1000'0000}}};
  acpi::Platform platform = small_platform(list);
  Guest without = guest_with(platform, describe_devices);
  CHECK(without.find().count("MCFG") == 0);
  platform.pci_config = 0xfeb0'0000;
  platform.pci_memory = {0xd000'0000, 0xd000'3fff};
  platform.pci_ports = {0xc000, 0xc03f};
  Guest guest = guest_with(platform, describe_devices);
  CHECK(guest.find().size() == without.find().size() + 1);
  auto mcfg = guest.all("MCFG");
  REQUIRE(mcfg.size() == 60);
  CHECK(guest.load<acpi::Header>(guest.find().at("MCFG")).Revision == 1);
  const std::array<std::uint8_t, 24> wanted{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb0, 0xfe,
                                            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0};
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::to_integer<unsigned>(mcfg[36 + i]) == wanted[i]);
  dump(guest, "pci");

  // With nodes there are as many tables as there can be. A bus need not hand on anything.
  platform.nodes = 2;
  platform.memory = memory;
  platform.pci_memory = platform.pci_ports = {};
  Guest bare = guest_with(platform, describe_nothing);
  CHECK(bare.find().size() == 9);
  dump(bare, "bare-pci");
}

TEST_CASE("ACPI tables in guest memory") {
  auto list = processors(2);
  std::vector<std::byte> ram(0x100000);
  std::array<axvm::GuestRegion, 1> regions{{{.base = 0, .size = ram.size(), .host = ram.data()}}};
  axvm::GuestMemory memory(regions);
  auto written = write_tables(memory, base, 0x20000, small_platform(list), describe_devices);
  REQUIRE(written.has_value());
  CHECK(written->rsdp == base);
  CHECK(std::string(reinterpret_cast<char const*>(ram.data() + base), 8) == "RSD PTR ");

  auto outside = write_tables(memory, 0xf0000, 0x20000, small_platform(list), describe_devices);
  REQUIRE_FALSE(outside.has_value());
  CHECK(outside.error().operation.view() == "write ACPI tables at 0xf0000: 0x20000 bytes there are not guest RAM");
}

TEST_CASE("tables that do not fit leave everything behind them alone, and the error has both sizes") {
  auto list = processors(4);
  acpi::Platform platform = small_platform(list);
  std::uint64_t needed = guest_with(platform, describe_devices).written.size;
  for (std::size_t room = 0; room <= needed; ++room) {
    std::vector<std::byte> storage(needed + 64, std::byte{0xcc});
    auto written = build_tables(axvm::Bytes(storage).first(room), base, platform, describe_devices);
    REQUIRE(written.has_value() == (room == needed));
    REQUIRE(std::all_of(storage.begin() + static_cast<std::ptrdiff_t>(room), storage.end(),
                        [](std::byte byte) { return byte == std::byte{0xcc}; }));
    if (written) continue;
    REQUIRE(written.error().code == axvm::ErrorCode::OutOfMemory);
    REQUIRE(written.error().operation ==
            axvm::text<1023>("write ACPI tables at 0xe0000: ", needed, " bytes do not fit into ", room).view());
  }
}

TEST_CASE("a platform that tables cannot describe is refused with the numbers") {
  std::vector<std::byte> storage(0x20000);
  auto list = processors(4, 2);
  acpi::Platform platform = small_platform(list);
  auto refusal = [&](axvm::GuestAddress at = base) {
    auto written = build_tables(axvm::Bytes(storage), at, platform, describe_nothing);
    return written ? std::string() : std::string(written.error().operation.view());
  };
  CHECK(refusal() == "");
  CHECK_FALSE(refusal(base + 8).empty());
  CHECK_FALSE(refusal(0xffff'0000).empty());
  CHECK_FALSE(refusal(~0ull - 15).empty());

  platform.processors = {};
  CHECK(refusal() == "write ACPI tables: 0 processors are not 1 to 4096");
  list[3].apic_id = 1;
  platform.processors = list;
  CHECK(refusal() == "write ACPI tables: processors 1 and 3 both have the local APIC id 1");
  list = processors(4, 2);
  platform.processors = list;

  platform.pm1a_event = 0;
  CHECK(refusal() == "write ACPI tables: PM1a_EVT_BLK needs 4 ports, not at 0x0");
  platform.pm1a_event = 0x600;
  platform.sleep_type_s5 = 8;
  CHECK_FALSE(refusal().empty());
  platform.sleep_type_s5 = 5;
  std::array<acpi::InterruptOverride, 1> sci{{{.source = 9, .gsi = 9}}};
  platform.overrides = sci;
  CHECK_FALSE(refusal().empty());
  platform.overrides = {};
  CHECK(refusal() == "");

  platform.pci_ports = {0, 0};
  CHECK(refusal() == "write ACPI tables: there are windows to PCI, and no PCI configuration space");
  for (axvm::GuestAddress at : {0xfeb0'1000ull, 0x1'0000'0000ull}) {
    platform.pci_config = at;
    CHECK_FALSE(refusal().empty());
  }
  platform.pci_config = 0xfeb0'0000;
  CHECK(refusal() == "");
  platform.pci_ports = {0xfff0, 0x10000};
  CHECK(refusal() == "write ACPI tables: the PCI port window 0xfff0 to 0x10000 leaves the 64 Ki ports");
  platform.pci_ports = {};
  for (acpi::PciWindow window : {acpi::PciWindow{0xd000'0000, 0xfeb0'0000},
                                 {0xfebf'ffff, 0xfec0'0000},
                                 {0xd000'0000, 0x1'0000'0000},
                                 {0xfeb0'8000, 0xfeb0'8fff}}) {
    platform.pci_memory = window;
    CHECK_FALSE(refusal().empty());
  }
  for (acpi::PciWindow window : {acpi::PciWindow{0xd000'0000, 0xfeaf'ffff}, {0xfec0'0000, 0xffff'ffff}}) {
    platform.pci_memory = window;
    CHECK(refusal() == "");
  }
  platform.pci_memory = {};
  platform.pci_config = 0;

  platform.nodes = 1;
  CHECK(refusal() == "write ACPI tables: processor 2 is on NUMA node 1 of 1");
  platform.nodes = 2;
  CHECK(refusal() == "write ACPI tables: 2 NUMA nodes have no memory");
  std::array<acpi::NodeMemory, 1> memory{{{.proximity_domain = 2, .base = 0, .size = 0x1000}}};
  platform.memory = memory;
  CHECK(refusal() == "write ACPI tables: memory at 0x0 is on NUMA node 2 of 2");
  memory[0] = {.proximity_domain = 1, .base = ~0ull - 0xffe, .size = 0x1000};
  CHECK_FALSE(refusal().empty());
  memory[0].base = 0;
  CHECK(refusal() == "");
  std::array<std::uint8_t, 4> distances{10, 20, 9, 10};
  platform.distances = distances;
  CHECK(refusal() == "write ACPI tables: the distance from NUMA node 1 to 0 is 9");
  distances[2] = 20;
  CHECK(refusal() == "");
  platform.distances = std::span<const std::uint8_t>(distances).first(3);
  CHECK(refusal() == "write ACPI tables: 2 NUMA nodes have 3 distances, not 4");
}

TEST_CASE("a device that AML cannot describe stops the tables with its name") {
  auto list = processors(1);
  std::vector<std::byte> storage(0x20000);
  auto written = build_tables(axvm::Bytes(storage), base, small_platform(list), [](acpi::Aml& aml) {
    aml.device("COM9", [&] { aml.name("_CRS", acpi::ResourceTemplate{}.irq(40)); });
  });
  REQUIRE_FALSE(written.has_value());
  CHECK(written.error().operation.view() == "write AML of _CRS: irq(40) is above 15; write interrupt()");
}
