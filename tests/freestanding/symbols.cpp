// What the image does not call, so that what it needs is looked at too: everything here takes its arguments from
// elsewhere and is visible elsewhere, and so is compiled in full.

#include <axvm/acpi/acpi.hpp>
#include <axvm/boot/boot.hpp>
#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/device/devices.hpp>
#include <axvm/virtio/virtio.hpp>

using namespace axvm;

Result<BlockImage> open_image(Host const& host, Path const& path) { return host.image(path, false); }
Result<CharacterPort> open_console(Host const& host) { return host.console(); }
Result<VirtioBlk::Resources> open_disk(VirtioBlk::Config const& config, Host const& host) {
  return VirtioBlk::open(config, host);
}
Result<VirtioRng::Resources> open_rng(VirtioRng::Config const& config, Host const& host) {
  return VirtioRng::open(config, host);
}
Result<VirtioConsole::Resources> open_console(VirtioConsole::Config const& config, Host const& host) {
  return VirtioConsole::open(config, host);
}
Result<VirtioVsock::Resources> open_vsock(VirtioVsock::Config const& config, Host const& host) {
  return VirtioVsock::open(config, host);
}
Result<VirtioNet::Resources> open_net(VirtioNet::Config const& config, Host const& host) {
  return VirtioNet::open(config, host);
}
Error several(std::span<const Error> errors) { return combine(errors); }

Result<EntryState> load(boot::LinuxImage const& image, boot::Context const& context) {
  return boot::load_linux(image, context);
}
Result<EntryState> load(boot::FlatImage const& image, boot::Context const& context) {
  return boot::load_flat(image, context);
}
Result<boot::CommandLine> join(std::string_view base, std::string_view more) {
  return boot::join_command_line(base, more);
}

Result<acpi::Tables> tables(GuestMemory const& memory, acpi::Platform const& platform, Placement const& place) {
  return acpi::write_tables(memory, 0xe0000, 0x20000, platform, [&](acpi::Aml& aml) {
    Uart8250::describe_acpi(aml, place);
    VirtioBlk::describe_acpi(aml, place);
  });
}

void guest_cpuid(CpuidTable& table, GuestCpu const& cpu) { IvyBridgeXv2::guest_cpuid(table, cpu); }
Result<CpuSet> read_list(std::string_view list) { return CpuSet::parse(list); }
Text<255> write_list(CpuSet const& set) { return set.list(); }
std::uint64_t placed(PlacementPlan const& plan, std::span<const GuestRegion> regions) {
  std::uint64_t sum = plan.vcpus_of(1).count();
  for_each_node_memory(plan, regions, [&sum](std::size_t, GuestRegion const& part) { sum += part.size; });
  return sum;
}
bool walks(GuestMemory const& memory) { return write_identity_tables(memory, 0x10000, 4_GiB).has_value(); }

/// A PC's whole board, with the devices' ways of going on from a saved state.
struct NoHypervisor {};
using Pc = Composition<
    Portable,
    Devices<Uart8250, Pit8254, VirtioBlk, DebugExit, VirtioRng, VirtioConsole, VirtioVsock, VirtioBalloon, VirtioNet>,
    NoHypervisor>;
void access(Board<Pc>& board, IoExit const& io, MmioExit const& mmio, UnclaimedCounters& counters) {
  board.io(io, counters);
  board.mmio(mmio, counters);
}
void restore(Uart8250& uart, Pit8254& pit, VirtioBlk& disk, VirtioRng& rng, VirtioConsole& console, VirtioVsock& vsock,
             VirtioBalloon& balloon, VirtioNet& net) {
  net.restored();
  balloon.restored();
  balloon.resize(balloon.actual());
  vsock.restored();
  console.restored();
  rng.restored();
  uart.restored();
  pit.restored();
  disk.restored();
}

/// What saving asks of a machine, on the board alone.
struct Unhosted {
  using List = Pc::List;
  Board<Pc>& board;
  MachineState now;

  [[nodiscard]] MachineState state() const { return now; }
  template <class Visit>
  void for_each_device(Visit&& visit) {
    board.for_each_cell([&]<std::size_t I>(auto& cell) {
      if (auto* device = cell.device()) visit.template operator()<I>(*device);
    });
  }
};
Result<> change_state(Unhosted& machine, std::string_view name, std::string_view value) {
  auto states = save_states(machine);
  if (!states) return std::unexpected(states.error());
  const auto fields = states->settings();
  if (Setting const* field = find_setting(fields, name))
    if (auto set = field->set(value); !set) return set;
  return restore_states(machine, *states);
}
