#include "guest.hpp"

// Memory is promised, not taken: a guest may have more of it than there is, and reach all of it.

using namespace axvm;

TEST_CASE("a guest writes the last bytes of 1 TiB") {
  std::uint64_t size = TiB;
  auto machine = Machine<Bare>::create({.memory = size});
  if (!machine) {
    // A processor of 40 address bits, of which the guest's devices need a part.
    REQUIRE(std::string_view(machine.error().operation).contains("physical addresses have"));
    size = 512_GiB;
    machine = Machine<Bare>::create({.memory = size});
  }
  REQUIRE_MESSAGE(machine, describe(machine ? Error{} : machine.error()));
  CHECK(machine->memory().size() == size);
  constexpr std::uint64_t linear = 512_GiB;  // the second entry of the PML4: nothing is mapped there
  const std::vector<std::uint8_t> code =
      Guest().rdi(linear + 2_MiB - 8).rax(0x0123'4567'89ab'cdef).store64().hlt().code;
  GuestAddress end = 0;
  auto loaded = machine->load([&](boot::Context const& context) -> Result<EntryState> {
    auto state = boot::load_flat({.code = std::as_bytes(std::span(code))}, context);
    if (!state) return state;
    GuestRegion const& last = context.memory.regions().back();
    end = last.base + last.size;
    constexpr GuestAddress pointers = 0x10'0000, directory = 0x10'1000;
    CHECK(context.memory.store(state->system.cr3 + 8, PagingEntry::to_table(pointers)));
    CHECK(context.memory.store(pointers, PagingEntry::to_table(directory)));
    CHECK(context.memory.store(directory, PagingEntry::to_2m_page(end - 2_MiB)));
    return state;
  });
  REQUIRE_MESSAGE(loaded, describe(loaded ? Error{} : loaded.error()));
  CHECK(end >= size);
  const auto ended = machine->run();
  REQUIRE_MESSAGE(ended, describe(ended ? Error{} : ended.error()));
  CHECK(*ended == End::Finished);
  CHECK(machine->memory().load<std::uint64_t>(end - 8) == 0x0123'4567'89ab'cdef);
}
