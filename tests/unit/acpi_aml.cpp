// ACPI Machine Language as a guest reads it: bytes against [acpi/6.5] 20.2 and 6.4.
#include <axvm/acpi/acpi.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace acpi = axvm::acpi;

namespace {

using Encoded = std::vector<unsigned>;

/// What `write(Aml&)` encodes.
template <class Write>
Encoded encoded(Write&& write) {
  std::vector<std::byte> storage(std::size_t{1} << 21);
  acpi::Aml aml{axvm::Bytes(storage)};
  write(aml);
  if (auto status = aml.status(); !status) FAIL(std::string(status.error().operation.view()));
  Encoded bytes;
  for (std::byte byte : aml.written()) bytes.push_back(std::to_integer<unsigned>(byte));
  return bytes;
}

/// Why `write(Aml&)` cannot be encoded; empty when it can.
template <class Write>
std::string problem(Write&& write) {
  std::array<std::byte, 4096> storage{};
  acpi::Aml aml{axvm::Bytes(storage)};
  write(aml);
  auto status = aml.status();
  return status ? std::string() : std::string(status.error().operation.view());
}

/// The bytes of a resource template without the Buffer around them.
Encoded descriptors(acpi::ResourceTemplate const& resources) {
  Encoded all = encoded([&](acpi::Aml& aml) { aml.return_(resources); });
  // ReturnOp, BufferOp, PkgLength of one byte, BytePrefix and size.
  REQUIRE(all.size() > 5);
  REQUIRE(all[1] == 0x11);
  REQUIRE(all[3] == 0x0a);
  REQUIRE(all[4] == all.size() - 5);
  return {all.begin() + 5, all.end()};
}

constexpr std::uint8_t example_byte(std::size_t at) {
  std::array<std::byte, 128> storage{};
  acpi::Aml aml{axvm::Bytes(storage)};
  aml.device("COM1", [&] {
    aml.name("_HID", acpi::EisaId("PNP0501"));
    aml.name("_UID", 0);
    aml.name("_CRS", acpi::ResourceTemplate{}.io(0x3f8, 8).irq(4));
  });
  return aml.status() ? std::to_integer<std::uint8_t>(storage[at]) : std::uint8_t{0};
}
// A device can be described while compiling.
static_assert(example_byte(0) == 0x5b && example_byte(1) == 0x82 && example_byte(3) == 'C');

}  // namespace

