#pragma once

#include <sys/random.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include <axvm/boot/boot.hpp>
#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/host/host.hpp>
#include <axvm/hv/hypervisor.hpp>
#include <axvm/hv/kvm/kvm.hpp>
#include <axvm/io/event_loop.hpp>
#include <axvm/io/system_host.hpp>
#include <axvm/machine/acpi_tables.hpp>
#include <axvm/machine/device_places.hpp>
#include <axvm/machine/device_windows.hpp>
#include <axvm/machine/interrupt_lines.hpp>
#include <axvm/machine/kept_loader.hpp>
#include <axvm/machine/machine_checks.hpp>
#include <axvm/machine/machine_host.hpp>
#include <axvm/machine/machine_memory.hpp>
#include <axvm/machine/machine_place.hpp>
#include <axvm/machine/processors.hpp>
#include <axvm/memory/memory.hpp>

namespace axvm::inline v1::detail {

/// The parts of a machine and how they fit together. Not movable: devices and threads hold addresses of its members.
template <class Profile, class DeviceList, class HandlerList, class H>
class MachineBody {
 public:
  using Composed = Composition<Profile, DeviceList, H>;
  using BoardType = Board<Composed, DeviceLock>;
  using Dispatch = ExitDispatch<BoardType, HandlerList>;
  using Config = MachineConfig<typename Composed::List>;
  using Vm = typename H::Vm;
  using Vcpu = typename Vm::Vcpu;

  MachineBody(Config const& config, Host const& host, H hypervisor, Log log)
      : config_(config),
        host_(host),
        hypervisor_(std::move(hypervisor)),
        log_(log),
        windows_(log),
        places_(places_of(board_, config_)),
        counters_(std::make_unique<VcpuCounters[]>(config.vcpus <= Profile::max_vcpus ? config.vcpus : 0)) {}
  ~MachineBody() { tear_down(); }

  /// The system, for a machine that got no host.
  [[nodiscard]] SystemHost& system() { return own_host_; }
  /// The host that the devices use, in place of the one given.
  void use(Host const& host) { host_ = host; }

  /// Everything that can fail for reasons the user can mend, all of it reported at once.
  [[gnu::cold]] Result<> prepare() {
    std::vector<Error> errors;
    auto note = [&errors](Result<> const& result) {
      if (!result) errors.push_back(result.error());
    };
    note(check_host());
    note(check_vcpus());
    if (config_.kick_signal == 0) config_.kick_signal = default_kick_signal();
    note(install_kick_signal(config_.kick_signal));
    note(loop_.open());
    if (auto supported = hypervisor_.supported_cpuid(); supported) {
      supported_cpuid_ = *supported;
      note(memory_.template reserve<Profile>(config_, supported_cpuid_));
    } else {
      errors.push_back(supported.error());
    }
    for (std::size_t i = 0; i != places_.size(); ++i) {
      DevicePlace const& place = places_[i];
      owners_[i] = {&loop_, place.lock};
      CellOperations const& device = *place.operations;
      device.configure(place.cell, place.config);
      if (device.open != nullptr) note(device.open(place.cell, host_));
      if (!device.discards.empty() && place.wanted()) note(memory_.allow_discards(config_, device.discards));
    }
    if (!errors.empty()) return std::unexpected(combine(errors));
    log_(Severity::Info, detail::sentence({"guest memory: ", memory_.ram().describe()}));
    return {};
  }

  [[gnu::cold]] Result<> place(PlacementPlan const& plan) {
    if (state() != MachineState::Loading)
      return failure(ErrorCode::InvalidState, text<1023>("place a machine that is ", name_of(state())),
                     "place it between create() and load()");
    return place_.take(plan, config_.vcpus);
  }

  template <class Loader>
  Result<> load(Loader loader) {
    if (!may_follow(state(), MachineState::Loaded)) return enter(MachineState::Loaded);
    loader_.keep(std::move(loader));
    return build();
  }

