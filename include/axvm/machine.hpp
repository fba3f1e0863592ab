#pragma once

#include <memory>
#include <span>
#include <utility>

#include <axvm/compose/compose.hpp>
#include <axvm/machine/body.hpp>

namespace axvm::inline v1 {

/// A virtual machine, written as a type: a CPU profile, the devices, handlers for exits (the rest have defaults) and
/// the hypervisor it runs on. Everything else follows from these: exit dispatch, address map, ACPI tables, settings.
///
///     using Xv2 = Machine<IvyBridgeXv2, Devices<Uart8250, Pit8254, VirtioBlk>>;
///     Xv2::Config config{.memory = 1_GiB, .vcpus = 2};
///     config.of<VirtioBlk>().path = "disk.ext4";
///     auto machine = Xv2::create(config);
///
/// A handle: movable, owns everything. Calls return errors that name what failed and what to do.
template <class Profile, class DeviceList = Devices<>, class HandlerList = Handlers<>, class Backend = kvm::Kvm>
class Machine {
  // What does not fit is said here, once and by name (compose/diagnostics.hpp); the rest goes on with parts that do.
  using Parts = detail::MachineParts<Profile, DeviceList, HandlerList, Backend, Hypervisor<Backend>, kvm::Kvm>;
  static_assert(machine_with<typename Parts::Fault>);
  using H = typename Parts::Hypervisor;
  using Body = detail::MachineBody<typename Parts::Profile, typename Parts::Devices, typename Parts::Handlers, H>;

 public:
  using Composition = typename Body::Composed;
  using List = typename Composition::List;  ///< all devices, the profile's own first
  using Config = MachineConfig<List>;
  using Vcpu = typename H::Vm::Vcpu;

  /// `N` processors, checked against the profile when the program is compiled: `Config config{.vcpus = M::vcpus<4>};`
  template <unsigned N>
  static constexpr unsigned vcpus = machine_with<detail::VcpuFault<typename Parts::Profile, N>> ? N : 1;

  /// Where every claim of every device is: device and claim index, kind, base, size. Constant.
  static constexpr auto layout = Composition::layout;

  /// The machine with these settings as plain values, for people and tools: devices, places, address map. Builds and
  /// opens nothing. `describe_text`, `describe_json` and `describe_svg` make texts and a picture of it.
  [[nodiscard]] static constexpr Description description(Config const& config = {}) {
    return describe_composition<Composition>(config);
  }

  /// How this host, or another one that `source` speaks of, fits the profile: every requirement with what was found.
  /// Needs no hypervisor. `describe_host` makes a table of it.
  [[nodiscard]] static HostReport host_report(HostSource const& source = this_host) {
    return v1::host_report<typename Parts::Profile>(detect_host(source));
  }

  /// Checks the settings and the host, opens what the devices need (all errors are reported together) and reserves the
  /// guest's memory. `host` is where devices get consoles and disks from, a SystemHost or a Host; without one the
  /// machine uses this process's standard input and output and its files.
  [[nodiscard, gnu::cold]] static Result<Machine> create(Config const& config = {}) {
    static_assert(machine_with<typename MachineHost<List>::Lack>);
    auto hypervisor = H::open();
    if (!hypervisor) return std::unexpected(hypervisor.error());
    auto body = std::make_unique<Body>(config, Host{}, std::move(*hypervisor), Log{});
    body->use(MachineHost<List>::host_of(body->system()));
    return prepared(std::move(body));
  }
  [[nodiscard, gnu::cold]] static Result<Machine> create(Config const& config, MachineHost<List> const& host,
                                                         Log log = {}) {
    auto hypervisor = H::open();
    if (!hypervisor) return std::unexpected(hypervisor.error());
    return create(config, host, std::move(*hypervisor), log);
  }
  /// The same on a hypervisor that is already open.
  [[nodiscard, gnu::cold]] static Result<Machine> create(Config const& config, MachineHost<List> const& host,
                                                         H hypervisor, Log log = {}) {
    return prepared(std::make_unique<Body>(config, host.get(), std::move(hypervisor), log));
  }

