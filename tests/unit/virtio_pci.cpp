#include <doctest/doctest.h>

#include "virtio_pci_echo.hpp"

using namespace guest;

// Virtio over PCI as a driver that keeps to the specification meets it; others are in virtio_pci_hostile.cpp.

TEST_CASE("virtio over PCI: what a driver finds") {
  PciEchoMachine m;
  CHECK(m.driver.config_in(0, 2) == 0x1af4);
  CHECK(m.driver.config_in(2, 2) == 0x1040 + 77);
  CHECK(m.driver.config_in(8, 1) == 1);  // not transitional
  CHECK(m.driver.config_in(8) == 0x0780'0001);
  CHECK(m.driver.config_in(0x2c, 2) == 0x1af4);
  CHECK(m.driver.config_in(0x2e, 2) == 0x1040 + 77);
  CHECK(m.driver.config_in(0x3d, 1) == 0);  // no interrupt line
  CHECK(m.driver.config_in(0x10) == 0xd000'4000);
  CHECK(m.driver.config_in(0x14) == 0xc011);

  CHECK(m.driver.capabilities.size() == 6);
  auto is = [](PciStructure const& found, std::uint8_t length, std::uint8_t bar, std::uint32_t offset,
               std::uint32_t size) {
    return found == PciStructure{found.at, length, bar, offset, size} && found.at != 0;
  };
  CHECK(is(m.driver.common, 16, 0, 0, 0x40));
  CHECK(is(m.driver.isr, 16, 0, 0x1000, 1));
  CHECK(is(m.driver.device_config, 16, 0, 0x2000, 0x1000));
  CHECK(is(m.driver.notify, 20, 1, 0, 4));
  CHECK(is(m.driver.window, 20, 0, 0, 0));
  CHECK(m.driver.notify_off_multiplier == 0);
  CHECK(m.driver.vector_count == 3);
  CHECK(is(m.driver.table, 12, 0, 0x3000, 48));
  CHECK(is(m.driver.pending, 12, 0, 0x3800, 8));
  CHECK(m.driver.in(PciRegister::num_queues) == 2);
  CHECK(m.counters.exits.value() != 0);
}

TEST_CASE("virtio over PCI: features") {
  PciEchoMachine m;
  CHECK(m.driver.offered() ==
        (EchoCore::SHOUT | EchoCore::HIGH | feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX));
  for (const std::uint32_t selector : {2u, 32u, 0xffff'ffffu}) {
    m.driver.out(PciRegister::device_feature_select, selector);
    CHECK(m.driver.in(PciRegister::device_feature_select) == selector);
    CHECK(m.driver.in(PciRegister::device_feature) == 0);
    m.driver.out(PciRegister::driver_feature_select, selector);
    CHECK(m.driver.in(PciRegister::driver_feature_select) == selector);
    m.driver.out(PciRegister::driver_feature, 0xffff'ffff);
    CHECK(m.driver.in(PciRegister::driver_feature) == 0);
  }
  CHECK(m.state.registers.driver_features == 0);
  auto negotiate = [&](std::uint64_t features) {
    m.driver.out(PciRegister::device_status, 0);
    m.driver.add_status(1);
    m.driver.add_status(2);
    m.driver.accept(features);
    m.driver.add_status(status::FEATURES_OK);
    return (m.driver.status_bits() & status::FEATURES_OK) != 0;
  };
  CHECK_FALSE(negotiate(0));
  CHECK_FALSE(negotiate(EchoCore::SHOUT));
  CHECK_FALSE(negotiate(feature::VERSION_1 | 1));
  CHECK_FALSE(negotiate(~0ull));
  CHECK(m.device.features() == 0);
  CHECK(negotiate(feature::VERSION_1 | EchoCore::HIGH));
  CHECK(m.device.features() == (feature::VERSION_1 | EchoCore::HIGH));
  m.driver.accept(feature::VERSION_1 | EchoCore::SHOUT);  // too late
  CHECK(m.device.features() == (feature::VERSION_1 | EchoCore::HIGH));
  m.driver.out(PciRegister::driver_feature_select, 1);
  CHECK(m.driver.in(PciRegister::driver_feature) == 0x101);
  m.driver.out(PciRegister::driver_feature_select, 0);
  CHECK(m.driver.in(PciRegister::driver_feature) == 0);
}

TEST_CASE("virtio over PCI: the status moves on in order and never back") {
  PciEchoMachine m;
  auto put = [&](std::uint32_t value) {
    m.driver.out(PciRegister::device_status, value & 0xff);
    return m.driver.status_bits();
  };
  check_status_moves(m, put);
}

TEST_CASE("virtio over PCI: a queue's size is the most there may be, or what the driver wants") {
  PciEchoMachine m;
  for (auto [queue, size] : {std::pair{0u, 8u}, {1u, 1024u}, {2u, 0u}, {0xffffu, 0u}}) {
    m.driver.out(PciRegister::queue_select, queue);
    CHECK(m.driver.in(PciRegister::queue_select) == queue);
    CHECK(m.driver.in(PciRegister::queue_size) == size);
    CHECK(m.driver.in(PciRegister::queue_enable) == 0);
    CHECK(m.driver.in(PciRegister::queue_msix_vector) == 0xffff);
    CHECK(m.driver.in(PciRegister::queue_notify_off) == 0);
    CHECK(m.driver.in_64(PciRegister::queue_desc) == 0);
  }
  REQUIRE(m.driver.negotiate(~feature::EVENT_IDX));
  m.driver.enable_vectors();
  // The first by its default, with areas above 4 GiB on the way.
  m.driver.out(PciRegister::queue_select, 0);
  m.driver.out_64(PciRegister::queue_desc, 0x1234'5678'9abc'def0);
  CHECK(m.driver.in_64(PciRegister::queue_desc) == 0x1234'5678'9abc'def0);
  m.driver.out_64(PciRegister::queue_desc, m.small.descriptors);
  m.driver.out_64(PciRegister::queue_driver, m.small.available);
  m.driver.out_64(PciRegister::queue_device, m.small.used);
  m.driver.out(PciRegister::queue_msix_vector, 1);
  m.driver.out(PciRegister::queue_enable, 1);
  CHECK(m.driver.in(PciRegister::queue_enable) == 1);
  CHECK(m.driver.in(PciRegister::queue_size) == 8);
  CHECK(m.driver.in_64(PciRegister::queue_driver) == m.small.available);
  // The second is made smaller.
  m.large = Ring(m.ram, 4, 0x1'0000);
  REQUIRE(m.driver.enable_queue(1, m.large));
  CHECK(m.driver.in(PciRegister::queue_size) == 4);
  m.driver.add_status(status::DRIVER_OK);
  for (unsigned i = 0; i < 6; ++i) {
    m.put(m.small, 0, "default");
    m.driver.kick(0);
    m.put(m.large, 2, "chosen");
    m.driver.kick(1);
  }
  CHECK(m.small.used_index() == 6);
  CHECK(m.large.used_index() == 6);
  CHECK(m.echo(0, 7) == "default");
  CHECK(m.echo(2, 6) == "chosen");
  CHECK(m.apics.take().size() == 12);
}

TEST_CASE("virtio over PCI: an enabled queue stays as it is, and only 1 enables one") {
  PciEchoMachine m;
  // Not before the features are settled.
  m.driver.out(PciRegister::device_status, 3);
  m.driver.out(PciRegister::queue_select, 0);
  m.driver.out(PciRegister::queue_enable, 1);
  CHECK(m.driver.in(PciRegister::queue_enable) == 0);
  CHECK(m.driver.status_bits() == 3);  // nor did it ask for a reset
  REQUIRE(m.driver.negotiate(~0ull));
  m.driver.describe_queue(0, 8, m.small.descriptors, m.small.available, m.small.used);
  for (const std::uint32_t value : {0u, 2u, 3u, 0xffffu}) {
    m.driver.out(PciRegister::queue_enable, value);
    CHECK(m.driver.in(PciRegister::queue_enable) == 0);
  }
  m.driver.out(PciRegister::queue_enable, 1);
  REQUIRE(m.driver.in(PciRegister::queue_enable) == 1);
  const auto before = m.state;
  m.driver.describe_queue(0, 4, 0x1000, 0x2000, 0x3000);
  m.driver.out(PciRegister::queue_enable, 0);
  m.driver.out(PciRegister::queue_enable, 1);
  CHECK(m.state == before);
  // A queue that there is not.
  m.driver.describe_queue(2, 8, 0x1000, 0x2000, 0x3000);
  m.driver.out(PciRegister::queue_msix_vector, 1);
  m.driver.out(PciRegister::queue_enable, 1);
  CHECK(m.driver.in(PciRegister::queue_msix_vector) == 0xffff);
  CHECK(m.driver.in(PciRegister::queue_enable) == 0);
  m.driver.out(PciRegister::queue_select, 0);
  CHECK(m.state == before);
}

TEST_CASE("virtio over PCI: a doorbell's value is the queue, and each queue has a message of its own") {
  PciEchoMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.put(m.small, 0, "small");
  m.driver.port_out(0, 2, 1);
  CHECK(m.small.used_index() == 0);
  m.driver.port_out(0, 2, 0);
  CHECK(m.echo(0, 5) == "small");
  CHECK(m.small.last_used().len == 5);
  CHECK(m.apics.take() == Sent{message(1)});
  m.put(m.large, 1, "large");
  m.driver.port_out(0, 2, 1);
  CHECK(m.echo(1, 5) == "large");
  CHECK(m.apics.take() == Sent{message(2)});
  m.put(m.small, 2, "both");
  m.put(m.large, 3, "both");
  m.driver.kick(1);
  m.driver.kick(0);
  CHECK(m.apics.take() == Sent{message(2), message(1)});
  CHECK(m.counters.notifications.value() == 5);
  CHECK(m.counters.interrupts.value() == 4);
  CHECK(m.counters.requests.value() == 4);
  // There is nothing to acknowledge.
  CHECK(m.driver.acknowledge() == 0);
  // Both queues by one vector.
  m.driver.out(PciRegister::queue_select, 1);
  m.driver.out(PciRegister::queue_msix_vector, 1);
  CHECK(m.driver.in(PciRegister::queue_msix_vector) == 1);
  m.put(m.large, 1, "x");
  m.driver.kick(1);
  CHECK(m.apics.take() == Sent{message(1)});
  // A driver that wants none.
  m.small.set_flags(1);
  m.put(m.small, 0, "x");
  m.driver.kick(0);
  CHECK(m.small.used_index() == 3);
  CHECK(m.apics.sent.empty());
}

TEST_CASE("virtio over PCI: doorbells ring one queue each") {
  PciEchoMachine m(true);
  REQUIRE(m.bells.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(m.claims[m.bells[i].first.window].kind == axvm::ClaimKind::Pio);
    CHECK(m.bells[i].first.offset == 0);
    CHECK(m.bells[i].first.width == 2);
    CHECK(m.bells[i].first.value == i);
  }
  m.bells[0].second();  // before there is a driver
  CHECK(m.core.rounds[0] == 0);
  REQUIRE(m.start());
  m.put(m.large, 3, "bell");
  m.bells[0].second();
  CHECK(m.large.used_index() == 0);
  m.bells[1].second();
  CHECK(m.large.used_index() == 1);
  CHECK(m.apics.take() == Sent{message(2)});
}

TEST_CASE("virtio over PCI: a changed configuration has its own message, a generation, and a bit in the ISR status") {
  PciEchoMachine m;
  REQUIRE(m.start());
  auto field = [&](std::uint64_t offset, std::uint8_t width) {
    return m.driver.in(m.driver.device_config, offset, width);
  };
  CHECK(field(0, 4) == 0x1122'3344);
  CHECK(field(4, 2) == 0x5566);
  CHECK(field(6, 2) == 0x7788);
  CHECK(field(0, 8) == 0x7788'5566'1122'3344);
  CHECK(field(6, 4) == 0xffff'7788);
  CHECK(field(0xfff, 1) == 0xff);
  m.driver.out(m.driver.device_config, 0, 4, 0);
  CHECK(field(0, 4) == 0x1122'3344);
  const std::uint32_t generation = m.driver.in(PciRegister::config_generation);
  m.core.space.b = 1;
  m.device.configuration_changed();
  CHECK(m.apics.take() == Sent{message(0)});
  CHECK(m.driver.in(PciRegister::config_generation) == generation + 1);
  CHECK(field(4, 2) == 1);
  CHECK(m.driver.acknowledge() == 2);
  CHECK(m.driver.acknowledge() == 0);
  // Without a driver nobody is told, and a reset does not turn the generation back.
  m.driver.out(PciRegister::device_status, 0);
  m.device.configuration_changed();
  CHECK(m.apics.sent.empty());
  CHECK(m.driver.acknowledge() == 0);
  CHECK(m.driver.in(PciRegister::config_generation) == generation + 2);
  // It is of eight bits.
  for (unsigned i = 0; i < 256; ++i) m.device.configuration_changed();
  CHECK(m.driver.in(PciRegister::config_generation) == generation + 2);
  CHECK(m.driver.in(PciRegister::device_status) == 0);
}

TEST_CASE("virtio over PCI: without MSI-X the ISR status says why, and reading clears it") {
  PciEchoMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX, false));
  CHECK(m.driver.acknowledge() == 0);
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.driver.acknowledge() == 1);
  CHECK(m.driver.acknowledge() == 0);
  m.put(m.small, 0, "x");
  m.driver.kick();
  m.device.configuration_changed();
  CHECK(m.driver.acknowledge() == 3);
  CHECK(m.driver.acknowledge() == 0);
  CHECK(m.apics.sent.empty());
  m.driver.out(m.driver.isr, 0, 1, 3);
  CHECK(m.driver.acknowledge() == 0);
}

TEST_CASE("virtio over PCI: a masked vector keeps one message, however often its queue was shown meanwhile") {
  PciEchoMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.driver.mask(2, true);
  for (std::uint16_t i = 0; i < 3; ++i) {
    m.put(m.large, i, "x");
    m.driver.kick(1);
    CHECK(m.large.used_index() == i + 1);
    CHECK(m.driver.in(m.driver.pending, 0, 4) == 4);
  }
  CHECK(m.counters.interrupts.value() == 3);
  CHECK(m.apics.sent.empty());
  m.driver.mask(2, false);
  CHECK(m.apics.sent.size() == 1);
  CHECK(m.driver.in(m.driver.pending, 0, 4) == 0);
}

TEST_CASE("virtio over PCI: a reset takes queues and vectors away, MSI-X stays the driver's") {
  PciEchoMachine m;
  REQUIRE(m.start());
  m.driver.mask(2, true);
  m.put(m.large, 0, "x");
  m.driver.kick(1);
  CHECK(m.driver.in(m.driver.pending, 0, 4) == 4);
  m.driver.out(PciRegister::queue_select, 1);
  m.driver.out(PciRegister::device_status, 0);
  CHECK(m.driver.status_bits() == 0);
  // Nothing is heard of a buffer that was used before.
  CHECK(m.driver.in(m.driver.pending, 0, 4) == 0);
  m.driver.mask(2, false);
  CHECK(m.apics.sent.empty());
  CHECK(m.driver.in(PciRegister::queue_select) == 0);
  CHECK(m.driver.in(PciRegister::config_msix_vector) == 0xffff);
  for (const std::uint32_t queue : {0u, 1u}) {
    m.driver.out(PciRegister::queue_select, queue);
    CHECK(m.driver.in(PciRegister::queue_enable) == 0);
    CHECK(m.driver.in(PciRegister::queue_size) == EchoCore::queue_sizes[queue]);
    CHECK(m.driver.in(PciRegister::queue_msix_vector) == 0xffff);
    CHECK(m.driver.in_64(PciRegister::queue_device) == 0);
  }
  CHECK(m.driver.config_in(m.driver.msix + 2u, 2) == 0x8002);
  CHECK(m.driver.in(m.driver.table, 16 + 8, 4) == message(1).data);
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.small.used_index() == 0);
  REQUIRE(m.start());
  m.put(m.small, 0, "again");
  m.driver.kick();
  CHECK(m.echo(0, 5) == "again");
  CHECK(m.apics.take() == Sent{message(1)});
}

TEST_CASE("virtio over PCI: saved in the middle, another transport goes on") {
  PciEchoMachine m, other;
  REQUIRE(m.start());
  m.put(m.small, 0, "one");
  m.driver.kick();
  m.small.set_used_event(1);
  m.driver.mask(2, true);
  m.put(m.large, 5, "two");
  m.driver.kick(1);
  CHECK(m.apics.take() == Sent{message(1)});
  CHECK(m.driver.in(m.driver.pending, 0, 4) == 4);
  m.put(m.small, 3, "three");  // its notification is lost with the machine
  m.device.configuration_changed();
  const auto saved = m.state;

  virtio::TransportCounters counters;
  EchoCore core;
  PciEchoMachine::Transport::State state;
  other.context.memory = m.ram.memory;
  PciEchoMachine::Transport device(core, state, counters, "echo", 0x07'8000, other.context);
  state = saved;
  device.restored();
  // One interrupt too many of each vector, for those that were under way; the masked one waits.
  CHECK(other.apics.take() == Sent{message(0), message(1)});
  CHECK(m.small.used_index() == 1);
  other.events.advance(1'000);
  CHECK(m.small.used_index() == 2);
  CHECK(m.echo(3, 5) == "three");
  CHECK(other.apics.take() == Sent{message(1)});
  auto after = saved;
  after.vectors[0].pending = after.vectors[1].pending = false;
  after.registers.queues[0].next_available = after.registers.queues[0].used_index = 2;
  CHECK(state == after);

  PciDriver driver(device);
  CHECK(driver.acknowledge() == 2);
  CHECK(driver.in(driver.pending, 0, 4) == 4);
  driver.mask(2, false);
  CHECK(other.apics.take() == Sent{message(2)});
  m.put(m.large, 6, "four");
  m.large.set_used_event(1);
  driver.kick(1);
  CHECK(m.echo(6, 4) == "four");
  CHECK(other.apics.take() == Sent{message(2)});
  CHECK(m.apics.take() == Sent{message(0)});
}
