#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <axvm/device/pci_configuration.hpp>

// The configuration space of a PCI function, as a guest's software meets it.

using namespace axvm;

namespace {

constexpr std::uint64_t window = 0xd000'4000, ports = 0xc010;

/// A function with a window of 16 KiB, four ports, and two capabilities, of which the second has a word to write.
class Function {
 public:
  Function() {
    configuration.identify(0x1af4, 0x1042, 0x01'8000);
    configuration.add_memory(0, window, 0x4000);
    configuration.add_ports(1, ports, 4);
    configuration.add_capability(0x40, 0x11, 0x0003, 0xc000'0000);
    configuration.add_capability(0x60, 0x09, 0x0110);
    configuration.put(0x64, 0x1234'5678, 0x00ff'0000);
  }

  std::uint64_t in(std::uint64_t offset, std::uint8_t width = 4) const {
    MmioAccess access{offset, width, 0x5a5a'5a5a'5a5a'5a5a};
    configuration.read(access);
    return access.value;
  }
  void out(std::uint64_t offset, std::uint64_t value, std::uint8_t width = 4) {
    configuration.write({offset, width, value});
  }
  /// What Linux does to learn a size: pci_read_bases().
  std::uint64_t sized(std::uint64_t offset) {
    const std::uint64_t kept = in(offset);
    out(offset, 0xffff'ffff);
    const std::uint64_t size = in(offset);
    out(offset, kept);
    CHECK(in(offset) == kept);
    return size;
  }

  PciConfiguration::State state{};
  PciConfiguration configuration{state};
};

}  // namespace

TEST_CASE("pci configuration: identity") {
  Function f;
  CHECK(f.in(0x00, 2) == 0x1af4);
  CHECK(f.in(0x02, 2) == 0x1042);
  CHECK(f.in(0x04, 2) == 0);     // Command: nothing is on
  CHECK(f.in(0x06, 2) == 0x10);  // Status: a list of capabilities
  CHECK(f.in(0x08) == 0x0180'0001);
  CHECK(f.in(0x0c) == 0);  // a header of type 0, and one function
  CHECK(f.in(0x2c, 2) == 0x1af4);
  CHECK(f.in(0x2e, 2) == 0x1042);
  CHECK(f.in(0x3c) == 0);  // Interrupt Pin: none
}

TEST_CASE("pci configuration: the sizes of base address registers") {
  Function f;
  CHECK(f.in(0x10) == 0xd000'4000);
  CHECK(f.in(0x14) == 0xc011);
  CHECK(f.sized(0x10) == 0xffff'c000);  // 16 KiB of memory, 32 bits, not prefetchable
  CHECK(f.sized(0x14) == 0xfffd);       // four ports
  for (const std::uint64_t none : {0x18ull, 0x1cull, 0x20ull, 0x24ull, 0x30ull}) CHECK(f.sized(none) == 0);
}

TEST_CASE("pci configuration: the function answers where it was placed, if the guest lets it") {
  Function f;
  PciConfiguration const& c = f.configuration;
  auto answers = [&](bool memory, bool io) { return c.decodes(0) == memory && c.decodes(1) == io; };
  CHECK(answers(false, false));
  f.out(0x04, 0x2, 2);
  CHECK(answers(true, false));
  f.out(0x04, 0x1, 2);
  CHECK(answers(false, true));
  f.out(0x04, 0x403, 2);
  CHECK(answers(true, true));
  f.out(0x10, 0xffff'ffff);
  CHECK(answers(false, true));
  f.out(0x10, 0xd000'8000);
  CHECK(answers(false, true));
  f.out(0x10, 0xd000'7fff);  // the low bits are not the guest's
  CHECK(answers(true, true));
  f.out(0x14, 0xc020);
  CHECK(answers(true, false));
  f.out(0x14, 0xc013);
  CHECK(answers(true, true));
  f.out(0x11, 0, 1);  // the address is 0xd000'0000 now
  CHECK(f.in(0x10) == 0xd000'0000);
  CHECK(answers(false, true));
  f.out(0x04, 0, 2);
  CHECK(answers(false, false));
}

TEST_CASE("pci configuration: the list of capabilities is in the order in which they were added") {
  Function f;
  std::vector<std::uint64_t> found;
  for (std::uint64_t at = f.in(0x34, 1); at != 0 && found.size() < 48; at = f.in(at + 1, 1)) found.push_back(at);
  CHECK(found == std::vector<std::uint64_t>{0x40, 0x60});
  CHECK(f.in(0x34) == 0x40);
  CHECK(f.in(0x40) == 0x0003'6011);
  CHECK(f.in(0x60) == 0x0110'0009);
  CHECK(f.in(0x64) == 0x1234'5678);
  // One without any: the pointer is 0.
  PciConfiguration::State state{};
  const PciConfiguration bare{state};
  CHECK(bare.word(pci_register::Capabilities_Pointer) == 0);
}

TEST_CASE("pci configuration: a guest changes the bits that are its own") {
  Function f;
  PciConfiguration::State expected = f.state;
  expected[0x04 / 4] = 0x0010'0407;
  expected[0x10 / 4] = 0xffff'c000;
  expected[0x14 / 4] = 0xfffd;
  expected[0x3c / 4] = 0xff;
  expected[0x40 / 4] |= 0xc000'0000;
  expected[0x64 / 4] = 0x12ff'5678;
  for (std::uint64_t offset = 0; offset < 0x1000; offset += 4) f.out(offset, 0xffff'ffff);
  CHECK(f.state == expected);
  expected[0x04 / 4] = 0x0010'0000;
  expected[0x10 / 4] = 0;
  expected[0x14 / 4] = 1;
  expected[0x3c / 4] = 0;
  expected[0x40 / 4] = 0x0003'6011;
  expected[0x64 / 4] = 0x1200'5678;
  for (std::uint64_t offset = 0; offset < 0x1000; offset += 4) f.out(offset, 0);
  CHECK(f.state == expected);
}

TEST_CASE("pci configuration: accesses of any width and place") {
  Function f;
  CHECK(f.in(0x00, 8) == 0x0010'0000'1042'1af4);
  CHECK(f.in(0x01, 1) == 0x1a);
  CHECK(f.in(0x01, 2) == 0x421a);
  CHECK(f.in(0x03, 3) == 0x00'0010);
  CHECK(f.in(0xff, 1) == 0);
  CHECK(f.in(0xfc, 4) == 0);
  // What there is no byte of is all-ones, and so is an access that has such a byte.
  CHECK(f.in(0xfd, 4) == ~0ull);
  for (const std::uint64_t behind : {0x100ull, 0xffcull, 0xfffull, ~0ull - 3, ~0ull}) CHECK(f.in(behind, 1) == ~0ull);

  f.out(0x3c, 0xa5, 1);
  CHECK(f.in(0x3c) == 0xa5);
  f.out(0x04, 0xffff, 1);  // a byte of it
  CHECK(f.in(0x04, 2) == 0x0007);
  f.out(0x05, 0xff, 1);
  CHECK(f.in(0x04, 2) == 0x0407);
  f.out(0x66, 0x5aa5, 2);
  CHECK(f.in(0x64) == 0x12a5'5678);
  f.out(0x66, 0x33, 1);
  CHECK(f.in(0x64) == 0x1233'5678);
  const PciConfiguration::State before = f.state;
  for (std::uint64_t offset = 0; offset < 0x100; ++offset)
    for (const std::uint8_t width : {std::uint8_t{2}, std::uint8_t{3}, std::uint8_t{4}, std::uint8_t{5},
                                     std::uint8_t{6}, std::uint8_t{7}, std::uint8_t{8}})
      if (width > 4 || width == 3 || offset % width != 0) f.out(offset, 0, width);
  for (const std::uint64_t behind : {0x100ull, 0x104ull, 0xffcull, 0x1'0000'0004ull, ~0ull - 3})
    f.out(behind, ~0ull, 4);
  CHECK(f.state == before);
}

TEST_CASE("pci configuration: of a restored state a guest's bits count, whatever the others are") {
  Function f;
  const PciConfiguration::State built = f.state;
  f.out(0x04, 0x6, 2);
  f.out(0x10, 0xffff'ffff);
  const PciConfiguration::State saved = f.state;

  Function other;
  other.state = saved;
  other.configuration.restored();
  CHECK(other.state == saved);
  CHECK_FALSE(other.configuration.decodes(0));
  other.out(0x10, window);
  CHECK(other.configuration.decodes(0));

  other.state.fill(0xffff'ffff);
  other.configuration.restored();
  PciConfiguration::State expected = built;
  expected[0x04 / 4] = 0x0010'0407;
  expected[0x10 / 4] = 0xffff'c000;
  expected[0x14 / 4] = 0xfffd;
  expected[0x3c / 4] = 0xff;
  expected[0x40 / 4] |= 0xc000'0000;
  expected[0x64 / 4] = 0x12ff'5678;
  CHECK(other.state == expected);

  other.state.fill(0);
  other.configuration.restored();
  expected = built;
  expected[0x10 / 4] = 0;
  expected[0x14 / 4] = 1;
  expected[0x64 / 4] = 0x1200'5678;
  CHECK(other.state == expected);
}
