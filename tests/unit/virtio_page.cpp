#include <doctest/doctest.h>

#include "virtio_echo.hpp"

using namespace guest;

// What the guest reads without the device, interrupts that cost it no exit, and what a core may say of its queues and
// its configuration space.

namespace {

/// The page is what the device would answer.
template <class M>
void check_page(M& m) {
  for (std::uint64_t offset = 0; offset < 0x1000; offset += 4) {
    CAPTURE(offset);
    if (m.shown(offset) != m.driver.in(offset, 4)) CHECK(m.shown(offset) == m.driver.in(offset, 4));
  }
}

constexpr EchoOptions quiet{.doorbells = true, .page = true};
constexpr EchoOptions exact{.doorbells = true, .page = true, .exact = true};

/// A core with a field that drivers write.
class WritableCore : public EchoCore {
 public:
  std::vector<std::pair<std::size_t, std::vector<std::byte>>> writes;

  void write_config(std::size_t offset, axvm::ConstBytes bytes) {
    writes.emplace_back(offset, std::vector<std::byte>(bytes.begin(), bytes.end()));
    if (offset == 4 && bytes.size() == 2) std::memcpy(&space.b, bytes.data(), 2);
  }
  void reset() {
    EchoCore::reset();
    space.b = 0x5566;
  }
};
static_assert(virtio::HasWritableConfig<WritableCore> && !virtio::HasWritableConfig<EchoCore>);

/// A core that has one of its two queues here.
class OneQueueCore : public EchoCore {
 public:
  std::size_t queue_count() const { return 1; }
};
static_assert(virtio::HasQueueCount<OneQueueCore> && !virtio::HasQueueCount<EchoCore>);

}  // namespace

