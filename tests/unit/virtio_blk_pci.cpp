#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

#include "fake_machine.hpp"
#include "pci_driver.hpp"

// A disk on PCI: by itself, and in a machine on the scripted hypervisor. Disks as such are in virtio_blk.cpp.

using namespace guest;
using axvm::virtio::BlkConfig;
namespace blk_feature = axvm::virtio::blk_feature;
namespace fake = axvm::fake;

namespace {

constexpr std::uint32_t IN = 0, OUT = 1, FLUSH = 4;
constexpr std::uint64_t data = BlkGuest::data;
using Sent = std::vector<axvm::Message>;
axvm::Message message(std::uint32_t n) { return PciDriver<axvm::VirtioBlkPci>::message(n); }

using M = axvm::Machine<axvm::Bare, axvm::Devices<axvm::VirtioBlkPci>, axvm::Handlers<>, fake::FakeLocalApics>;

constexpr std::uint64_t base_of(std::string_view name) {
  for (axvm::PlacedClaim const& placed : M::layout)
    if (placed.claim.name == name) return placed.claim.base;
  return 0;
}
constexpr std::uint64_t function = base_of("function"), bar = base_of("bar");
constexpr auto doorbell = static_cast<std::uint16_t>(base_of("doorbell"));
constexpr std::uint64_t ring_at = 0x2'0000, header = 0x3'0000, buffer = 0x4'0000;

/// What a driver does from reset to DRIVER_OK with the first queue and its vector, the second one.
fake::Script set_up() {
  using fake::store;
  return {store(function + 4, 7, 2),
          store(bar + 0x3010, 0xfee0'3000),
          store(bar + 0x3014, 0),
          store(bar + 0x3018, 0x51),
          store(bar + 0x301c, 0),
          store(function + 0x42, 0x8000, 2),
          store(bar + 0x14, 1, 1),
          store(bar + 0x14, 3, 1),
          store(bar + 0x08, 1),
          store(bar + 0x0c, 1),
          store(bar + 0x14, 0xb, 1),
          store(bar + 0x16, 0, 2),
          store(bar + 0x18, 8, 2),
          store(bar + 0x1a, 1, 2),
          store(bar + 0x20, ring_at),
          store(bar + 0x28, ring_at + 0x4000),
          store(bar + 0x30, ring_at + 0x5000),
          store(bar + 0x1c, 1, 2),
          store(bar + 0x14, 0xf, 1)};
}

/// A machine with a disk, in whose memory requests are put as a driver does.
struct Rig {
  explicit Rig(fake::Script script) : hypervisor(std::move(script)) {
    config.of<axvm::VirtioBlkPci>().path = "disk.img";
    auto created = M::create(config, host.host(), hypervisor);
    REQUIRE(created);
    machine.emplace(std::move(*created));
    static constexpr std::uint8_t halt[] = {0xf4};
    REQUIRE(machine->load(axvm::FlatCode{halt}));
  }
  /// The n-th request, counted from 0: a read of a sector to `buffer`.
  void put_read(std::uint16_t n, std::uint64_t sector) {
    put(header, axvm::virtio::BlkRequestHeader{IN, 0, sector});
    put(ring_at, Descriptor{header, 16, Descriptor::NEXT, 1});
    put(ring_at + 16, Descriptor{buffer, 512, Descriptor::NEXT | Descriptor::WRITE, 2});
    put(ring_at + 32, Descriptor{buffer + 512, 1, Descriptor::WRITE, 0});
    put<std::uint8_t>(buffer + 512, 0xee);
    put<std::uint16_t>(ring_at + 0x4000 + 4 + 2u * (n % 8), 0);
    put<std::uint16_t>(ring_at + 0x4000 + 2, static_cast<std::uint16_t>(n + 1));
  }
  template <class T>
  void put(std::uint64_t address, T const& value) {
    REQUIRE(machine->memory().store(address, value));
  }
  template <class T>
  T get(std::uint64_t address) {
    return machine->memory().template load<T>(address).value();
  }
  [[nodiscard]] std::string text(std::uint64_t address, std::size_t size) {
    std::string out;
    for (std::size_t i = 0; i < size; ++i) out += get<char>(address + i);
    return out;
  }

  Disk disk{64 * 512};
  guest::Host host{disk};
  fake::FakeLocalApics hypervisor;
  M::Config config{.memory = 2 * axvm::MiB};
  std::optional<M> machine;
};

}  // namespace

TEST_CASE("virtio-blk on PCI: identity, and the configuration space of a disk") {
  BlkPciMachine m(64 * 512 + 100);
  CHECK(m.driver.config_in(0) == 0x1042'1af4);
  CHECK(m.driver.config_in(8) == 0x0180'0001);  // a mass storage controller
  CHECK(m.driver.vector_count == 5);            // of four queues, and of configuration changes
  CHECK(m.driver.in(PciRegister::num_queues) == 4);
  CHECK(m.driver.in(m.driver.device_config, 0, 8) == 64);
  CHECK(m.driver.in(m.driver.device_config, offsetof(BlkConfig, seg_max), 4) == 126);
  CHECK(m.driver.in(m.driver.device_config, offsetof(BlkConfig, num_queues), 2) == 4);
  CHECK((m.driver.offered() & (blk_feature::FLUSH | blk_feature::MQ)) == (blk_feature::FLUSH | blk_feature::MQ));
}

TEST_CASE("virtio-blk on PCI: as many queues as are wanted") {
  BlkPciMachine m;
  axvm::VirtioBlkPci::Config config = m.config;
  config.queues = 2;
  axvm::VirtioBlkPci device(config, m.resources, m.context);
  PciDriver driver(device);
  CHECK(driver.vector_count == 5);
  CHECK(driver.in(PciRegister::num_queues) == 2);
  driver.out(PciRegister::queue_select, 1);
  CHECK(driver.in(PciRegister::queue_size) == 256);
  driver.out(PciRegister::queue_select, 2);
  CHECK(driver.in(PciRegister::queue_size) == 0);
  driver.out(PciRegister::queue_msix_vector, 1);
  CHECK(driver.in(PciRegister::queue_msix_vector) == 0xffff);
}

TEST_CASE("virtio-blk on PCI: sectors are read and written, a message for each request") {
  BlkPciMachine m;
  m.disk.fill_sector(3, 'x');
  REQUIRE(m.start());
  CHECK(m.request(IN, 3, {{data, 512, true}}) == 0);
  CHECK(m.ram.text(data, 512) == m.disk.sector(3));
  CHECK(m.ring.last_used().len == 513);
  m.ram.put_text(data, std::string(1024, 'w'));
  CHECK(m.request(OUT, 62, {{data, 1024, false}}) == 0);
  CHECK(m.disk.sector(63) == std::string(512, 'w'));
  CHECK(m.request(FLUSH, 0) == 0);
  CHECK(m.apics.take() == Sent(3, message(1)));
  CHECK(m.interrupt.edges == 0);
  CHECK(m.device.counters.transport.interrupts.value() == 3);
  CHECK(m.device.counters.disk.requests.value() == 3);
}

TEST_CASE("virtio-blk on PCI: writeback is the driver's choice, and is saved") {
  BlkPciMachine m;
  REQUIRE(m.start());
  const std::uint64_t writeback = offsetof(BlkConfig, writeback);
  CHECK(m.driver.in(m.driver.device_config, writeback, 1) == 1);
  CHECK(m.device.state.writeback);
  SUBCASE("by the window") { m.driver.out(m.driver.device_config, writeback, 1, 0); }
  SUBCASE("by the access capability") {
    m.driver.config_out(m.driver.window.at + 4u, 1, m.driver.device_config.bar);
    m.driver.config_out(m.driver.window.at + 8u, 4, m.driver.device_config.offset + writeback);
    m.driver.config_out(m.driver.window.at + 12u, 4, 1);
    m.driver.config_out(m.driver.window.at + 16u, 1, 0);
  }
  CHECK(m.driver.in(m.driver.device_config, writeback, 1) == 0);
  CHECK_FALSE(m.device.state.writeback);
  axvm::VirtioBlkPci other(m.config, m.resources, m.context);
  other.state = m.device.state;
  other.restored();
  CHECK(PciDriver(other).in(m.driver.device_config, writeback, 1) == 0);
}

TEST_CASE("virtio-blk on PCI: the saved state goes on in another device, requests waiting included") {
  BlkPciMachine m;
  m.disk.fill_sector(1, '1');
  m.disk.fill_sector(2, '2');
  REQUIRE(m.start(BlkGuest::all_features));
  CHECK(m.request(IN, 1, {{data, 512, true}}) == 0);
  CHECK(m.apics.take() == Sent{message(1)});
  m.ring.set_used_event(1);
  m.prepare(3, IN, 2, {{data + 512, 512, true}});
  m.ring.offer(3);  // its notification is lost with the machine
  const axvm::VirtioBlkPci::State saved = m.device.state;

  fakes::EventLoop events;
  axvm::DeviceContext context = m.context;
  context.events = events.events();
  axvm::VirtioBlkPci other(m.config, m.resources, context);
  other.state = saved;
  other.restored();
  CHECK(other.state == saved);
  CHECK(m.apics.take() == Sent{message(0), message(1), message(2), message(3), message(4)});
  events.advance(1'000);
  CHECK(m.ring.last_used().id == 3);
  CHECK(m.ram.text(data + 512, 512) == m.disk.sector(2));
  CHECK(m.apics.take() == Sent{message(1)});
}

TEST_CASE("virtio-blk on PCI: in a machine, a request is an OUT and a message") {
  fake::Script script = set_up();
  for (fake::Step const& step :
       {fake::load(function), fake::load(function + 0x10), fake::in(doorbell, 2), fake::out(doorbell, 0, 2),
        fake::load(bar + 0x14, 1), fake::load(bar + 0x1000, 1), fake::load(function + 0xffc), fake::load(bar + 0x3ffc)})
    script.push_back(step);
  Rig rig(std::move(script));
  rig.disk.fill_sector(5, '5');
  rig.put_read(0, 5);
  REQUIRE(rig.machine->run());
  CHECK(rig.text(buffer, 512) == rig.disk.sector(5));
  CHECK(rig.get<std::uint8_t>(buffer + 512) == 0);
  CHECK(rig.get<std::uint16_t>(ring_at + 0x5000 + 2) == 1);
  CHECK(rig.hypervisor.recorder().messages == Sent{{0xfee0'3000, 0x51}});
  CHECK(rig.hypervisor.recorder().reads ==
        std::vector<std::uint64_t>{0x1042'1af4, bar, 0xffff, 0xf, 0, 0xffff'ffff, 0});
  CHECK(rig.hypervisor.recorder().interrupts.empty());
}

TEST_CASE("virtio-blk on PCI: a machine's state goes on in another machine") {
  Rig first(set_up());
  first.disk.fill_sector(5, '5');
  first.put_read(0, 5);  // found when the driver is ready
  REQUIRE(first.machine->run());
  CHECK(first.hypervisor.recorder().messages == Sent{{0xfee0'3000, 0x51}});
  auto states = axvm::save_states(*first.machine);
  REQUIRE(states);
  REQUIRE(states->of<axvm::VirtioBlkPci>() != nullptr);
  CHECK(states->of<axvm::VirtioBlkPci>()->transport.registers.queues[0].used_index == 1);

  Rig second({fake::load(bar + 0x14, 1), fake::out(doorbell, 0, 2), fake::load(bar + 0x1c, 2)});
  second.disk.fill_sector(6, '6');
  second.put_read(0, 5);
  second.put_read(1, 6);
  REQUIRE(axvm::restore_states(*second.machine, *states));
  REQUIRE(second.machine->run());
  CHECK(second.hypervisor.recorder().reads == std::vector<std::uint64_t>{0xf, 1});
  CHECK(second.text(buffer, 512) == second.disk.sector(6));
  CHECK(second.get<std::uint16_t>(ring_at + 0x5000 + 2) == 2);
  CHECK(second.hypervisor.recorder().messages == Sent(2, {0xfee0'3000, 0x51}));  // one for what was under way
}

TEST_CASE("virtio-blk on PCI: absent without a path, and a missing image is an error") {
  CHECK_FALSE(axvm::VirtioBlkPci::present({}));
  CHECK(axvm::VirtioBlkPci::present({.path = "a.img"}));
  Disk disk(1024);
  guest::Host host(disk);
  auto missing = axvm::VirtioBlkPci::open({.path = "missing.img"}, host.host());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == axvm::ErrorCode::NotFound);
}
