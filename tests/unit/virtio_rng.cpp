#include <doctest/doctest.h>

#include <optional>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/virtio_rng.hpp>

#include "virtio_rig.hpp"

using namespace guest;
using axvm::virtio::RingFault;
using axvm::virtio::RngCore;

namespace {

constexpr std::uint64_t data = 0x4'0000;

/// Counts up instead of being random; `left` is how many bytes there still are.
struct Numbers {
  std::uint8_t next = 1;
  std::size_t left = ~std::size_t{0};
  unsigned calls = 0;

  axvm::EntropySource source() {
    return {this, [](void* self, axvm::Bytes into) {
              auto& numbers = *static_cast<Numbers*>(self);
              ++numbers.calls;
              std::size_t done = 0;
              for (; done < into.size() && numbers.left != 0; ++done, --numbers.left)
                into[done] = std::byte{numbers.next++};
              return done;
            }};
  }
};

/// The core by itself.
struct Rig {
  Ram ram;
  Numbers numbers;
  axvm::virtio::RngCounters counters;
  RngCore core{numbers.source(), counters};
  FakeTransport transport{ram, 1};
  Ring& ring = transport.ring(0);

  void ask(std::uint16_t head, std::vector<Buffer> const& buffers) {
    ring.describe(head, buffers);
    ring.offer(head);
  }
  void notify() { core.notified(transport, 0); }
};

}  // namespace

TEST_CASE("virtio-rng: buffers are filled, whatever their pieces") {
  Rig rig;
  rig.ask(0, {{data, 3, true}, {data + 0x100, 2, true}});
  rig.ask(4, {{Ram::seam - 1, 2, true}});
  rig.notify();
  CHECK(rig.ram.text(data, 4) == std::string("\1\2\3\0", 4));
  CHECK(rig.ram.text(data + 0x100, 3) == std::string("\4\5\0", 3));
  CHECK(rig.ram.text(Ram::seam - 1, 2) == "\6\7");
  CHECK(rig.ring.used_index() == 2);
  CHECK(rig.ring.used_element(0).len == 5);
  CHECK(rig.ring.used_element(1).len == 2);
  CHECK(rig.transport.completions[0] == 1);
  CHECK(rig.counters.requests.value() == 2);
  CHECK(rig.counters.bytes.value() == 7);
  CHECK(rig.core.features() == 0);
  CHECK(rig.core.config().empty());
}

TEST_CASE("virtio-rng: nobody gets more than an answer's worth in one go") {
  Rig rig;
  rig.ask(0, {{data, 100, true}, {data + 100, 0x10'0000 - 0x4'0000 - 100, true}});
  rig.notify();
  CHECK(rig.ring.last_used().len == RngCore::largest_answer);
  CHECK(rig.ram.get<std::uint8_t>(data + RngCore::largest_answer - 1) == 0);  // 4096 counted up from 1
  CHECK(rig.ram.get<std::uint8_t>(data + RngCore::largest_answer - 2) == 0xff);
  CHECK(rig.ram.text(data + RngCore::largest_answer, 64) == std::string(64, '\0'));
  CHECK(rig.counters.bytes.value() == RngCore::largest_answer);
}

TEST_CASE("virtio-rng: a host that has no more") {
  Rig rig;
  rig.numbers.left = 5;
  rig.ask(0, {{data, 3, true}, {data + 3, 8, true}, {data + 11, 8, true}});
  rig.ask(4, {{data + 32, 8, true}});
  rig.notify();
  CHECK(rig.ring.used_element(0).len == 5);
  CHECK(rig.ring.used_element(1).len == 0);
  CHECK(rig.counters.failures.value() == 1);
  CHECK(rig.numbers.calls == 3);
}

