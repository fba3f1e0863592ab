#include <doctest/doctest.h>

#include <axvm/acpi/acpi.hpp>

#include "virtio_echo.hpp"

using namespace guest;

TEST_CASE("virtio over MMIO: registers that a driver reads first") {
  EchoMachine m;
  CHECK(m.driver.in(MmioRegister::MagicValue) == 0x7472'6976);
  CHECK(m.driver.in(MmioRegister::Version) == 2);
  CHECK(m.driver.in(MmioRegister::DeviceID) == 77);
  CHECK(m.driver.in(MmioRegister::Status) == 0);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
  CHECK(m.driver.offered() ==
        (EchoCore::SHOUT | EchoCore::HIGH | feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX));
  for (std::uint32_t selector : {2u, 32u, 0xffff'ffffu}) {
    m.driver.out(MmioRegister::DeviceFeaturesSel, selector);
    CHECK(m.driver.in(MmioRegister::DeviceFeatures) == 0);
  }
  for (auto [queue, size] : {std::pair{0u, 8u}, {1u, 1024u}, {2u, 0u}, {0xffff'ffffu, 0u}}) {
    m.driver.out(MmioRegister::QueueSel, queue);
    CHECK(m.driver.in(MmioRegister::QueueNumMax) == size);
    CHECK(m.driver.in(MmioRegister::QueueReady) == 0);
  }
  for (std::uint32_t region : {0u, 1u, 255u}) {
    m.driver.out(MmioRegister::SHMSel, region);
    for (auto which :
         {MmioRegister::SHMLenLow, MmioRegister::SHMLenHigh, MmioRegister::SHMBaseLow, MmioRegister::SHMBaseHigh})
      CHECK(m.driver.in(which) == 0xffff'ffff);
  }
  m.driver.out(MmioRegister::QueueReset, 1);
  CHECK(m.driver.in(MmioRegister::QueueReset) == 0);
}

TEST_CASE("virtio over MMIO: reads of any width are bytes of the registers, and no read changes anything") {
  EchoMachine m;
  REQUIRE(m.start());
  auto before = m.state;
  CHECK(m.driver.in(0x000, 1) == 'v');
  CHECK(m.driver.in(0x001, 2) == ('i' | 'r' << 8));
  CHECK(m.driver.in(0x002, 8) == 0x004d'0000'0002'7472);  // MagicValue, Version, DeviceID
  CHECK(m.driver.in(0x0ff, 2) == 0x4400);                 // ConfigGeneration and configuration space
  for (std::uint64_t offset = 0; offset < 0x110; ++offset)
    for (std::uint8_t width : std::array<std::uint8_t, 5>{1, 2, 3, 4, 8})
      for (unsigned i = 0; i < width; ++i)
        CHECK((m.driver.in(offset, width) >> 8 * i & 0xff) ==
              (m.driver.in((offset + i) & ~3ull, 4) >> 8 * ((offset + i) % 4) & 0xff));
  CHECK(m.state == before);
  // Neither wrong widths nor read-only, unassigned or misaligned registers take a write.
  for (std::uint64_t offset = 0; offset < 0x100; ++offset)
    for (std::uint8_t width : std::array<std::uint8_t, 3>{1, 2, 8}) m.driver.out(offset, width, 0);
  for (std::uint64_t offset = 0; offset < 0x100; ++offset)
    if (offset % 4 != 0) m.driver.out(offset, 4, 0);
  for (std::uint64_t offset :
       std::initializer_list<std::uint64_t>{0x00, 0x04, 0x08, 0x0c, 0x10, 0x18, 0x28, 0x2c, 0x34, 0x3c,
                                            0x40, 0x60, 0xb0, 0xb4, 0xb8, 0xbc, 0xc0, 0xc4, 0xf8, 0xfc})
    m.driver.out(offset, 4, 0x1234'5678);
  CHECK(m.state == before);
  CHECK(m.driver.in(MmioRegister::MagicValue) == 0x7472'6976);
  // Write-only and unassigned registers have nothing to say.
  for (std::uint64_t offset :
       std::initializer_list<std::uint64_t>{0x14, 0x20, 0x24, 0x30, 0x38, 0x50, 0x64, 0x80, 0xa4, 0xac, 0x18, 0xf0})
    CHECK(m.driver.in(offset, 4) == 0xffff'ffff);
}

TEST_CASE("virtio over MMIO: configuration space by any width, and its generation") {
  EchoMachine m;
  REQUIRE(m.start());
  CHECK(m.driver.in(0x100, 1) == 0x44);
  CHECK(m.driver.in(0x103, 1) == 0x11);
  CHECK(m.driver.in(0x104, 2) == 0x5566);
  CHECK(m.driver.in(0x102, 4) == 0x5566'1122);
  CHECK(m.driver.in(0x100, 8) == 0x7788'5566'1122'3344);
  CHECK(m.driver.in(0x106, 4) == 0xffff'7788);
  CHECK(m.driver.in(0x108, 1) == 0xff);
  CHECK(m.driver.in(0xff8, 8) == ~0ull);
  std::uint32_t generation = m.driver.in(MmioRegister::ConfigGeneration);
  m.core.space.b = 1;
  m.device.configuration_changed();
  CHECK(m.driver.in(MmioRegister::ConfigGeneration) != generation);
  CHECK(m.driver.in(0x104, 2) == 1);
  CHECK(m.interrupt.edges == 1);
  CHECK(m.driver.acknowledge() == 2);
  // Without a driver nobody is interrupted, and a reset does not turn the generation back.
  m.driver.out(MmioRegister::Status, 0);
  m.device.configuration_changed();
  CHECK(m.interrupt.take() == 1);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
  CHECK(m.driver.in(MmioRegister::ConfigGeneration) == generation + 2);
}

TEST_CASE("virtio over MMIO: the status moves on in order and never back") {
  EchoMachine m;
  auto put = [&](std::uint32_t value) {
    m.driver.out(MmioRegister::Status, value);
    return m.driver.in(MmioRegister::Status);
  };
  check_status_moves(m, put);
}

TEST_CASE("virtio over MMIO: features") {
  EchoMachine m;
  auto negotiate = [&](std::uint64_t features) {
    m.driver.out(MmioRegister::Status, 0);
    m.driver.add_status(1);
    m.driver.add_status(2);
    m.driver.accept(features);
    m.driver.add_status(status::FEATURES_OK);
    return (m.driver.in(MmioRegister::Status)&status::FEATURES_OK) != 0;
  };
  CHECK_FALSE(negotiate(0));
  CHECK_FALSE(negotiate(EchoCore::SHOUT));
  CHECK_FALSE(negotiate(feature::VERSION_1 | 1));
  CHECK_FALSE(negotiate(feature::VERSION_1 | 1ull << 34));
  CHECK_FALSE(negotiate(~0ull));
  CHECK(m.device.features() == 0);
  CHECK(negotiate(feature::VERSION_1 | EchoCore::HIGH));
  CHECK(m.device.features() == (feature::VERSION_1 | EchoCore::HIGH));
  m.driver.accept(feature::VERSION_1 | EchoCore::SHOUT);  // too late
  CHECK(m.device.features() == (feature::VERSION_1 | EchoCore::HIGH));
  // A second attempt without a reset, after the device has refused the first.
  CHECK_FALSE(negotiate(1));
  m.driver.accept(feature::VERSION_1);
  m.driver.out(MmioRegister::DriverFeaturesSel, 2);
  m.driver.out(MmioRegister::DriverFeatures, 0xffff'ffff);
  m.driver.add_status(status::FEATURES_OK);
  CHECK(m.device.features() == feature::VERSION_1);
}

TEST_CASE("virtio over MMIO: several queues") {
  EchoMachine m;
  REQUIRE(m.start());
  m.put(m.small, 2, "small");
  m.put(m.large, 1000, "large");
  m.driver.kick(1);
  CHECK(m.echo(1000, 5) == "large");
  CHECK(m.large.last_used().id == 1000);
  CHECK(m.large.last_used().len == 5);
  CHECK(m.small.used_index() == 0);
  m.driver.kick(0);
  CHECK(m.echo(2, 5) == "small");
  auto rounds = m.core.rounds;
  m.driver.kick(2);
  m.driver.kick(0xffff'ffff);
  m.driver.kick(0x1'0000);
  CHECK(m.core.rounds == rounds);
}

TEST_CASE("virtio over MMIO: nothing is used before DRIVER_OK, and then what is there is found") {
  EchoMachine m;
  REQUIRE(m.driver.negotiate(~0ull));
  REQUIRE(m.driver.enable_queue(0, m.small));
  m.put(m.small, 0, "early");
  m.driver.kick();
  CHECK(m.small.used_index() == 0);
  CHECK(m.interrupt.edges == 0);
  m.driver.add_status(status::DRIVER_OK);
  CHECK(m.small.used_index() == 1);
  CHECK(m.echo(0, 5) == "early");
}

TEST_CASE("virtio over MMIO: QueueReady starts and stops a queue") {
  EchoMachine m;
  m.driver.describe_queue(0, 8, m.small.descriptors, m.small.available, m.small.used);
  m.driver.out(MmioRegister::QueueReady, 1);
  CHECK(m.driver.in(MmioRegister::QueueReady) == 0);  // the features are not settled
  REQUIRE(m.start());
  auto before = m.state.queues;
  m.driver.describe_queue(0, 4, 0, 0, 0);  // not while it is ready
  CHECK(m.state.queues == before);
  m.driver.out(MmioRegister::QueueReady, 1);
  CHECK(m.state.queues == before);

  m.put(m.small, 0, "one");
  m.driver.kick();
  CHECK(m.small.used_index() == 1);
  m.driver.out(MmioRegister::QueueReady, 0);
  CHECK(m.driver.in(MmioRegister::QueueReady) == 0);
  m.put(m.small, 2, "two");
  m.driver.kick();
  CHECK(m.small.used_index() == 1);
  // Another ring in its place starts at index 0; the other queue has not noticed.
  Ring fresh(m.ram, 4, 0x2'0000);
  REQUIRE(m.driver.enable_queue(0, fresh));
  m.put(fresh, 2, "three");
  m.driver.kick();
  CHECK(fresh.used_index() == 1);
  CHECK(m.echo(2, 5) == "three");
  m.put(m.large, 7, "other");
  m.driver.kick(1);
  CHECK(m.large.used_index() == 1);
  CHECK_FALSE(m.driver.needs_reset());

  m.driver.out(MmioRegister::QueueSel, 9);
  m.driver.out(MmioRegister::QueueReady, 1);
  CHECK(m.driver.in(MmioRegister::QueueReady) == 0);
}

TEST_CASE("virtio over MMIO: an edge for each interrupt that is wanted, acknowledged or not") {
  EchoMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.put(m.small, 0, "a");
  m.driver.kick();
  CHECK(m.interrupt.take() == 1);
  m.put(m.small, 2, "b");
  m.driver.kick();
  CHECK(m.interrupt.take() == 1);

  // The driver has read 1; before it acknowledges, the configuration changes too.
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 1);
  m.device.configuration_changed();
  CHECK(m.interrupt.take() == 1);
  m.driver.out(MmioRegister::InterruptACK, 1);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 2);
  m.driver.out(MmioRegister::InterruptACK, 0xffff'fffd);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 2);
  m.driver.out(MmioRegister::InterruptACK, 2);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
  CHECK(m.interrupt.take() == 0);  // an acknowledgement makes none
  m.put(m.small, 4, "c");
  m.driver.kick();
  CHECK(m.interrupt.take() == 1);
  CHECK(m.small.used_index() == 3);
}

TEST_CASE("virtio over MMIO: a driver that polls is not interrupted") {
  EchoMachine m;
  REQUIRE(m.start(~feature::EVENT_IDX));
  m.small.set_flags(virtio::VIRTQ_AVAIL_NO_INTERRUPT);
  m.put(m.small, 0, "quiet");
  m.driver.kick();
  CHECK(m.small.used_index() == 1);
  CHECK(m.interrupt.edges == 0);
  CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
  m.small.set_flags(0);
  m.driver.kick();  // nothing new, nothing to tell
  CHECK(m.interrupt.edges == 0);
}

TEST_CASE("virtio over MMIO: EVENT_IDX from both sides") {
  EchoMachine m;
  REQUIRE(m.start());
  m.small.set_flags(virtio::VIRTQ_AVAIL_NO_INTERRUPT);  // has no say with EVENT_IDX
  m.small.set_used_event(2);
  for (std::uint16_t i = 0; i < 3; ++i) {
    std::uint16_t old = m.small.next;
    m.put(m.small, static_cast<std::uint16_t>(2 * i), "x");
    CHECK(m.small.wants_kick(old));  // the device always wants to hear of the next one
    m.driver.kick();
    CHECK(m.small.used_index() == i + 1);
    CHECK(m.interrupt.take() == (i == 2 ? 1 : 0));
  }
  m.driver.acknowledge();
  // A batch over the wished-for index; one kick will do for those added before the device looked.
  m.small.set_used_event(4);
  std::uint16_t old = m.small.next;
  m.put(m.small, 0, "y");
  CHECK(m.small.wants_kick(old));
  m.put(m.small, 2, "y");
  m.put(m.small, 4, "y");
  CHECK_FALSE(m.small.wants_kick(static_cast<std::uint16_t>(old + 1)));
  m.driver.kick();
  CHECK(m.small.used_index() == 6);
  CHECK(m.interrupt.take() == 1);
  CHECK(m.small.wants_kick(static_cast<std::uint16_t>(m.small.next - 1)) == false);
}

TEST_CASE("virtio over MMIO: doorbells ring one queue each, and writes still work") {
  EchoMachine m({.doorbells = true});
  REQUIRE(m.bells.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(m.bells[i].first.window == 0);
    CHECK(m.bells[i].first.offset == 0x50);
    CHECK(m.bells[i].first.width == 4);
    CHECK(m.bells[i].first.value == i);
  }
  m.bells[0].second();  // before there is a driver
  REQUIRE(m.start());
  m.put(m.large, 3, "bell");
  m.bells[0].second();
  CHECK(m.large.used_index() == 0);
  m.bells[1].second();
  CHECK(m.large.used_index() == 1);
  CHECK(m.interrupt.edges == 1);
  m.put(m.large, 5, "write");
  m.driver.kick(1);
  CHECK(m.large.used_index() == 2);
  CHECK(m.counters.notifications.value() == 4);
}

TEST_CASE("virtio over MMIO: FAILED stops the device until a reset") {
  EchoMachine m;
  REQUIRE(m.start());
  m.driver.add_status(status::FAILED);
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.small.used_index() == 0);
  REQUIRE(m.start());
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.small.used_index() == 1);
}

TEST_CASE("virtio over MMIO: the DSDT node") {
  axvm::Claim const claims[] = {{axvm::ClaimKind::Mmio, "", 0xd000'2000, 0x1000, axvm::Trigger::Edge},
                                {axvm::ClaimKind::Irq, "", 21, 1, axvm::Trigger::Edge}};
  std::array<std::byte, 256> bytes{};
  axvm::acpi::Aml aml{axvm::Bytes(bytes)};
  axvm::VirtioBlk::describe_acpi(aml, {claims, 0});
  std::string out;
  for (std::byte byte : bytes) out += static_cast<char>(byte);
  auto has = [&](std::string_view part) { return out.find(part) != std::string::npos; };
  CHECK(has("VR15"));  // 21
  CHECK(has(std::string_view("_HID\x0dLNRO0005\0", 14)));
  CHECK(has(std::string_view("_UID\x0a\x15", 6)));
  CHECK(has("_CCA\x01"));
  CHECK(has(std::string_view("\x86\x09\x00\x01\x00\x20\x00\xd0\x00\x10\x00\x00", 12)));
  CHECK(has(std::string_view("\x89\x06\x00\x03\x01\x15\x00\x00\x00", 9)));
}