  [[gnu::cold]] Result<End> run() {
    for (;;) {
      if (auto entered = enter(MachineState::Running); !entered) return std::unexpected(entered.error());
      auto ran = loop_.start();
      if (ran) ran = place_.settle_io(loop_.handle());
      if (ran)
        ran = processors_.run(
            config_.kick_signal, [this](Processor<Vcpu>& processor) { run_vcpu(processor); },
            [this] { request_.store(Action::Fail); });
      loop_.stop();
      for (DevicePlace const& place : places_) place.quiesce();
      if (!ran) {
        become_failed();
        return std::unexpected(ran.error());
      }
      enter_or_fail(MachineState::Stopping);
      const Action action = request_.load(std::memory_order_acquire);
      if (action == Action::Fail) return fail();
      if (action != Action::Reset || !config_.reboot || stop_requested_.load()) {
        enter_or_fail(MachineState::Stopped);
        return stop_requested_.exchange(false) ? End::Stopped : end_of(action);
      }
      if (auto rebuilt = build(); !rebuilt) {
        become_failed();
        return std::unexpected(rebuilt.error());
      }
    }
  }

  /// Ends the current stay in the guest. The first request counts, but a stop by the program overrides a reset.
  void request(Action action, bool by_program = false) {
    if (by_program) stop_requested_ = true;
    Action none = Action::Continue;
    request_.compare_exchange_strong(none, action, std::memory_order_acq_rel);
    processors_.kick(config_.kick_signal);
  }

  [[gnu::cold]] void press_power_button() {
    if constexpr (constexpr std::size_t index = index_of<AcpiPower, 0>(typename Composed::List{});
                  index < Composed::List::count) {
      auto& cell = board_.template cell<index>();
      Holding holding(cell.lock());
      if (AcpiPower* power = cell.device()) power->press_power_button();
    } else {
      request(Action::Stop, true);
    }
  }

  [[nodiscard]] MachineState state() const { return state_.load(std::memory_order_acquire); }
  [[nodiscard]] GuestMemory memory() { return memory_.view(); }
  [[nodiscard]] MachineMemory& guest_ram() { return memory_; }
  [[nodiscard]] Vcpu& vcpu(unsigned index) { return processors_[index].vcpu; }
  [[nodiscard]] VcpuCounters const& counters(unsigned index) const { return counters_[index]; }
  [[nodiscard]] BoardType& board() { return board_; }
  [[nodiscard]] HandlerObjects<HandlerList>& handlers() { return handlers_; }

 private:
  [[gnu::cold]] Result<> enter(MachineState next) { return detail::enter(state_, next); }
  [[gnu::cold]] void enter_or_fail(MachineState next) {
    if (!enter(next)) state_.store(MachineState::Failed, std::memory_order_release);
  }

  [[gnu::cold]] Result<> check_host() {
    return detail::check_host(Profile::name, Profile::host_requirements, config_.host_check, log_);
  }

  /// Without interrupt controllers there is no start-up interrupt, by which the first processor starts the others.
  static constexpr unsigned most_vcpus = Composed::has_interrupts ? Profile::max_vcpus : 1;

  [[gnu::cold]] Result<> check_vcpus() {
    return detail::check_vcpus(Profile::name, config_.vcpus, most_vcpus, Composed::has_interrupts);
  }

  /// Builds virtual machine, devices and processors and loads the guest, from nothing: the same after a reset as at the
  /// first start.
  [[gnu::cold]] Result<> build() {
    if (auto entered = enter(MachineState::Loaded); !entered) return entered;
    tear_down();
    request_.store(Action::Continue);
    if (stop_requested_) request_.store(Action::Stop);  // a stop that came while nothing ran is not lost
    for (unsigned i = 0; i < config_.vcpus; ++i) counters_[i].reset();
    auto built = build_parts();
    if (!built) {
      tear_down();
      state_ = MachineState::Failed;
    }
    return built;
  }

  [[gnu::cold]] Result<> build_parts() {
    if (auto renewed = memory_.renew(stop_requested_, place_); !renewed) return renewed;
    if (stop_requested_) request_.store(Action::Stop);
    const VmPlan plan{.interrupts = Composed::has_interrupts,
                      .vcpus = config_.vcpus,
                      .address_map = Profile::address_map,
                      .cpu_use = config_.cpu_use,
                      .halt_poll_ns = halt_poll_of<Profile>(config_.cpu_use),
                      .performance_counters = has_performance_counters<Profile>(),
                      .extra_exits = extra_exits<HandlerList, Vcpu>};
    auto vm = hypervisor_.create_vm(plan);
    if (!vm) return std::unexpected(vm.error());
    vm_.emplace(std::move(*vm));
    unsigned slot = 0;
    for (GuestRegion const& region : memory_.ram().regions())
      if (auto mapped = vm_->map(slot++, region); !mapped) return mapped;
    if (auto devices = build_devices(); !devices) return devices;
    if (auto vcpus = build_vcpus(); !vcpus) return vcpus;
    return load_guest();
  }

