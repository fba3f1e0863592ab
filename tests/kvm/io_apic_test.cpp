#include <array>

#include "guest.hpp"

// The machine's own I/O APIC with KVM's local APICs.

using namespace axvm;

namespace {

/// What its handler does with the guest's interrupts: a line of each kind, and how many interrupts there were.
class Bell {
 public:
  static constexpr std::uint16_t start = 0x90, entered = 0x91, ended = 0x92;
  static constexpr auto claims = axvm::claims(Pio{.base = start, .size = 3}, Irq<"edge">{.line = 20},
                                              Irq<"level">{.line = 10, .trigger = Trigger::Level});
  struct Config {};
  Bell(Config const&, DeviceContext& context)
      : machine_(context.machine), edge_(context.irq(0)), level_(context.irq(1)) {}
  void read(PioAccess&) {}
  void write(PioAccess const& access) {
    switch (access.offset + start) {
      case start: return edge_.pulse();
      case entered: return note(static_cast<std::uint8_t>(access.value));
      default: break;
    }
    if (vectors[0] != 0 && vectors[1] == 0) level_.raise();
    if (vectors[2] != 0) machine_(Action::Stop);
  }

  std::array<std::uint8_t, 4> vectors{};  ///< of the interrupts there were

 private:
  void note(std::uint8_t vector) {
    if (count_ < vectors.size()) vectors[count_++] = vector;
    if (count_ == 3) level_.lower();
  }

  MachineControl machine_;
  IrqLine edge_, level_;
  std::size_t count_ = 0;
};

constexpr GuestAddress code_at = 0x10000, handlers_at = 0x18000, table_at = 0x20000;
constexpr std::uint8_t edge_vector = 0x41, level_vector = 0x52;
constexpr std::uint64_t local_apic = 0xfee0'0000, SVR = local_apic + 0xf0, EOI = local_apic + 0xb0;

/// Ends the interrupt, and waits for the next one where it is: nothing returns.
Guest handler(std::uint8_t vector) {
  Guest guest;
  guest.dx(Bell::entered).bytes({0xb0, vector}).out8();  // mov al, vector
  guest.rdi(EOI).bytes({0x31, 0xc0}).store32();
  guest.dx(Bell::ended).bytes({0xfb}).out8();  // sti
  return guest.hlt().bytes({0xeb, 0xfd});      // and again
}

Guest start() {
  Guest guest;
  auto store = [&guest](std::uint64_t address, std::uint32_t value) { guest.rdi(address).rax(value).store32(); };
  auto entry = [&](std::uint32_t line, std::uint32_t value) {
    store(IoApic::base + IoApic::IOREGSEL, IoApic::IOREDTBL + 2 * line);
    store(IoApic::base + IoApic::IOWIN, value);
  };
  store(SVR, 0x1ff);
  entry(20, edge_vector);
  entry(10, 1u << 15 | level_vector);
  return guest.dx(Bell::start).bytes({0xfb}).out8().hlt().spin();
}

Result<EntryState> load_bell(boot::Context const& context) {
  const Guest first = start();
  auto entry = boot::load_flat({.code = std::as_bytes(std::span(first.code)), .address = code_at}, context);
  if (!entry) return entry;
  for (const std::uint8_t vector : {edge_vector, level_vector}) {
    const Guest code = handler(vector);
    const GuestAddress at = handlers_at + std::uint64_t{vector} * 0x40;
    // A 64-bit interrupt gate ([intel/vol3] 6.14.1); the address has 32 bits here.
    const std::array<std::uint64_t, 2> gate{(at & 0xffff) | boot::BOOT_CS << 16 | 0x8eull << 40 | (at >> 16) << 48, 0};
    if (!context.memory.write(at, std::as_bytes(std::span(code.code))) ||
        !context.memory.store(table_at + 16u * vector, gate))
      return failure(ErrorCode::OutOfMemory, "write the guest");
  }
  entry->system.idt = {.base = table_at, .limit = 0xfff};
  return entry;
}

}  // namespace

TEST_CASE("an edge is one message; a level is sent again until its device is content, and only its ends are exits") {
  using M = Machine<Bare, Devices<Bell>>;
  auto machine = M::create({.memory = 2 * MiB});
  REQUIRE(machine);
  for (int round = 0; round < 2; ++round) {
    REQUIRE(machine->load(load_bell));
    auto run = machine->run();
    REQUIRE_MESSAGE(run, describe(run ? Error{} : run.error()));
    CHECK(machine->device<Bell>()->vectors == std::array<std::uint8_t, 4>{edge_vector, level_vector, level_vector, 0});
    CHECK(machine->counters().exits[static_cast<std::size_t>(ExitReason::EndOfInterrupt)].value() == 2);
    CHECK((machine->device<IoApic>()->state.entries[10] & 1u << 14) == 0);
    CHECK(machine->device<IoApic>()->state.entries[20] == edge_vector);
  }
}
