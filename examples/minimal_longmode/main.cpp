// The smallest monitor there is: one device, a guest of a few bytes in 64-bit mode, no operating system. The guest
// loads a value into RAX, writes a port and halts; the host checks that all three happened.

#include <axvm/axvm.hpp>
#include <cstdio>

namespace {

/// Counts what is written to port 0x3f8.
struct Doorbell {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x3f8, .size = 1});
  struct Config {};
  Doorbell(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) { ++rings; }
  unsigned rings = 0;
};

using Minimal = axvm::Machine<axvm::Bare, axvm::Devices<Doorbell>>;

constexpr std::uint64_t expected = 0xcafe'babe'dead'beef;
constexpr std::uint8_t guest[] = {
    0x48, 0xb8, 0xef, 0xbe, 0xad, 0xde, 0xbe, 0xba, 0xfe, 0xca,  // mov rax, 0xcafebabedeadbeef
    0x66, 0xba, 0xf8, 0x03,                                      // mov dx, 0x3f8
    0xee,                                                        // out dx, al
    0xf4,                                                        // hlt
};

int fail(axvm::Error const& error) {
  std::fprintf(stderr, "minimal_longmode: %s\n", axvm::describe(error).c_str());
  return 1;
}

}  // namespace

int main() {
  auto machine = Minimal::create({.memory = 2 * axvm::MiB});
  if (!machine) return fail(machine.error());
  if (auto loaded = machine->load(axvm::FlatCode{guest}); !loaded) return fail(loaded.error());
  if (auto end = machine->run(); !end) return fail(end.error());

  auto general = machine->vcpu().general();
  auto system = machine->vcpu().system();
  if (!general || !system) return fail(general ? system.error() : general.error());
  const bool value_right = general->rax == expected, mode_right = system->in_64_bit_mode();
  const bool rang = machine->device<Doorbell>()->rings == 1;
  std::printf("Validation %s: RAX=0x%llx\n", value_right && rang ? "PASSED" : "FAILED",
              static_cast<unsigned long long>(general->rax));
  if (!value_right) std::printf("expected RAX=0x%llx\n", static_cast<unsigned long long>(expected));
  if (!rang) std::printf("expected one write to port 0x3f8, saw %u\n", machine->device<Doorbell>()->rings);
  std::printf("64-bit Long Mode %s\n", mode_right ? "confirmed" : "not reached");
  return value_right && rang && mode_right ? 0 : 1;
}