  [[gnu::cold]] Result<> build_devices() {
    Result<> result;
    windows_.begin(*vm_, loop_);
    if constexpr (Composed::own_io_apic) build_device(Composed::io_apic, result);  // the others have lines to it
    for (std::size_t i = 0; i != places_.size(); ++i)
      if (!Composed::own_io_apic || i != Composed::io_apic) build_device(i, result);
    return result;
  }
  [[gnu::cold]] void build_device(std::size_t index, Result<>& result) {
    DeviceContext context;
    if (!places_[index].wanted() || !connect_device(index, claims_of<Composed>(index), context, result)) return;
    places_[index].operations->build(places_[index].cell, context);
    result = windows_.result();
  }

  /// Gives device `index` everything to work with; not if `result` is an error already, or becomes one.
  [[gnu::cold]] bool connect_device(std::size_t index, std::span<const Claim> claims, DeviceContext& context,
                                    Result<>& result) {
    if (!result) return false;
    window_owners_[index] = {.events = &owners_[index], .claims = claims};
    windows_.connect(context, window_owners_[index]);
    context.memory = memory();
    context.claims = claims;
    context.events = EventLoop::events_of(owners_[index]);
    context.messages = messages_to(*vm_);
    context.log = log_;
    context.machine = {this, [](void* self, Action action) { static_cast<MachineBody*>(self)->request(action); }};
    std::size_t line = 0;
    for (Claim const& claim : claims) {
      if (claim.kind != ClaimKind::Irq) continue;
      auto connected = lines_.connect(board_, *vm_, claim);
      if (!connected) return result = std::unexpected(connected.error()), false;
      context.lines[line++] = *connected;
    }
    return true;
  }

  /// What every device that is there says of itself to the guest, in the machine's order.
  [[gnu::cold]] void describe_devices(acpi::Aml& aml) {
    for (std::size_t i = 0; i != places_.size(); ++i)
      if (auto* describe = places_[i].operations->describe_acpi; describe != nullptr && places_[i].wanted())
        describe(aml, Placement{claims_of<Composed>(i), instance_of<Composed>(i)});
  }

  /// The PCI bus with every device that is there.
  [[gnu::cold]] PciBus pci_bus() const {
    PciBus bus;
    if constexpr (Composed::has_pci)
      for (std::size_t i = 0; i != places_.size(); ++i)
        if (places_[i].wanted()) bus.add(claims_of<Composed>(i), Profile::address_map);
    return bus;
  }

  [[gnu::cold]] Result<> build_vcpus() {
    const MachineTopology topology(config_.vcpus, place_.plan());
    for (unsigned index = 0; index < config_.vcpus; ++index) {
      auto vcpu = vm_->create_vcpu(index, topology.get().apic_id(index));
      if (!vcpu) return std::unexpected(vcpu.error());
      CpuidTable table = supported_cpuid_;
      Profile::guest_cpuid(
          table, {.topology = topology.get(), .index = index, .use = config_.cpu_use, .mwait = vm_->waits_in_guest()});
      if (auto set = vcpu->set_cpuid(table); !set) return set;
      processors_.add(std::move(*vcpu), index, counters_[index]);
    }
    return {};
  }

  [[gnu::cold]] Result<> load_guest() {
    boot::Context context{.memory = memory(), .map = Profile::address_map, .rsdp = {}, .rng_seed = {}};
    if constexpr (Profile::platform == Platform::Pc) {
      const MachineTopology topology(config_.vcpus, place_.plan());
      unsigned own_pins = 0;
      if constexpr (Composed::own_io_apic) own_pins = board_.template cell<Composed::io_apic>().device()->pins();
      auto describe = [](void* self, acpi::Aml& aml) { static_cast<MachineBody*>(self)->describe_devices(aml); };
      auto rsdp = write_machine_tables({this, describe}, pci_bus(), own_pins, memory(), Profile::address_map,
                                       memory_.ram().regions(), topology.get(), place_.plan());
      if (!rsdp) return std::unexpected(rsdp.error());
      context.rsdp = *rsdp;
    }
    std::array<std::byte, 32> seed;
    if (::getrandom(seed.data(), seed.size(), GRND_NONBLOCK) == static_cast<ssize_t>(seed.size()))
      context.rng_seed = seed;
    // Worth having even from a host that has only just started and cannot vouch for it.
    (void)::getrandom(&context.random, sizeof context.random, GRND_INSECURE);
    auto entry = loader_(context);
    if (!entry) return std::unexpected(entry.error());
    return processors_[0].vcpu.set_entry(*entry);
  }

