#include <doctest/doctest.h>

#include "virtio_pci_echo.hpp"

using namespace guest;

// Virtio over PCI: accesses that no driver makes, rings and states that cannot be, and the access capability.

namespace {

/// What firmware does that maps no windows, [virtio/1.2] 4.1.4.9.
struct Window {
  PciEchoMachine& m;
  std::uint8_t at = m.driver.window.at;

  void aim(std::uint8_t bar, std::uint32_t offset, std::uint32_t length) {
    m.driver.config_out(at + 4u, 1, bar);
    m.driver.config_out(at + 8u, 4, offset);
    m.driver.config_out(at + 12u, 4, length);
  }
  std::uint32_t in(std::uint32_t offset, std::uint8_t length) {
    aim(0, offset, length);
    return m.driver.config_in(at + 16u, length);
  }
  void out(std::uint32_t offset, std::uint8_t length, std::uint32_t value, std::uint8_t bar = 0) {
    aim(bar, offset, length);
    m.driver.config_out(at + 16u, length, value);
  }
};

constexpr std::array<std::uint8_t, 8> widths{1, 2, 3, 4, 5, 6, 7, 8};
constexpr auto offset_of(PciRegister which) { return static_cast<std::uint64_t>(which); }

}  // namespace

TEST_CASE("virtio over PCI: reads of any width are bytes of the structures, and none but of the ISR changes anything") {
  PciEchoMachine m;
  REQUIRE(m.start());
  const auto before = m.state;
  std::vector<std::uint8_t> bytes;
  for (std::uint64_t offset = 0; offset < 0x4000; ++offset)
    bytes.push_back(offset == 0x1000 ? 0xff : static_cast<std::uint8_t>(m.driver.memory_in(offset, 1)));
  for (std::uint64_t offset = 0; offset < 0x4000; ++offset) {
    if (offset == 0x1000 || (offset > 0x60 && offset % 0x800 > 0x60 && offset % 0x800 < 0x7f0)) continue;
    for (const std::uint8_t width : widths) {
      if (offset + width > 0x4000) continue;
      std::uint64_t expected = 0;
      for (unsigned i = 0; i < width; ++i) expected |= std::uint64_t{bytes[offset + i]} << 8 * i;
      CHECK_MESSAGE(m.driver.memory_in(offset, width) == expected, offset, " ", +width);
    }
  }
  CHECK(m.state == before);
  for (const std::uint64_t nothing : {0x40u, 0xfffu, 0x1001u, 0x1fffu}) CHECK(bytes[nothing] == 0xff);
  for (const std::uint64_t unused : {0x3au, 0x3fu, 0x3030u, 0x37ffu, 0x3808u, 0x3fffu}) CHECK(bytes[unused] == 0);
}

