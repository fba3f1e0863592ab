#include <sys/mman.h>
#include <unistd.h>

#include <optional>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>
#include <axvm/virtio_balloon.hpp>

#include "virtio_rig.hpp"

using namespace guest;
using axvm::VirtioBalloon;
using axvm::virtio::BalloonConfig;
using axvm::virtio::BalloonCore;
using axvm::virtio::RingFault;
namespace balloon_feature = axvm::virtio::balloon_feature;

namespace {

constexpr std::uint64_t list_at = 0x4'0000;
constexpr std::size_t inflate = BalloonCore::inflateq, deflate = BalloonCore::deflateq,
                      report = BalloonCore::reporting_vq;

/// Notes what would go back to the host, as guest addresses.
struct Owner {
  explicit Owner(Ram& of) : ram(of) {
    ram.memory.discard_with(this, [](void* self, axvm::Bytes stretch) {
      auto& owner = *static_cast<Owner*>(self);
      for (axvm::GuestRegion const& region : owner.ram.memory.regions())
        if (stretch.data() >= region.host && stretch.data() < region.host + region.size)
          owner.gone.push_back({region.base + static_cast<std::uint64_t>(stretch.data() - region.host),
                                static_cast<std::uint32_t>(stretch.size())});
      return std::uint64_t{stretch.size()};
    });
  }
  Ram& ram;
  std::vector<Buffer> gone;

  bool is(std::vector<std::pair<std::uint64_t, std::uint32_t>> const& expected) const {
    if (gone.size() != expected.size()) return false;
    for (std::size_t i = 0; i < gone.size(); ++i)
      if (gone[i].address != expected[i].first || gone[i].length != expected[i].second) return false;
    return true;
  }
};

/// The core by itself.
struct Rig {
  Ram ram;
  Owner owner{ram};
  axvm::virtio::BalloonState state{.num_pages = 100};
  axvm::virtio::BalloonCounters counters;
  std::optional<BalloonCore> made{std::in_place, ram.memory, state, true, true, counters};
  BalloonCore& core = *made;
  FakeTransport transport{ram, 3};

  void give(std::size_t queue, std::vector<std::uint32_t> const& pages) {
    for (std::size_t i = 0; i < pages.size(); ++i) ram.put(list_at + 4 * i, pages[i]);
    put(queue, {{list_at, static_cast<std::uint32_t>(4 * pages.size()), false}});
  }
  void put(std::size_t queue, std::vector<Buffer> const& chain) {
    transport.ring(queue).describe(0, chain);
    transport.ring(queue).offer(0);
    core.notified(transport, queue);
  }
  [[nodiscard]] BalloonConfig config() const { return axvm::load<BalloonConfig>(core.config(), 0).value(); }
};

}  // namespace

TEST_CASE("virtio-balloon: pages that are put in go back to the host, neighbours together") {
  Rig rig;
  SUBCASE("upwards") {
    rig.give(inflate, {0x50, 0x51, 0x52, 0x60});
    CHECK(rig.owner.is({{0x5'0000, 0x3000}, {0x6'0000, 0x1000}}));
  }
  SUBCASE("downwards, as Linux has them") {
    rig.give(inflate, {0x53, 0x52, 0x51, 0x53});
    CHECK(rig.owner.is({{0x5'1000, 0x3000}, {0x5'3000, 0x1000}}));
  }
  SUBCASE("not over the seam of two regions") {
    rig.give(inflate, {0xff, 0x100});
    std::uint64_t sum = 0;
    for (Buffer const& one : rig.owner.gone) sum += one.length;
    CHECK(sum == 0x2000);
  }
  SUBCASE("a long list in pieces") {
    std::vector<std::uint32_t> pages;
    for (std::uint32_t i = 0; i < 300; ++i) pages.push_back(0x50 + i % 64);
    for (std::size_t i = 0; i < pages.size(); ++i) rig.ram.put(list_at + 4 * i, pages[i]);
    rig.put(inflate, {{list_at, 5, false}, {list_at + 5, 1000, false}, {list_at + 1005, 195 + 3, false}});
    CHECK(rig.counters.inflated.value() == 300);  // the last three bytes are no number
    CHECK(rig.counters.bytes_discarded.value() == 300 * 4096);
    CHECK(rig.owner.gone.size() == 5);
  }
  CHECK(rig.transport.ring(inflate).used_index() == 1);
  CHECK(rig.transport.ring(inflate).last_used().len == 0);
  CHECK(rig.counters.deflated.value() == 0);
}