TEST_CASE("virtio over MMIO: the page is what the device would answer, after every write") {
  for (EchoOptions const& options : {quiet, exact, EchoOptions{.page = true}}) {
    EchoMachine m(options);
    check_page(m);
    for (std::uint32_t selector : {1u, 2u, 0xffff'ffffu, 0u}) {
      m.driver.out(MmioRegister::DeviceFeaturesSel, selector);
      m.driver.out(MmioRegister::QueueSel, selector);
      check_page(m);
    }
    for (std::uint32_t bits : {1u, 2u}) {
      m.driver.add_status(bits);
      check_page(m);
    }
    REQUIRE(m.start());
    check_page(m);
    CHECK(m.shown(MmioRegister::QueueReady) == 1);
    m.put(m.small, 0, "a");
    m.driver.kick();
    check_page(m);
    m.core.space.b = 9;
    m.device.configuration_changed();
    check_page(m);
    CHECK(m.shown(0x104) == 0x7788'0009);
    m.driver.out(MmioRegister::InterruptACK, 3);
    check_page(m);
    m.small.offer(99);
    m.driver.kick();
    CHECK((m.shown(MmioRegister::Status) & status::DEVICE_NEEDS_RESET) != 0);
    check_page(m);
    m.driver.out(MmioRegister::Status, 0);
    check_page(m);
    CHECK(m.shown(MmioRegister::Status) == 0);
    auto const saved = m.state;
    m.state.status = 0xf;
    m.state.driver_features = feature::VERSION_1;
    m.device.restored();
    check_page(m);
    CHECK(m.shown(MmioRegister::Status) == 0xf);
    m.state = saved;
    m.device.restored();
    check_page(m);
  }
}

TEST_CASE("virtio over MMIO: a window larger than the registers reads all-ones behind them") {
  auto memory = axvm::SwappedMemory::make(0x2000);
  REQUIRE(memory);
  EchoMachine around;
  axvm::DeviceContext context = around.context;
  context.window_owner = &*memory;
  context.add_register_page = [](void* self, std::size_t) {
    auto& bytes = *static_cast<axvm::SwappedMemory*>(self);
    return axvm::RegisterPage(bytes.bytes(), self, [](void* kept, axvm::ConstBytes content) {
      (void)static_cast<axvm::SwappedMemory*>(kept)->swap(content);
    });
  };
  virtio::MmioTransport<EchoCore> device(around.core, around.state, around.counters, "echo", context);
  device.configuration_changed();
  CHECK(memory->bytes()[0x100] == std::byte{0x44});
  for (std::size_t offset : {0x108u, 0xfffu, 0x1000u, 0x1fffu}) CHECK(memory->bytes()[offset] == std::byte{0xff});
  axvm::MmioAccess access{0x1000, 8, 0};
  device.read(access);
  CHECK(access.value == ~0ull);
}

TEST_CASE("virtio over MMIO: used buffers are not kept count of, and acknowledging them does not arrive") {
  EchoMachine m(quiet);
  REQUIRE(m.swallowed.size() == 1);
  CHECK(m.swallowed[0].first.window == 0);
  CHECK(m.swallowed[0].first.offset == 0x64);
  CHECK(m.swallowed[0].first.width == 4);
  CHECK(m.swallowed[0].first.value == 1);
  CHECK(m.bells.size() == 2);
  CHECK(m.shown(MmioRegister::InterruptStatus) == 0);
  REQUIRE(m.start(~feature::EVENT_IDX));
  CHECK(m.shown(MmioRegister::InterruptStatus) == 1);
  const auto exits = m.counters.exits.value();
  for (std::uint16_t i = 0; i < 3; ++i) {
    m.put(m.small, static_cast<std::uint16_t>(2 * i), "x");
    m.bells[0].second();
    CHECK(m.small.used_index() == i + 1);
    CHECK(m.interrupt.take() == 1);  // though nobody acknowledged the one before
    CHECK(m.shown(MmioRegister::InterruptStatus) == 1);
  }
  CHECK(m.counters.exits.value() == exits);
  CHECK(m.counters.requests.value() == 3);
  // A configuration change is kept, until it is acknowledged together with the bit that always is.
  m.device.configuration_changed();
  CHECK(m.interrupt.take() == 1);
  CHECK(m.shown(MmioRegister::InterruptStatus) == 3);
  m.driver.out(MmioRegister::InterruptACK, 1);  // a hypervisor that lets it through all the same
  CHECK(m.shown(MmioRegister::InterruptStatus) == 3);
  m.driver.out(MmioRegister::InterruptACK, 3);
  CHECK(m.shown(MmioRegister::InterruptStatus) == 1);
  CHECK(m.counters.exits.value() == exits + 2);
  CHECK(m.interrupt.take() == 0);
  m.driver.out(MmioRegister::Status, 0);
  CHECK(m.shown(MmioRegister::InterruptStatus) == 0);
}

TEST_CASE("virtio over MMIO: InterruptStatus has its exact meaning where that is asked for, or costs nothing") {
  for (EchoOptions const& options : {exact, EchoOptions{.page = true}, EchoOptions{}}) {
    EchoMachine m(options);
    CHECK(m.swallowed.empty());
    REQUIRE(m.start(~feature::EVENT_IDX));
    CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
    m.put(m.small, 0, "x");
    m.driver.kick();
    CHECK(m.interrupt.take() == 1);
    CHECK(m.driver.in(MmioRegister::InterruptStatus) == 1);
    m.driver.out(MmioRegister::InterruptACK, 1);
    CHECK(m.driver.in(MmioRegister::InterruptStatus) == 0);
  }
}

TEST_CASE("virtio over MMIO: what an edge speaks of is there before it") {
  for (EchoOptions const& options : {quiet, exact}) {
    EchoMachine m(options);
    REQUIRE(m.driver.negotiate(~0ull));
    REQUIRE(m.driver.enable_queue(0, m.small));
    m.put(m.small, 0, "early");
    std::vector<std::uint32_t> found;
    std::uint32_t status_then = 0, generation = m.shown(MmioRegister::ConfigGeneration), space = 0;
    m.interrupt.on_edge = [&] {
      found.push_back(m.shown(MmioRegister::InterruptStatus));
      status_then = m.shown(MmioRegister::Status);
      generation = m.shown(MmioRegister::ConfigGeneration);
      space = m.shown(0x100);
    };
    const std::uint32_t before = generation;
    m.driver.add_status(status::DRIVER_OK);  // what waits in the queue is answered within this write
    CHECK(found == std::vector<std::uint32_t>{1});
    CHECK(status_then == 0xf);
    CHECK(m.small.used_index() == 1);
    m.core.space.a = 7;
    m.device.configuration_changed();
    CHECK((found.back() & 2) != 0);
    CHECK(generation == before + 1);
    CHECK(space == 7);
    m.driver.out(MmioRegister::InterruptACK, 3);
    m.small.offer(99);
    m.driver.kick();
    CHECK((found.back() & 2) != 0);
    CHECK((status_then & status::DEVICE_NEEDS_RESET) != 0);
    CHECK(found.size() == 3);
  }
}

TEST_CASE("virtio over MMIO: a state saved by one kind of machine goes on in another") {
  for (auto const& [from, to] : {std::pair{quiet, exact}, {exact, quiet}, {quiet, quiet}}) {
    EchoMachine m(from), other(to);
    REQUIRE(m.start(~feature::EVENT_IDX));
    m.put(m.small, 0, "x");
    m.bells[0].second();
    REQUIRE(m.interrupt.take() == 1);
    other.state = m.state;
    other.device.restored();
    CHECK(other.interrupt.take() == 1);  // it may have been on its way
    CHECK(other.shown(MmioRegister::InterruptStatus) == 1);
    other.driver.out(MmioRegister::InterruptACK, 1);
    CHECK(other.shown(MmioRegister::InterruptStatus) == (to.exact ? 0 : 1));
    // Nobody listens to a device that is not set up.
    other.state.status = 0xb;
    other.device.restored();
    CHECK(other.interrupt.take() == 0);
    CHECK(other.shown(MmioRegister::InterruptStatus) == 0);
  }
}

TEST_CASE("virtio over MMIO: a driver writes the configuration space of a core that lets it") {
  EchoMachineOf<WritableCore> m(quiet);
  REQUIRE(m.start());
  const auto generation = m.shown(MmioRegister::ConfigGeneration);
  m.driver.out(0x104, 2, 0xabcd);
  CHECK(m.shown(0x104) == 0x7788'abcd);
  m.driver.out(0x100, 8, 0x8877'6655'4433'2211);
  m.driver.out(0x107, 1, 0x99);
  REQUIRE(m.core.writes.size() == 3);
  CHECK(m.core.writes[0] == std::pair{std::size_t{4}, std::vector{std::byte{0xcd}, std::byte{0xab}}});
  CHECK(m.core.writes[1].first == 0);
  CHECK(m.core.writes[1].second.size() == 8);
  CHECK(m.core.writes[1].second[7] == std::byte{0x88});
  CHECK(m.core.writes[2] == std::pair{std::size_t{7}, std::vector{std::byte{0x99}}});
  CHECK(m.shown(MmioRegister::ConfigGeneration) == generation);  // the driver knows what it wrote
  // Not beyond the end, not over it, not over its beginning.
  m.driver.out(0x108, 1, 0);
  m.driver.out(0x106, 4, 0);
  m.driver.out(0x107, 2, 0);
  m.driver.out(0xffc, 4, 0);
  m.driver.out(0x0fc, 8, 0);
  CHECK(m.core.writes.size() == 3);
  // Not while the device waits for a reset, which sets what was written back.
  m.small.offer(99);
  m.driver.kick();
  m.driver.out(0x104, 2, 1);
  CHECK(m.core.writes.size() == 3);
  m.driver.out(MmioRegister::Status, 0);
  CHECK(m.shown(0x104) == 0x7788'5566);
}

TEST_CASE("virtio over MMIO: the configuration space of other cores is read-only") {
  EchoMachine m(quiet);
  REQUIRE(m.start());
  for (std::uint8_t width : std::array<std::uint8_t, 4>{1, 2, 4, 8}) m.driver.out(0x100, width, ~0ull);
  CHECK(m.shown(0x100) == 0x1122'3344);
  check_page(m);
}

TEST_CASE("virtio over MMIO: queues that there are not in this configuration") {
  EchoMachineOf<OneQueueCore> m(quiet);
  CHECK(m.bells.size() == 1);
  m.driver.out(MmioRegister::QueueSel, 1);
  CHECK(m.shown(MmioRegister::QueueNumMax) == 0);
  m.driver.out(MmioRegister::QueueSel, 0);
  CHECK(m.shown(MmioRegister::QueueNumMax) == 8);
  CHECK_FALSE(m.start());
  CHECK(m.driver.in(MmioRegister::QueueReady) == 0);
  CHECK_FALSE(m.driver.needs_reset());
  m.driver.add_status(status::DRIVER_OK);
  m.put(m.small, 0, "x");
  m.driver.kick();
  CHECK(m.small.used_index() == 1);
  m.driver.kick(1);
  CHECK(m.core.rounds[1] == 0);
  m.state.queues[1] = m.state.queues[0];
  m.device.restored();
  CHECK(m.driver.needs_reset());
}

TEST_CASE("virtio over MMIO: exits and requests are counted") {
  EchoMachine m;
  CHECK(m.counters.exits.value() == 0);
  REQUIRE(m.start());
  const auto exits = m.counters.exits.value();
  CHECK(exits > 30);
  m.put(m.small, 0, "a");
  m.put(m.small, 2, "b");
  m.driver.kick();
  (void)m.driver.in(MmioRegister::InterruptStatus);
  m.driver.out(MmioRegister::InterruptACK, 1);
  m.driver.out(0x100, 1, 1);
  CHECK(m.counters.exits.value() == exits + 4);
  CHECK(m.counters.requests.value() == 2);
}