TEST_CASE("virtio over PCI: a field takes writes of its own width only, and of the right fields") {
  PciEchoMachine m;
  REQUIRE(m.driver.negotiate(feature::VERSION_1));
  m.driver.out(PciRegister::queue_select, 1);
  const auto before = m.state;
  using enum PciRegister;
  for (std::uint64_t offset = 0; offset < 0x48; ++offset)
    for (const std::uint8_t width : widths) {
      const bool is_high_half = offset == 0x24 || offset == 0x2c || offset == 0x34;
      bool is_field = is_high_half && width == 4;
      for (PciRegister which :
           {device_feature_select, driver_feature_select, config_msix_vector, device_status, queue_select, queue_size,
            queue_msix_vector, queue_enable, queue_desc, queue_driver, queue_device})
        is_field |= offset == offset_of(which) && width == m.driver.width_of(which);
      if (!is_field) m.driver.memory_out(offset, width, 0x0101'0101'0101'0101);
      CHECK_MESSAGE(m.state == before, offset, " ", +width);
    }
  // Nor do the other structures.
  for (std::uint64_t offset = 0x40; offset < 0x3000; offset += 4) m.driver.memory_out(offset, 4, 0);
  for (std::uint64_t offset = 0x3030; offset < 0x4000; offset += 4) m.driver.memory_out(offset, 4, 0xffff'ffff);
  CHECK(m.state == before);
}

TEST_CASE("virtio over PCI: the table of MSI-X takes 32 and 64 aligned bits") {
  PciEchoMachine m;
  const std::uint64_t entry = m.driver.table.offset + 16;
  for (std::uint64_t offset = 0; offset < 16; ++offset)
    for (const std::uint8_t width : widths)
      if ((width != 4 && width != 8) || offset % width != 0) m.driver.memory_out(entry + offset, width, 0);
  CHECK(m.state.vectors == PciEchoMachine::Transport::State{}.vectors);
  m.driver.memory_out(entry, 8, 0x1234'5678'9abc'defd);
  CHECK(m.state.vectors[1] == axvm::MsixVector{.address = 0x1234'5678'9abc'defc});
  CHECK(m.driver.memory_in(entry, 8) == 0x1234'5678'9abc'defc);
  m.driver.memory_out(entry + 8, 8, 0x0000'0000'dead'beef);
  CHECK(m.state.vectors[1] == axvm::MsixVector{.address = 0x1234'5678'9abc'defc, .data = 0xdead'beef, .masked = false});
  CHECK(m.driver.memory_in(entry + 8, 8) == 0xdead'beef);
  CHECK(m.driver.memory_in(entry + 11, 2) == 0x00de);
  CHECK(m.state.vectors[0] == axvm::MsixVector{});
  CHECK(m.state.vectors[2] == axvm::MsixVector{});
  // A message that was pending goes by what the same write brings.
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.driver.mask(1, true);
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.driver.in(m.driver.pending, 0, 8) == 2);
  m.driver.memory_out(m.driver.pending.offset, 8, 0);
  CHECK(m.driver.in(m.driver.pending, 0, 8) == 2);
  m.driver.memory_out(entry + 8, 8, 0x0000'0000'0000'0099);
  CHECK(m.apics.take() == Sent{{message(1).address, 0x99}});
  CHECK(m.driver.in(m.driver.pending, 0, 8) == 0);
  // The function's mask, and what a byte of Message Control says.
  m.driver.config_out(m.driver.msix + 3u, 1, 0xc0);
  CHECK(m.driver.config_in(m.driver.msix + 2u, 2) == 0xc002);
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.driver.in(m.driver.pending, 0, 4) == 2);
  m.driver.control(0x87ff);
  CHECK(m.driver.config_in(m.driver.msix + 2u, 2) == 0x8002);
  CHECK(m.apics.take() == Sent{{message(1).address, 0x99}});
}

TEST_CASE("virtio over PCI: a vector that is not there reads as none, and none interrupts nobody") {
  PciEchoMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.driver.out(PciRegister::queue_select, 0);
  for (const std::uint32_t vector : {3u, 0x7fu, 0x7fffu, 0xfffeu, 0xffffu}) {
    for (PciRegister which : {PciRegister::config_msix_vector, PciRegister::queue_msix_vector}) {
      m.driver.out(which, 2);
      CHECK(m.driver.in(which) == 2);
      m.driver.out(which, vector);
      CHECK(m.driver.in(which) == 0xffff);
    }
  }
  m.put(m.small, 0, "x");
  m.driver.kick();
  m.device.configuration_changed();
  CHECK(m.small.used_index() == 1);
  CHECK(m.apics.sent.empty());
  CHECK(m.driver.in(m.driver.pending, 0, 4) == 0);
  CHECK(m.driver.acknowledge() == 2);
}

TEST_CASE("virtio over PCI: doorbells of other widths, places and queues") {
  PciEchoMachine m;
  REQUIRE(m.start());
  m.put(m.small, 0, "x");
  m.put(m.large, 1, "x");
  for (const std::uint32_t queue : {0u, 1u}) {
    m.driver.port_out(0, 1, queue);
    m.driver.port_out(0, 4, queue);
    for (std::uint16_t offset = 1; offset != 4; ++offset) m.driver.port_out(offset, 1, queue);
    m.driver.port_out(2, 2, queue);
  }
  for (const std::uint32_t none : {2u, 0x100u, 0x8000u, 0xffffu}) m.driver.port_out(0, 2, none);
  CHECK(m.counters.notifications.value() == 0);
  CHECK(m.core.rounds == std::array{1u, 1u});  // as they started
  CHECK(m.small.used_index() + m.large.used_index() == 0);
}

TEST_CASE("virtio over PCI: a malformed ring makes the device ask for a reset, once") {
  PciEchoMachine m;
  REQUIRE(m.start());
  m.small.offer(999);
  m.driver.kick();
  CHECK(m.driver.status_bits() == 0x4f);
  CHECK(m.apics.take() == Sent{message(0)});
  CHECK(m.driver.acknowledge() == 2);
  CHECK(m.counters.malformed_rings.value() == 1);
  m.put(m.large, 1, "x");
  m.driver.kick(0);
  m.driver.kick(1);
  m.driver.add_status(status::DRIVER_OK);
  CHECK(m.large.used_index() == 0);
  CHECK(m.driver.status_bits() == 0x4f);
  CHECK(m.apics.sent.empty());
  REQUIRE(m.start());
  m.put(m.small, 0, "fine");
  m.driver.kick();
  CHECK(m.echo(0, 4) == "fine");
  CHECK(m.apics.take() == Sent{message(1)});
}

TEST_CASE("virtio over PCI: queues that are not sound are not enabled") {
  struct Bad {
    std::uint32_t size;
    std::uint64_t descriptors, available, used;
  };
  constexpr std::uint64_t d = 0x8000, a = 0xc000, u = 0xd000;
  for (Bad const& bad :
       {Bad{3, d, a, u}, Bad{16, d, a, u}, Bad{0xffff, d, a, u}, Bad{8, d + 8, a, u}, Bad{8, d, a + 1, u},
        Bad{8, d, a, u + 2}, Bad{8, Ram::end, a, u}, Bad{8, Ram::end - 112, a, u}, Bad{8, d, ~0ull - 1, u},
        Bad{8, ~0ull - 15, a, u}, Bad{8, d, a, u | 1ull << 40}, Bad{8, d, a, 0xd000'4000}}) {
    PciEchoMachine m;
    REQUIRE(m.driver.negotiate(~0ull));
    m.driver.describe_queue(0, bad.size, bad.descriptors, bad.available, bad.used);
    m.driver.out(PciRegister::queue_enable, 1);
    CHECK(m.driver.in(PciRegister::queue_enable) == 0);
    CHECK(m.driver.status_bits() == 0x4b);
    CHECK(m.counters.malformed_rings.value() == 1);
    CHECK(m.apics.sent.empty());
    REQUIRE(m.start());
  }
}

TEST_CASE("virtio over PCI: a function that is not to answer does not") {
  PciEchoMachine m;
  REQUIRE(m.start());
  auto window_answers = [&] { return m.driver.in(PciRegister::num_queues) == 2; };
  auto ports_answer = [&] {
    const auto before = m.counters.notifications.value();
    m.driver.port_out(0, 2, 0);
    return m.counters.notifications.value() != before;
  };
  CHECK(window_answers());
  CHECK(ports_answer());
  const auto registers = m.state.registers;
  SUBCASE("no memory space") {
    m.driver.config_out(4, 2, 5);
    CHECK_FALSE(window_answers());
    CHECK(ports_answer());
  }
  SUBCASE("no I/O space") {
    m.driver.config_out(4, 2, 6);
    CHECK(window_answers());
    CHECK_FALSE(ports_answer());
  }
  SUBCASE("elsewhere in memory") {
    m.driver.config_out(0x10, 4, 0xd000'8000);
    CHECK_FALSE(window_answers());
    CHECK(ports_answer());
  }
  SUBCASE("at other ports") {
    m.driver.config_out(0x14, 4, 0xc020);
    CHECK(window_answers());
    CHECK_FALSE(ports_answer());
  }
  SUBCASE("while its sizes are asked for") {
    m.driver.config_out(0x10, 4, 0xffff'ffff);
    m.driver.config_out(0x14, 4, 0xffff'ffff);
    CHECK_FALSE(window_answers());
    CHECK_FALSE(ports_answer());
  }
  m.driver.config_out(4, 2, 0);
  for (const std::uint64_t offset : {0x0000u, 0x0014u, 0x1000u, 0x2000u, 0x3000u, 0x3800u})
    CHECK(m.driver.memory_in(offset, 4) == 0xffff'ffff);
  m.driver.memory_out(0x14, 1, 0);
  m.driver.memory_out(0x300c, 4, 1);
  CHECK(m.state.registers == registers);
  CHECK_FALSE(m.state.vectors[0].masked);
  m.driver.config_out(0x10, 4, 0xd000'4000);
  m.driver.config_out(0x14, 4, 0xc010);
  m.driver.config_out(4, 2, 7);
  CHECK(window_answers());
  CHECK(ports_answer());
}

TEST_CASE("virtio over PCI: structures are reached through the access capability, decoded or not") {
  PciEchoMachine m;
  Window w{m};
  m.driver.config_out(4, 2, 0);
  CHECK(w.in(0x12, 2) == 2);  // num_queues
  CHECK(m.driver.config_in(w.at + 4u, 1) == 0);
  CHECK(m.driver.config_in(w.at + 8u) == 0x12);
  CHECK(m.driver.config_in(w.at + 12u) == 2);
  CHECK(w.in(0x2000, 4) == 0x1122'3344);
  CHECK(w.in(0x2001, 1) == 0x33);
  w.out(0x14, 1, 1);
  CHECK(w.in(0x14, 1) == 1);
  w.out(0x3010, 4, 0xfee0'1000);
  CHECK(m.state.vectors[1].address == 0xfee0'1000);
  // By the length alone.
  w.aim(0, 0x14, 1);
  for (const std::uint8_t width : widths) {
    if (width == 1) continue;
    m.driver.config_out(w.at + 16u, width, 0);
    CHECK((m.driver.config_in(w.at + 16u, width) & 0xff) == 0);  // of the register behind it
  }
  CHECK(m.state.registers.status == 1);
  for (const std::uint32_t length : {0u, 3u, 5u, 8u, 0x100u, 0x1'0001u, 0xffff'ffffu}) {
    w.aim(0, 0x14, length);
    for (const std::uint8_t width : widths) m.driver.config_out(w.at + 16u, width, 0);
    CHECK(m.state.registers.status == 1);
  }
  // Places where nothing is.
  for (const std::uint32_t offset : {0x40u, 0x3fffu, 0x4000u, 0x1'0000u, 0xffff'fffcu, 0xffff'ffffu}) {
    w.out(offset, 4, 0);
    if (offset != 0x3fff) CHECK(w.in(offset, 4) == 0xffff'ffff);
  }
  CHECK(m.state.registers.status == 1);
  // The ISR status is cleared by this, too.
  m.driver.config_out(4, 2, 7);
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.device.configuration_changed();
  CHECK(w.in(0x1000, 1) == 2);
  CHECK(w.in(0x1000, 1) == 0);
  // The doorbell, and registers that there are not.
  m.put(m.small, 0, "window");
  for (const std::uint8_t bar : {std::uint8_t{0}, std::uint8_t{2}, std::uint8_t{5}, std::uint8_t{0xff}})
    w.out(0, 2, 0, bar);
  w.out(2, 2, 0, 1);
  w.out(0, 1, 0, 1);
  w.out(0, 4, 0, 1);
  CHECK(m.small.used_index() == 0);
  w.out(0, 2, 0, 1);
  CHECK(m.echo(0, 6) == "window");
  w.aim(2, 0x14, 1);
  CHECK(m.driver.config_in(w.at + 16u, 1) == 0xff);
}

TEST_CASE("virtio over PCI: a saved state that no guest could have made") {
  PciEchoMachine m;
  REQUIRE(m.start());
  auto saved = m.state;
  bool sound = false;
  SUBCASE("vectors that there are not") {
    saved.configuration_vector = 3;
    saved.queue_vectors = {0x8000, 0xfffe};
    sound = true;
  }
  SUBCASE("queues that there are not are selected") {
    saved.registers.queue_sel = 0x1'0001;
    sound = true;
  }
  SUBCASE("another function") {
    saved.configuration.fill(0xffff'ffff);
    saved.configuration[0x10 / 4] = 0xd000'4000;
    saved.configuration[0x14 / 4] = 0xc011;
    sound = true;
  }
  SUBCASE("rings outside memory") { saved.registers.queues[1].device_area = Ram::end; }
  SUBCASE("a size that needs more than its field") { saved.registers.queues[0].size = 0x1'0008; }
  SUBCASE("features that are not offered") { saved.registers.driver_features |= 1; }
  m.state = saved;
  m.device.restored();
  CHECK(m.driver.config_in(0) == 0x108d'1af4);
  CHECK(m.driver.config_in(m.driver.window.at) == (0x0514'0009u));
  CHECK(m.driver.needs_reset() == !sound);
  CHECK(m.driver.in(PciRegister::queue_select) == m.state.registers.queue_sel);
  for (const std::uint16_t vector : m.state.queue_vectors) CHECK((vector < 3 || vector == 0xffff));
  CHECK((m.state.configuration_vector < 3 || m.state.configuration_vector == 0xffff));
  m.events.advance(1'000);
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.apics.take();
  m.put(m.small, 0, "on");
  m.driver.kick();
  CHECK(m.echo(0, 2) == "on");
  CHECK(m.apics.take() == Sent{message(1)});
}

TEST_CASE("virtio over PCI: the size of a queue in a saved state is as wide as its field") {
  PciEchoMachine m;
  REQUIRE(m.driver.negotiate(~0ull));
  m.driver.describe_queue(0, 8, m.small.descriptors, m.small.available, m.small.used);
  m.state.registers.queues[0].size |= 0x1'0000;
  m.device.restored();
  CHECK(m.driver.in(PciRegister::queue_size) == 8);
  m.driver.out(PciRegister::queue_enable, 1);
  CHECK(m.driver.in(PciRegister::queue_enable) == 1);
}
