// A machine of DEVICES devices that do nothing, for bench/exit: each has ports and a window, and an interrupt line as
// long as there are any; one of the platform's kind is the port that the guest's marks go to.
//
//   exit_machine IMAGE    flat code, entered in real mode at 0x1000:0
//   exit_machine          prints port and address of the first, the middle and the last device
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include <axvm/axvm.hpp>

namespace {

#ifndef DEVICES
#define DEVICES 1
#endif
constexpr std::size_t devices = DEVICES;

/// Writes each byte to standard output; the last one of the guest ends the run.
class Mark {
 public:
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = 0x3f8, .size = 1});
  struct Config {};
  Mark(Config const&, axvm::DeviceContext& context) : machine_(context.machine) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const& access) {
    const auto byte = static_cast<char>(access.value);
    if (::write(STDOUT_FILENO, &byte, 1) != 1 || byte == 'X') machine_(axvm::Action::Stop);
  }

 private:
  axvm::MachineControl machine_;
};

/// Takes every access and does nothing; what is read stays all-ones.
template <std::size_t Number, class... Line>
struct Station {
  static constexpr auto claims = axvm::claims(axvm::Pio{.size = 8}, axvm::Mmio{.size = 0x1000}, Line{}...);
  struct Config {};
  Station(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

template <std::size_t Number>
auto station() {
  if constexpr (Number < axvm::floating_lines.size()) return std::type_identity<Station<Number, axvm::Irq<>>>{};
  else return std::type_identity<Station<Number>>{};
}
template <std::size_t... Numbers>
auto list_of(std::index_sequence<Numbers...>)
    -> std::type_identity<axvm::Devices<Mark, typename decltype(station<Numbers>())::type...>>;
using M = axvm::Machine<axvm::Portable, typename decltype(list_of(std::make_index_sequence<devices>{}))::type>;
constexpr std::size_t before = axvm::ImplicitDevices<axvm::Portable>::count + 1;  // the platform's, and Mark

axvm::Claim claim_of(std::size_t station, axvm::ClaimKind kind) {
  for (axvm::PlacedClaim const& placed : M::layout)
    if (placed.device == before + station && placed.claim.kind == kind) return placed.claim;
  return {};
}

void print_places() {
  for (const std::size_t station : {std::size_t{0}, devices / 2, devices - 1})
    std::printf("%llu %llu\n", static_cast<unsigned long long>(claim_of(station, axvm::ClaimKind::Pio).base),
                static_cast<unsigned long long>(claim_of(station, axvm::ClaimKind::Mmio).base));
}

int fail(axvm::Error const& error) {
  std::fprintf(stderr, "exit_machine: %s\n", axvm::describe(error).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) return print_places(), 0;
  static std::uint8_t code[0x10000];
  const int image = ::open(argv[1], O_RDONLY | O_CLOEXEC);
  const ssize_t size = ::read(image, code, sizeof code);
  if (size <= 0) return std::perror(argv[1]), 1;
  auto machine = M::create({.memory = 2 * axvm::MiB});
  if (!machine) return fail(machine.error());
  const axvm::FlatCode flat{.code = {code, static_cast<std::size_t>(size)}, .entry = axvm::boot::Entry::Real16};
  if (auto loaded = machine->load(flat); !loaded) return fail(loaded.error());
  if (auto end = machine->run(); !end) return fail(end.error());
}