  /// Ties the machine to host CPUs and memory nodes as planned (axvm/placement/placement.hpp makes plans), and shows
  /// the guest the NUMA nodes of the plan. Between create() and the first load(). Threads are tied when they start, so
  /// that a CPU which may not be used makes run() fail. Errors: a loaded machine; a plan for another number of vCPUs.
  [[nodiscard]] Result<> place(PlacementPlan const& plan) { return body_->place(plan); }

  /// Puts a guest into memory and the processors at its entry. `loader(boot::Context)` gives an EntryState; it is kept
  /// and called again after a reset.
  template <class Loader>
  [[nodiscard]] Result<> load(Loader loader) {
    return body_->load(std::move(loader));
  }

  /// Runs the guest until it ends; resets by the guest restart it unless Config::reboot is false.
  [[nodiscard]] Result<End> run() { return body_->run(); }

  /// Ends a run from any thread: every vCPU leaves the guest at once. Safe before and after a run, too.
  void stop() { body_->request(Action::Stop, true); }

  /// Asks the guest to power off, as its power button does; from any thread. A machine without one stops.
  void press_power_button() { body_->press_power_button(); }

  [[nodiscard]] MachineState state() const { return body_->state(); }
  /// Guest memory, checked.
  [[nodiscard]] GuestMemory memory() const { return body_->memory(); }
  /// Guest memory as the host has it: regions, and the pages behind them (`backing()`, `describe()`).
  [[nodiscard]] GuestRam const& ram() const { return body_->guest_ram().ram(); }

  /// Has `progress.step` called while `load`, or a reset, makes memory present (Config::prefault, Config::mlock); on
  /// the thread that loads or runs. When it answers false the machine stops, as `stop()` from another thread makes it.
  void watch_prefault(MemoryProgress progress) { body_->guest_ram().watcher = progress; }
  /// A processor of a machine that is loaded and not running.
  [[nodiscard]] Vcpu& vcpu(unsigned index = 0) { return body_->vcpu(index); }
  /// What a processor counted since it was loaded; any time.
  [[nodiscard]] VcpuCounters const& counters(unsigned index = 0) const { return body_->counters(index); }

  /// The `Instance`-th device of type `D` while the machine is loaded, or null when it is absent. The device's own
  /// thread rules apply: look at it when the machine does not run.
  template <class D, std::size_t Instance = 0>
  [[nodiscard]] D* device() {
    constexpr std::size_t index = detail::index_of<D, Instance>(List{});
    static_assert(machine_with<detail::DeviceFault<List, D, Instance>>);
    if constexpr (index < List::count) return body_->board().template cell<index>().device();
    else return nullptr;
  }

  /// The object of a handler's policy, which lives as long as the machine. Processors that run call it at any time.
  template <class Policy>
  [[nodiscard]] Policy& handler() {
    return body_->handlers().template get<Policy>();
  }

  /// Calls `visit.operator()<I>(device)` for every device that is built, in order, each under its own lock; `I` is its
  /// index in List. Not for those that are absent.
  template <class Visit>
  void for_each_device(Visit&& visit) {
    body_->board().for_each_cell([&]<std::size_t I>(auto& cell) {
      Holding holding(cell.lock());
      if (auto* device = cell.device()) visit.template operator()<I>(*device);
    });
  }

 private:
  explicit Machine(std::unique_ptr<Body> body) : body_(std::move(body)) {}

  [[gnu::cold]] static Result<Machine> prepared(std::unique_ptr<Body> body) {
    if (auto ready = body->prepare(); !ready) return std::unexpected(ready.error());
    return Machine(std::move(body));
  }

  std::unique_ptr<Body> body_;
};

}  // namespace axvm::inline v1
