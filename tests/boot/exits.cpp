// exits KIND KERNEL INITRD DISK DISK TRACE_MARKER: a machine whose guest can mark a stretch of its life. Prints what
// the monitor counted between the first two marks; each mark is written to the file TRACE_MARKER, too. KIND is of the
// second disk: mmio, exact (mmio with exact_interrupt_status) or pci.

#include <fcntl.h>

#include <axvm/axvm.hpp>
#include <axvm/virtio_blk_pci.hpp>
#include <cstdio>
#include <numeric>
#include <vector>

namespace {

/// Calls back when the guest writes to its window.
class Mark {
 public:
  static constexpr auto claims = axvm::claims(axvm::Mmio{.base = 0xd00f'0000, .size = 0x1000});
  struct Config {
    void* self = nullptr;
    void (*mark)(void* self) = nullptr;
  };
  Mark(Config const& config, axvm::DeviceContext&) : config_(config) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) { config_.mark(config_.self); }

 private:
  Config config_;
};

using M = axvm::Machine<axvm::IvyBridgeXv2, axvm::Devices<axvm::Uart8250, axvm::Pit8254,
                                                          axvm::Repeat<2, axvm::VirtioBlk>, axvm::VirtioBlkPci, Mark>>;

/// What has been counted up to now.
struct Counted {
  std::uint64_t exits;    ///< of the guest to the monitor, for whatever reason
  std::uint64_t at_disk;  ///< those of them that arrived at the second disk
  std::uint64_t requests;
};

class Marks {
 public:
  M* machine = nullptr;
  axvm::Descriptor trace;
  bool pci = false;
  std::vector<Counted> all;

  void add() {
    auto const& exits = machine->counters().exits;
    auto const& disk = pci ? machine->device<axvm::VirtioBlkPci>()->counters.transport
                           : machine->device<axvm::VirtioBlk, 1>()->counters.transport;
    all.push_back({std::accumulate(exits.begin(), exits.end(), std::uint64_t{0},
                                   [](std::uint64_t sum, axvm::Counter const& one) { return sum + one.value(); }),
                   disk.exits.value(), disk.requests.value()});
    if (::write(trace.get(), "axvm mark\n", 10) != 10) std::fputs("cannot write to the trace\n", stderr);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  auto fail = [](axvm::Error const& error) {
    std::fprintf(stderr, "%s\n", axvm::describe(error).c_str());
    return 1;
  };
  Marks marks;
  marks.trace = axvm::Descriptor(::open(argv[6], O_WRONLY | O_CLOEXEC));
  M::Config config{.memory = 256 * axvm::MiB, .host_check = axvm::HostCheck::warn};
  config.of<axvm::VirtioBlk, 0>().path = std::string_view(argv[4]);
  const std::string_view kind = argv[1];
  marks.pci = kind == "pci";
  (marks.pci ? config.of<axvm::VirtioBlkPci>().path : config.of<axvm::VirtioBlk, 1>().path) = std::string_view(argv[5]);
  config.of<axvm::VirtioBlk, 1>().exact_interrupt_status = kind == "exact";
  config.of<Mark>() = {&marks, [](void* self) { static_cast<Marks*>(self)->add(); }};
  auto machine = M::create(config);
  if (!machine) return fail(machine.error());
  marks.machine = &*machine;
  auto linux_boot = axvm::LinuxBoot::open(
      {.kernel = std::string_view(argv[2]),
       .initrd = std::string_view(argv[3]),
       .cmdline = std::string("console=ttyS0 panic=1 quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda") +
                  (marks.pci ? "" : " pci=off")});
  if (!linux_boot) return fail(linux_boot.error());
  if (auto loaded = machine->load(std::move(*linux_boot)); !loaded) return fail(loaded.error());
  if (auto end = machine->run(); !end) return fail(end.error());
  if (marks.all.size() != 2) {
    std::printf("the guest made %zu marks\n", marks.all.size());
    return 1;
  }
  auto const& [first, second] = std::pair(marks.all[0], marks.all[1]);
  const double requests = static_cast<double>(second.requests - first.requests);
  std::printf("requests %.0f\nexits %llu\nexits at the disk %llu\nexits per request %.2f\n", requests,
              static_cast<unsigned long long>(second.exits - first.exits),
              static_cast<unsigned long long>(second.at_disk - first.at_disk),
              static_cast<double>(second.exits - first.exits) / requests);
  return 0;
}