TEST_CASE("virtio-balloon: pages that are taken out are there by themselves") {
  Rig rig;
  rig.give(deflate, {0x50, 0x51});
  CHECK(rig.owner.gone.empty());
  CHECK(rig.counters.deflated.value() == 2);
  CHECK(rig.transport.ring(deflate).used_index() == 1);
}

TEST_CASE("virtio-balloon: free memory that is reported goes back to the host") {
  Rig rig;
  rig.put(report, {{0x5'0000, 0x1'0000, true}, {0x8'0000, 0x2'0000, true}});
  CHECK(rig.owner.is({{0x5'0000, 0x1'0000}, {0x8'0000, 0x2'0000}}));
  CHECK(rig.counters.reported.value() == 0x3'0000);
  CHECK(rig.transport.ring(report).used_index() == 1);
  CHECK((rig.core.features() & balloon_feature::PAGE_REPORTING) != 0);
  CHECK(rig.core.queue_count() == 3);
  BalloonCore without(rig.ram.memory, rig.state, false, false, rig.counters);
  CHECK(without.features() == 0);
  CHECK(without.queue_count() == 2);
}

TEST_CASE("virtio-balloon: the size that the host wants and the size that it is") {
  Rig rig;
  CHECK(rig.config().num_pages == 100);
  CHECK(rig.config().actual == 0);
  const std::uint32_t actual = 0x0001'0203;
  rig.core.write_config(4, axvm::bytes_of(actual));
  CHECK(rig.config().actual == actual);
  CHECK(rig.state.actual == actual);
  const std::uint8_t byte = 0xff;
  rig.core.write_config(7, axvm::bytes_of(byte));
  CHECK(rig.config().actual == 0xff01'0203);
  for (std::size_t offset : {0u, 1u, 3u, 5u, 8u, 12u}) rig.core.write_config(offset, axvm::bytes_of(actual));
  rig.core.write_config(~std::size_t{0}, axvm::bytes_of(actual));
  rig.core.write_config(4, axvm::bytes_of(std::uint64_t{0}));
  CHECK(rig.config().num_pages == 100);
  CHECK(rig.config().actual == 0xff01'0203);
  rig.state.num_pages = 7;
  rig.core.changed(rig.transport);
  CHECK(rig.config().num_pages == 7);
  CHECK(rig.transport.configuration_changes == 1);
  rig.core.reset();
  CHECK(rig.config().actual == 0);
  CHECK(rig.config().num_pages == 7);
}

TEST_CASE("virtio-balloon: a hostile guest") {
  Rig rig;
  SUBCASE("pages that are not memory") {
    rig.give(inflate, {0xffff'ffff, 0x180, 0x17f, 0x8000'0000});
    CHECK(rig.owner.is({{0x17'f000, 0x1000}}));
    CHECK(rig.counters.bad_pages.value() == 3);
  }
  SUBCASE("a list without end") {
    rig.put(inflate, {{0, 0x1'0000, false}, {0, 4, false}});
    CHECK(rig.transport.fault(inflate) == RingFault::BadRequest);
    CHECK(rig.owner.gone.empty());
  }
  SUBCASE("many lists of scattered pages: others get their turn") {
    for (std::uint32_t i = 0; i < 1000; ++i) rig.ram.put<std::uint32_t>(list_at + 4 * i, 2 * (i % 50));
    for (std::uint16_t head = 0; head < 4; ++head) {
      rig.transport.ring(inflate).describe(head, {{list_at, 4000, false}});
      rig.transport.ring(inflate).offer(head);
    }
    rig.core.notified(rig.transport, inflate);
    CHECK(rig.transport.agains == 1);
    CHECK(rig.transport.ring(inflate).used_index() == 2);
  }
  SUBCASE("lists to be written and reports to be read") {
    rig.put(inflate, {{list_at, 16, true}});
    rig.put(report, {{0x5'0000, 0x1000, false}});
    CHECK(rig.owner.gone.empty());
    CHECK(rig.transport.ring(inflate).used_index() == 1);
    CHECK(rig.transport.ring(report).used_index() == 1);
  }
}

TEST_CASE("virtio-balloon: InterruptStatus is exact where that is asked for") {
  CHECK(counts_used_buffers<VirtioBalloon>({}, true));
  CHECK(!counts_used_buffers<VirtioBalloon>({}, false));
}

TEST_CASE("virtio-balloon: on MMIO, resized, saved and restored") {
  World world;
  axvm::DeviceContext context = world.context();
  VirtioBalloon device({.enabled = true, .size = 3 * 4096 + 5}, context);
  Driver<VirtioBalloon> driver(device);
  CHECK(driver.in(MmioRegister::DeviceID) == 5);
  (void)start(driver, world.ram, 2);
  CHECK(driver.in(0x100, 4) == 3);
  device.resize(5 * 4096);
  CHECK(driver.in(0x100, 4) == 5);
  CHECK(driver.acknowledge() == 2);
  device.state.balloon.actual = 2;
  CHECK(device.actual() == 2 * 4096);
  device.resize(~0ull);
  CHECK(driver.in(0x100, 4) == 0xffff'ffff);
  device.resize(4096);

  axvm::DeviceContext other_context = world.context();
  VirtioBalloon other({}, other_context);
  other.state = device.state;
  other.restored();
  Driver<VirtioBalloon> other_driver(other);
  CHECK(other_driver.in(0x100, 8) == (1 | 2ull << 32));
  CHECK((other_driver.acknowledge() & 2) != 0);
}

namespace {

template <class... Ds>
using Fake = axvm::Machine<axvm::Portable, axvm::Devices<Ds...>, axvm::Handlers<>, axvm::fake::Fake>;

/// How many of a machine's first pages are present.
std::size_t present(std::byte* at, std::size_t pages) {
  std::vector<unsigned char> bits(pages);
  REQUIRE(::mincore(at, pages * 4096, bits.data()) == 0);
  std::size_t count = 0;
  for (unsigned char bit : bits) count += bit & 1u;
  return count;
}

}  // namespace

TEST_CASE("guest memory: pages go back to the host where a device is made for that") {
  using M = Fake<VirtioBalloon>;
  M::Config config{.memory = 4 * axvm::MiB, .memory_backing = axvm::MemoryBacking::small};
  auto without = M::create(config, axvm::Host{}, axvm::fake::Fake{});
  REQUIRE(without);
  CHECK(without->memory().discard({without->memory().at(0, 8192), 8192}) == 0);
  config.of<VirtioBalloon>().enabled = true;
  auto machine = M::create(config, axvm::Host{}, axvm::fake::Fake{});
  REQUIRE(machine);
  constexpr std::uint8_t halt[] = {0xf4};
  REQUIRE(machine->load(axvm::FlatCode{halt}));
  CHECK(machine->device<VirtioBalloon>() != nullptr);
  const axvm::GuestMemory memory = machine->memory();
  REQUIRE(memory.fill(0x10'0000, 16 * 4096, std::byte{0x77}));
  std::byte* const first = memory.at(0x10'0000, 16 * 4096);
  CHECK(present(first, 16) == 16);
  CHECK(memory.discard({first + 1, 3 * 4096}) == 2 * 4096);  // whole pages only
  CHECK(present(first, 16) == 14);
  CHECK(memory.load<std::uint8_t>(0x10'0fff) == 0x77);
  CHECK(memory.load<std::uint8_t>(0x10'1000) == 0);
  CHECK(memory.load<std::uint8_t>(0x10'3000) == 0x77);
  CHECK(memory.discard({first, 100}) == 0);
  CHECK(memory.discard({first, 16 * axvm::MiB}) == 0);  // not within the memory
  std::byte own{};
  CHECK(memory.discard({&own, 1}) == 0);
}

TEST_CASE("guest memory: pages that have to stay and a balloon exclude each other") {
  using M = Fake<VirtioBalloon>;
  M::Config config{.memory = 4 * axvm::MiB, .mlock = true};
  config.of<VirtioBalloon>().enabled = true;
  auto refused = M::create(config, axvm::Host{}, axvm::fake::Fake{});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().operation.view().find("VirtioBalloon") != std::string_view::npos);
  CHECK(refused.error().operation.view().find("mlock") != std::string_view::npos);
  config.of<VirtioBalloon>().enabled = false;
  auto locked = M::create(config, axvm::Host{}, axvm::fake::Fake{});
  if (!locked) MESSAGE("this process may not lock memory");
  CHECK((locked || locked.error().operation.view().find("VirtioBalloon") == std::string_view::npos));
}
