#include <doctest/doctest.h>

#include <atomic>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

using namespace axvm;

namespace {

/// Gives every reader another number. All processors may come at once: the machine takes no lock around it.
class Tickets {
 public:
  static constexpr auto claims = axvm::claims(Pio{.size = 4});
  static constexpr bool concurrent = true;
  struct Config {};

  Tickets(Config const&, DeviceContext&) {}
  void read(PioAccess& access) { access.value = next_.fetch_add(1, std::memory_order_relaxed); }
  void write(PioAccess const&) {}

 private:
  std::atomic<std::uint32_t> next_{1};
};

}  // namespace

TEST_CASE("a device that does its own locking") {
  using M = Machine<Bare, Devices<Tickets>, Handlers<>, fake::Fake>;
  constexpr auto port = static_cast<std::uint16_t>(M::layout[0].claim.base);
  const fake::Fake guest({fake::in(port, 4), fake::in(port, 4)});
  auto machine = M::create({.memory = 1_MiB}, Host{}, guest);
  REQUIRE(machine->load([](boot::Context const&) -> Result<EntryState> { return EntryState{}; }));
  REQUIRE(machine->run());
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{1, 2});
}