TEST_CASE("AML integers take their smallest encoding") {
  auto of = [](auto value) { return encoded([&](acpi::Aml& aml) { encode(aml, value); }); };
  CHECK(of(0) == Encoded{0x00});
  CHECK(of(1u) == Encoded{0x01});
  CHECK(of(2) == Encoded{0x0a, 0x02});
  CHECK(of(0xff) == Encoded{0x0a, 0xff});
  CHECK(of(0x100) == Encoded{0x0b, 0x00, 0x01});
  CHECK(of(0xffff) == Encoded{0x0b, 0xff, 0xff});
  CHECK(of(0x10000) == Encoded{0x0c, 0x00, 0x00, 0x01, 0x00});
  CHECK(of(0xffffffffu) == Encoded{0x0c, 0xff, 0xff, 0xff, 0xff});
  CHECK(of(0x1'0000'0000ull) == Encoded{0x0e, 0, 0, 0, 0, 1, 0, 0, 0});
  CHECK(of(~0ull) == Encoded{0xff});
  CHECK(of(-1) == Encoded{0xff});
  CHECK(of(-2) == Encoded{0x0e, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
}

TEST_CASE("AML strings, EISA ids and names are encoded as the specification says") {
  CHECK(encoded([](acpi::Aml& aml) { aml.return_("A1"); }) == Encoded{0xa4, 0x0d, 'A', '1', 0});
  CHECK(acpi::EisaId("PNP0501").value() == 0x0105d041);
  CHECK(acpi::EisaId("PNP0A08").value() == 0x080ad041);
  CHECK(encoded([](acpi::Aml& aml) { aml.return_(acpi::EisaId("PNP0C0C")); }) ==
        Encoded{0xa4, 0x0c, 0x41, 0xd0, 0x0c, 0x0c});

  auto path = [](acpi::NamePath const& name) { return encoded([&](acpi::Aml& aml) { aml.path(name); }); };
  CHECK(path("VR") == Encoded{'V', 'R', '_', '_'});
  CHECK(path("\\") == Encoded{'\\', 0});
  CHECK(path("\\_SB") == Encoded{'\\', '_', 'S', 'B', '_'});
  CHECK(path("^^A") == Encoded{'^', '^', 'A', '_', '_', '_'});
  CHECK(path("\\_SB.PCI0") == Encoded{'\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0'});
  CHECK(path("A.B.C") == Encoded{0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C', '_', '_', '_'});
}

TEST_CASE("device_name gives every instance a name of its own until the digits run out") {
  CHECK(acpi::device_name("VR", 0).view() == "VR00");
  CHECK(acpi::device_name("VR", 10).view() == "VR0A");
  CHECK(acpi::device_name("VR", 255).view() == "VRFF");
  CHECK(acpi::device_name("VR", 256).empty());
  CHECK(acpi::device_name("C", 20).view() == "C014");
  CHECK(acpi::device_name("ABC", 15).view() == "ABCF");
  std::string why = problem([](acpi::Aml& aml) { aml.device(acpi::device_name("VR", 256), [] {}); });
  CHECK(why == "write AML of the root: the number of an instance has more digits than a name has room for");
}

TEST_CASE("a PkgLength counts itself and is as short as it can be") {
  // The lengths on both sides of each step of [acpi/6.5] 20.2.4.
  struct Step {
    std::size_t body;
    Encoded length;
  };
  for (Step const& step : std::initializer_list<Step>{
           {0, {0x01}},
           {62, {0x3f}},
           {63, {0x41, 0x04}},
           {4093, {0x4f, 0xff}},
           {4094, {0x81, 0x00, 0x01}},
           {1048572, {0x8f, 0xff, 0xff}},
           {1048573, {0xc1, 0x00, 0x00, 0x01}},
       }) {
    CAPTURE(step.body);
    Encoded bytes = encoded([&](acpi::Aml& aml) {
      aml.package([&] {
        for (std::size_t i = 0; i < step.body; ++i) aml.byte(static_cast<std::uint8_t>(i % 251));
      });
    });
    REQUIRE(bytes.size() == step.body + step.length.size());
    CHECK(Encoded(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(step.length.size())) == step.length);
    bool moved = true;
    for (std::size_t i = 0; i < step.body; ++i) moved = moved && bytes[step.length.size() + i] == i % 251;
    CHECK(moved);
  }
}

TEST_CASE("nested scopes keep their lengths when an outer one grows") {
  Encoded bytes = encoded([](acpi::Aml& aml) {
    aml.scope("\\_SB", [&] {
      aml.device("AAAA", [&] {
        for (int i = 0; i < 12; ++i) aml.name("N", 0x11);
      });
      aml.device("BBBB", [&] { aml.name("N", 1); });
    });
  });
  // Scope: op, 2 bytes of length, "\_SB_"; device A: 5b 82, 2 bytes of length, name, 12 * 7 bytes; device B.
  REQUIRE(bytes.size() == 1 + 2 + 5 + (2 + 2 + 4 + 84) + (2 + 1 + 4 + 6));
  CHECK(bytes[0] == 0x10);
  CHECK((bytes[1] & 0xf) + (bytes[2] << 4) == bytes.size() - 1);
  CHECK(bytes[8] == 0x5b);
  CHECK((bytes[10] & 0xf) + (bytes[11] << 4) == 2 + 4 + 84);
  CHECK(bytes[8 + 92] == 0x5b);
  CHECK(bytes[8 + 94] == 1 + 4 + 6);
  CHECK(bytes[8 + 95] == 'B');
}

TEST_CASE("methods and statements") {
  CHECK(encoded([](acpi::Aml& aml) { aml.method("_STA", [&] { aml.return_(0xf); }); }) ==
        Encoded{0x14, 0x09, '_', 'S', 'T', 'A', 0x00, 0xa4, 0x0a, 0x0f});
  CHECK(encoded([](acpi::Aml& aml) {
          aml.method("_EVT", {.arguments = 1, .serialized = true, .sync_level = 2}, [&] {
            aml.if_(equal(acpi::Arg(0), 9), [&] { aml.notify("PWRB", 0x80); });
            aml.else_([&] { aml.store(acpi::Arg(0), acpi::Local(7)); });
          });
        }) == Encoded{0x14, 0x18, '_', 'E', 'V', 'T',  0x29, 0xa0, 0x0c, 0x93, 0x68, 0x0a, 0x09,
                      0x86, 'P',  'W', 'R', 'B', 0x0a, 0x80, 0xa1, 0x04, 0x70, 0x68, 0x67});
  CHECK(encoded([](acpi::Aml& aml) { aml.return_(add(acpi::Local(0), bit_and(acpi::NamePath("STAT"), 1))); }) ==
        Encoded{0xa4, 0x72, 0x60, 0x7b, 'S', 'T', 'A', 'T', 0x01, 0x00, 0x00});
  CHECK(encoded([](acpi::Aml& aml) { aml.call("FOO", 1, "x"); }) == Encoded{'F', 'O', 'O', '_', 0x01, 0x0d, 'x', 0});
}

TEST_CASE("packages and buffers") {
  CHECK(encoded([](acpi::Aml& aml) { aml.name("\\_S5", acpi::Package(5, 5, 0, 0)); }) ==
        Encoded{0x08, '\\', '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00});
  CHECK(encoded([](acpi::Aml& aml) {
          aml.return_(acpi::PackageOf(2, [](acpi::AmlStream& out, std::size_t i) { encode(out, acpi::Package(i)); }));
        }) == Encoded{0xa4, 0x12, 0x0a, 0x02, 0x12, 0x03, 0x01, 0x00, 0x12, 0x03, 0x01, 0x01});
  std::array<std::byte, 3> three{std::byte{7}, std::byte{8}, std::byte{9}};
  CHECK(encoded([&](acpi::Aml& aml) { aml.return_(acpi::Buffer(three)); }) ==
        Encoded{0xa4, 0x11, 0x06, 0x0a, 0x03, 7, 8, 9});
}

TEST_CASE("operation regions and fields") {
  CHECK(encoded([](acpi::Aml& aml) {
          aml.operation_region("REGS", acpi::RegionSpace::SystemIO, 0x600, 4);
          aml.field("REGS", {.access = acpi::AccessType::ByteAcc, .update = acpi::UpdateRule::WriteAsOnes},
                    {{"STAT", 8}, acpi::FieldUnit::reserved(100), {"CTRL", 16}});
        }) == Encoded{0x5b, 0x80, 'R',  'E', 'G', 'S', 0x01, 0x0b, 0x00, 0x06, 0x0a, 0x04, 0x5b, 0x81, 0x13, 'R', 'E',
                      'G',  'S',  0x21, 'S', 'T', 'A', 'T',  0x08, 0x00, 0x44, 0x06, 'C',  'T',  'R',  'L',  0x10});
}

TEST_CASE("resource descriptors are what iasl makes of the same ASL, with a checksum") {
  CHECK(descriptors(acpi::ResourceTemplate{}.io(0x3f8, 8)) ==
        Encoded{0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08, 0x79, 0x40});
  CHECK(descriptors(acpi::ResourceTemplate{}.irq(4)) == Encoded{0x23, 0x10, 0x00, 0x01, 0x79, 0x53});
  CHECK(descriptors(acpi::ResourceTemplate{}.irq(9, {.level = true, .active_low = true, .shared = true})) ==
        Encoded{0x23, 0x00, 0x02, 0x18, 0x79, 0x4a});
  CHECK(descriptors(acpi::ResourceTemplate{}.memory32_fixed(0xd0000000, 0x200)) ==
        Encoded{0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0xd0, 0x00, 0x02, 0x00, 0x00, 0x79, 0x25});
  CHECK(descriptors(acpi::ResourceTemplate{}.interrupt(5)) ==
        Encoded{0x89, 0x06, 0x00, 0x03, 0x01, 0x05, 0x00, 0x00, 0x00, 0x79, 0xef});
  CHECK(descriptors(acpi::ResourceTemplate{}.interrupt(0x10, {.level = true, .active_low = true, .shared = true}))[3] ==
        0x0d);

  Encoded qword = descriptors(acpi::ResourceTemplate{}.qword_memory(
      0x40'0000'0000, 0x4f'ffff'ffff, acpi::Usage::ResourceConsumer, acpi::Caching::Prefetchable));
  REQUIRE(qword.size() == 3 + 43 + 2);
  CHECK(Encoded(qword.begin(), qword.begin() + 6) == Encoded{0x8a, 0x2b, 0x00, 0x00, 0x0d, 0x07});
  CHECK(Encoded(qword.begin() + 14, qword.begin() + 22) == Encoded{0, 0, 0, 0, 0x40, 0, 0, 0});
  CHECK(Encoded(qword.begin() + 22, qword.begin() + 30) == Encoded{0xff, 0xff, 0xff, 0xff, 0x4f, 0, 0, 0});
  CHECK(Encoded(qword.begin() + 38, qword.begin() + 46) == Encoded{0, 0, 0, 0, 0x10, 0, 0, 0});
  CHECK(descriptors(acpi::ResourceTemplate{}.word_bus_number(0, 255)) ==
        Encoded{0x88, 0x0d, 0x00, 0x02, 0x0c, 0x00, 0, 0, 0, 0, 0xff, 0, 0, 0, 0x00, 0x01, 0x79, 0xe4});
  CHECK(descriptors(acpi::ResourceTemplate{}.word_io(0xc000, 0xdfff))[3] == 0x01);
  CHECK(descriptors(acpi::ResourceTemplate{}.dword_memory(0xe0000000, 0xefffffff)).size() == 3 + 23 + 2);

  // With its End Tag every template sums to zero.
  unsigned sum = 0;
  for (unsigned byte : qword) sum += byte;
  CHECK(sum % 256 == 0);
}

TEST_CASE("what AML cannot express is told, with the object and the numbers") {
  auto crs = [](acpi::ResourceTemplate const& resources) {
    return problem([&](acpi::Aml& aml) { aml.device("DEV0", [&] { aml.name("_CRS", resources); }); });
  };
  CHECK(crs(acpi::ResourceTemplate{}.io(0xfff8, 8)).empty());
  CHECK(crs(acpi::ResourceTemplate{}.io(0xfff8, 9)) ==
        "write AML of _CRS: io(0xfff8, 9) is not 1 to 255 ports below 0x10000");
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.io(0x100, 256)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.io(~0ull, 8)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.irq(16)).empty());
  CHECK(crs(acpi::ResourceTemplate{}.memory32_fixed(0xfffff000, 0x1000)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.memory32_fixed(0xfffff000, 0x1001)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.memory32_fixed(0x1'0000'0000, 0x1000)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.interrupt(0x1'0000'0000)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.qword_memory(0, ~0ull)).empty());
  CHECK_FALSE(crs(acpi::ResourceTemplate{}.word_io(8, 7)).empty());

  acpi::ResourceTemplate many;
  for (int i = 0; i < 63; ++i) many.io(0x100, 1);
  CHECK(crs(many).empty());
  many.io(0x100, 1);
  CHECK(crs(many) == "write AML of _CRS: a ResourceTemplate has at most 510 bytes");

  CHECK_FALSE(problem([](acpi::Aml& aml) { aml.return_(acpi::Arg(7)); }).empty());
  CHECK_FALSE(problem([](acpi::Aml& aml) { aml.store(1, acpi::Local(8)); }).empty());
  CHECK_FALSE(problem([](acpi::Aml& aml) { aml.method("M", {.arguments = 8}, [] {}); }).empty());
  CHECK_FALSE(problem([](acpi::Aml& aml) { aml.return_("\xe4"); }).empty());
  CHECK_FALSE(problem([](acpi::Aml& aml) { aml.else_([] {}); }).empty());
  CHECK_FALSE(problem([](acpi::Aml& aml) {
                aml.return_(acpi::PackageOf(256, [](acpi::AmlStream& out, std::size_t i) { encode(out, i); }));
              }).empty());
}

TEST_CASE("a full AML buffer is never overrun, and the error says how much room there should have been") {
  auto describe = [](acpi::Aml& aml) {
    aml.scope("\\_SB", [&] {
      for (std::size_t i = 0; i < 8; ++i)
        aml.device(acpi::device_name("VR", i), [&] {
          aml.name("_HID", "LNRO0005");
          aml.name("_CRS", acpi::ResourceTemplate{}.memory32_fixed(0xd0000000, 0x1000).interrupt(5));
        });
    });
  };
  std::size_t needed = encoded(describe).size();
  Encoded expected = encoded(describe);
  for (std::size_t room = 0; room <= needed; ++room) {
    std::vector<std::byte> storage(needed + 64, std::byte{0xcc});
    acpi::Aml aml{axvm::Bytes(storage).first(room)};
    describe(aml);
    bool untouched = true;
    for (std::size_t i = room; i < storage.size(); ++i) untouched = untouched && storage[i] == std::byte{0xcc};
    REQUIRE(untouched);
    REQUIRE(aml.size() == needed);
    auto status = aml.status();
    REQUIRE(status.has_value() == (room == needed));
    if (!status) REQUIRE(status.error().code == axvm::ErrorCode::OutOfMemory);
  }
  std::array<std::byte, 10> small{};
  acpi::Aml aml{axvm::Bytes(small)};
  describe(aml);
  CHECK(aml.status().error().operation ==
        axvm::text<1023>("write AML: ", expected.size(), " bytes do not fit into 10").view());
}