TEST_CASE("virtio-rng: a hostile guest") {
  Rig rig;
  SUBCASE("a buffer to read from only") {
    rig.ask(0, {{data, 16, false}});
    rig.notify();
    CHECK(rig.transport.fault(0) == RingFault::BadRequest);
    CHECK(rig.ring.used_index() == 0);
  }
  SUBCASE("a buffer outside memory behind a good one") {
    rig.ask(0, {{data, 16, true}, {Ram::end - 8, 16, true}});
    rig.notify();
    CHECK(rig.transport.fault(0) == RingFault::BufferOutsideMemory);
    CHECK(rig.ram.text(data, 16) == std::string(16, '\0'));
  }
  SUBCASE("readable bytes in front are skipped") {
    rig.ask(0, {{data, 16, false}, {data + 16, 4, true}});
    rig.notify();
    CHECK(rig.ram.text(data, 20) == std::string(16, '\0') + "\1\2\3\4");
    CHECK(rig.ring.last_used().len == 4);
  }
  CHECK(rig.transport.completions[0] == 1);
}

TEST_CASE("virtio-rng: on MMIO, from reset to a reset, saved and restored") {
  World world;
  Numbers numbers;
  axvm::VirtioRng::Resources resources{numbers.source()};
  axvm::DeviceContext context = world.context();
  axvm::VirtioRng device({}, resources, context);
  Driver<axvm::VirtioRng> driver(device);
  CHECK(driver.in(MmioRegister::DeviceID) == 4);
  CHECK(driver.in(0x100, 4) == 0xffff'ffff);
  Ring ring = start(driver, world.ram, 1).at(0);
  ring.describe(0, {{data, 4, true}});
  ring.offer(0);
  driver.kick();
  CHECK(world.ram.text(data, 4) == "\1\2\3\4");
  CHECK(world.interrupt.edges == 1);
  CHECK(driver.acknowledge() == 1);

  // Another device goes on where this one was; what was offered meanwhile is served once the machine runs.
  ring.describe(1, {{data + 8, 2, true}});
  ring.offer(1);
  axvm::DeviceContext other_context = world.context();
  axvm::VirtioRng other({}, resources, other_context);
  other.state = device.state;
  other.restored();
  CHECK(ring.used_index() == 1);
  world.events.advance(1);
  CHECK(ring.used_index() == 2);
  CHECK(world.ram.text(data + 8, 2) == "\5\6");
  CHECK(other.counters.entropy.bytes.value() == 2);

  driver.out(MmioRegister::Status, 0);
  driver.kick();
  CHECK(device.counters.entropy.requests.value() == 1);
}

TEST_CASE("virtio-rng: InterruptStatus is exact where that is asked for") {
  axvm::VirtioRng::Resources resources;
  CHECK(counts_used_buffers<axvm::VirtioRng>({}, true, resources));
  CHECK(!counts_used_buffers<axvm::VirtioRng>({}, false, resources));
}

TEST_CASE("virtio-rng: absent, it is in no machine; a host without random numbers is an error") {
  using M = axvm::Machine<axvm::Portable, axvm::Devices<axvm::Repeat<2, axvm::VirtioRng>>, axvm::Handlers<>,
                          axvm::fake::Fake>;
  M::Config config;
  config.of<axvm::VirtioRng, 1>().enabled = false;
  static constexpr axvm::Host::Operations none{};
  auto without = M::create(config, axvm::Host{nullptr, &none}, axvm::fake::Fake{});
  REQUIRE_FALSE(without);
  CHECK(without.error().operation.view().find("random numbers") != std::string_view::npos);
  axvm::SystemHost system;
  auto machine = M::create(config, system, axvm::fake::Fake{});
  REQUIRE(machine);
  constexpr std::uint8_t halt[] = {0xf4};
  REQUIRE(machine->load(axvm::FlatCode{halt}));
  CHECK(machine->device<axvm::VirtioRng, 0>() != nullptr);
  CHECK(machine->device<axvm::VirtioRng, 1>() == nullptr);
}

TEST_CASE("system entropy: bytes that differ") {
  auto source = axvm::system_entropy();
  REQUIRE(source);
  std::array<std::byte, 5000> first{}, second{};
  CHECK(source->fill(first) == first.size());
  CHECK(source->fill(second) == second.size());
  CHECK(first != second);
  bool any = false;
  for (std::size_t i = first.size() - 32; i < first.size(); ++i) any |= first[i] != std::byte{0};
  CHECK(any);
}