  /// One processor's life in the guest, on its own thread.
  void run_vcpu(Processor<Vcpu>& processor) {
    unblock_kick_signal(config_.kick_signal);
    if (auto settled = place_.settle(processor.index, config_.realtime); !settled) {
      if (!unsettled_.exchange(true)) settle_error_ = settled.error();
      return request(Action::Fail);
    }
    std::uint32_t code = 0;
    bool entered = false;
    while (request_.load(std::memory_order_relaxed) == Action::Continue) [[likely]] {
      code = processor.vcpu.run();
      entered = true;
      const Action action = Dispatch::handle(code, processor.vcpu, board_, processor.counters, handlers_);
      if (action == Action::Continue) [[likely]]
        continue;
      if (action == Action::Fail) failed_.store(&processor, std::memory_order_release);
      if (Vcpu::is(code, ExitReason::Shutdown)) log_(Severity::Warning, processor.vcpu.describe_failure());
      request(action);
    }
    // What the last exit brought is in the registers only when the processor is entered again; it comes out at once.
    using enum ExitReason;
    for (const ExitReason answered : {Io, Mmio, Hypercall, MsrRead, MsrWrite}) {
      if (!entered || !Vcpu::is(code, answered)) continue;
      processor.vcpu.interrupt();
      (void)processor.vcpu.run();
    }
  }

  void become_failed() {
    state_.store(MachineState::Failed, std::memory_order_release);
    stop_requested_ = false;
  }

  [[gnu::cold]] Result<End> fail() {
    become_failed();
    if (unsettled_.exchange(false)) return std::unexpected(settle_error_);
    Processor<Vcpu>* processor = failed_.exchange(nullptr);
    if (processor == nullptr) return failure(ErrorCode::Hypervisor, "run the guest: a device ended it with an error");
    return failure(ErrorCode::Hypervisor, processor->vcpu.describe_failure());
  }

  [[nodiscard]] static End end_of(Action action) {
    return action == Action::PowerOff ? End::PoweredOff : action == Action::Reset ? End::Reset : End::Finished;
  }

  /// Destroys processors, devices and the virtual machine; what the devices opened stays open.
  [[gnu::cold]] void tear_down() {
    failed_ = nullptr;
    processors_.clear();
    for (std::size_t i = 0; i != places_.size(); ++i) {
      loop_.forget(owners_[i]);
      places_[i].operations->destroy(places_[i].cell);
    }
    lines_.clear();
    vm_.reset();
  }

  Config config_;
  SystemHost own_host_;
  Host host_;
  H hypervisor_;
  CpuidTable supported_cpuid_;  ///< asked for once: it is the same after every reset
  Log log_;
  MachineMemory memory_;
  EventLoop loop_;
  std::array<EventLoop::Owner, Composed::List::count> owners_{};
  DeviceWindows<H> windows_;
  std::array<typename DeviceWindows<H>::Owner, Composed::List::count> window_owners_{};
  std::optional<Vm> vm_;
  BoardType board_;
  const std::array<DevicePlace, Composed::List::count> places_;
  InterruptLines<BoardType> lines_;
  [[no_unique_address]] HandlerObjects<HandlerList> handlers_;
  std::unique_ptr<VcpuCounters[]> counters_;  ///< one for each vCPU, from the beginning to the end
  MachinePlace place_;
  Error settle_error_;  ///< of the first thread that set unsettled_
  std::atomic<bool> unsettled_{false};
  Processors<Vcpu> processors_;
  KeptLoader loader_;
  std::atomic<MachineState> state_{MachineState::Loading};
  std::atomic<Action> request_{Action::Continue};
  std::atomic<bool> stop_requested_{false};
  std::atomic<Processor<Vcpu>*> failed_{nullptr};
};

}  // namespace axvm::inline v1::detail
