// Boots a stock Linux on the Xv2 machine: what a complete monitor looks like on top of the framework.

#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include <axvm/axvm.hpp>
#include <axvm/bind/toml.hpp>
#include <axvm/bind/unpack.hpp>
#include <axvm/observe/observe.hpp>
#include <axvm/virtio_balloon.hpp>
#include <axvm/virtio_blk_pci.hpp>
#include <axvm/virtio_console.hpp>
#include <axvm/virtio_net.hpp>
#include <axvm/virtio_rng.hpp>
#include <axvm/virtio_vsock.hpp>

#include "options.hpp"
#include "placement.hpp"
#include "state_file.hpp"

namespace {

using Xv2 = axvm::Machine<axvm::IvyBridgeXv2,
                          axvm::Devices<axvm::Uart8250, axvm::Pit8254, axvm::Repeat<8, axvm::VirtioBlk>,
                                        axvm::Repeat<4, axvm::VirtioBlkPci>, axvm::VirtioRng, axvm::VirtioConsole,
                                        axvm::VirtioVsock, axvm::VirtioBalloon, axvm::Repeat<2, axvm::VirtioNet>>>;

/// One line on standard error; a raw terminal needs the carriage return.
void say(axvm::Severity severity, std::string_view message) {
  const std::string_view name = axvm::name_of(severity);
  std::fprintf(stderr, "xv2_vmm: %.*s: %.*s%s", static_cast<int>(name.size()), name.data(),
               static_cast<int>(message.size()), message.data(), axvm::RawTerminal::active() ? "\r\n" : "\n");
}

constexpr int host_misfit = 3;  // exit status

int fail(axvm::Error error) {
  const bool misfit = error.code == axvm::ErrorCode::HostMismatch;
  if (misfit) error.hint.append(error.hint.empty() ? "" : "; ").append("--check-host lists everything");
  say(error.severity, axvm::describe(error));
  return misfit ? host_misfit : 1;
}

/// Tells the guest's consoles that the terminal may have another size.
void resize_terminal(Xv2& machine) {
  machine.for_each_device([]<std::size_t>(auto& device) {
    if constexpr (requires { device.terminal_resized(); }) device.terminal_resized();
  });
}

/// Tells the guest's disks that their images may have another size.
void resize_disks(Xv2& machine) {
  machine.for_each_device([]<std::size_t>(auto& device) {
    if constexpr (requires { device.image_resized(); }) device.image_resized();
  });
}

/// The signals that ask for an end, and those that tell of another size of the terminal or of a disk, handled one after
/// the other on a thread of their own. Blocks them in the calling thread and in all that are started later.
class EndSignals {
 public:
  EndSignals() {
    ::sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGUSR2, wake}) ::sigaddset(&set_, signal);
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  ~EndSignals() { unwatch(); }
  EndSignals(EndSignals const&) = delete;
  EndSignals& operator=(EndSignals const&) = delete;

  /// The first signal asks the guest to power off, the next one stops the machine. Before there is a guest, the first
  /// one does.
  void watch(Xv2& machine) {
    thread_ = std::thread([this, &machine] {
      bool asked = false;
      while (!leaving_) {
        int signal = 0;
        ::sigwait(&set_, &signal);
        if (signal == wake) continue;  // ours, or somebody else's: leaving_ tells
        if (signal == SIGWINCH) {
          resize_terminal(machine);
          continue;
        }
        if (signal == SIGUSR2) {
          resize_disks(machine);
          continue;
        }
        const axvm::MachineState state = machine.state();
        if (asked || state == axvm::MachineState::Loading || state == axvm::MachineState::Loaded) {
          forced_ = signal;
          machine.stop();
        } else {
          asked = true;
          say(axvm::Severity::Info, "asking the guest to power off; a second signal stops it at once");
          machine.press_power_button();
        }
      }
    });
  }

  /// Signals do nothing to the machine any more; to be called before it is gone.
  void unwatch() {
    if (!thread_.joinable()) return;
    leaving_ = true;
    ::pthread_kill(thread_.native_handle(), wake);
    thread_.join();
  }

  /// The signal that stopped the machine, or 0.
  [[nodiscard]] int forced() const { return forced_; }

 private:
  static constexpr int wake = SIGUSR1;
  sigset_t set_{};
  std::thread thread_;
  std::atomic<bool> leaving_{false};
  std::atomic<int> forced_{0};
};

/// Where the machine runs, as asked for. What nobody asked for is no reason not to start.
axvm::Result<std::unique_ptr<axvm::PlacementPlan>> plan(Xv2::Config const& config, xv2::Options const& options) {
  using axvm::MemoryBacking;
  const std::uint64_t page_size = config.memory_backing == MemoryBacking::hugetlb_1g   ? axvm::GiB
                                  : config.memory_backing == MemoryBacking::hugetlb_2m ? 2 * axvm::MiB
                                                                                       : 0;
  auto planned =
      xv2::plan(options.placement, config.vcpus, config.memory, page_size, Xv2::Composition::CpuProfileType::placement);
  if (planned || options.placement.pin != "auto" || options.placement.numa != "auto") return planned;
  say(axvm::Severity::Warning, axvm::describe(planned.error()));
  return nullptr;
}

/// Writes to standard output; whether that worked.
bool print(std::string const& text) { return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0; }

/// Shows on a terminal how far the host is with finding the guest's memory.
class PrefaultMeter {
 public:
  [[nodiscard]] axvm::MemoryProgress progress() {
    return {this, [](void* self, std::uint64_t done, std::uint64_t total) {
              auto& meter = *static_cast<PrefaultMeter*>(self);
              done == total ? meter.clear() : meter.show(static_cast<unsigned>(done / (total / 100 + 1)));
              return true;
            }};
  }

  /// Takes away what it showed.
  void clear() {
    if (shown_ != nothing) std::fputs("\r\033[K", stderr);
    shown_ = nothing;
  }

 private:
  static constexpr unsigned nothing = 101;

  void show(unsigned percent) {
    if (!terminal_ || percent == shown_) return;
    shown_ = percent;
    std::fprintf(stderr, "\rxv2_vmm: guest memory: %u %%", percent);
  }

  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  unsigned shown_ = nothing;
};

/// Prints the machine and starts nothing.
int describe(Xv2::Config const& config, xv2::Options const& options) {
  std::string_view const format = options.describe;
  const auto placement = plan(config, options);
  if (!placement) return fail(placement.error());
  axvm::Description machine = Xv2::description(config);
  machine.placement = placement->get();
  const std::string out = format == "json"  ? axvm::describe_json(machine)
                          : format == "svg" ? axvm::describe_svg(machine)
                                            : axvm::describe_text(machine);
  return print(out) ? 0 : 1;
}

/// Prints how this host fits the machine's profile.
int check_host() {
  const axvm::HostReport report = Xv2::host_report();
  if (!print(axvm::describe_host(report))) return 1;
  return report.fits() ? 0 : host_misfit;
}

/// Writes what the devices of a machine that has run are left with.
axvm::Result<> save_state(Xv2& machine, xv2::StateFile const& file) {
  auto states = axvm::save_states(machine);
  if (!states) return std::unexpected(states.error());
  return file.write(axvm::write_toml(states->settings(), "The state of a machine's devices when its run had ended."));
}

/// Says how often the guest had to leave for the registers of its disks.
void tell_exits(Xv2& machine, Xv2::Config const& config) {
  const axvm::Description description = Xv2::description(config);
  machine.for_each_device([&]<std::size_t I>(auto& device) {
    if constexpr (requires { device.counters.transport.exits; }) {
      const auto exits = device.counters.transport.exits.value(), requests = device.counters.transport.requests.value();
      char rate[32];
      std::snprintf(rate, sizeof rate, "%.2f",
                    requests != 0 ? static_cast<double>(exits) / static_cast<double>(requests) : 0.0);
      say(axvm::Severity::Info, axvm::text<255>(description.devices[I].name, ": ", requests, " requests, ", exits,
                                                " exits for its registers, ", std::string_view(rate), " a request"));
    }
  });
}

int run(Xv2::Config& config, xv2::Options const& options) {
  if (!options.hidden_disk.empty())
    say(axvm::Severity::Warning, axvm::text<255>("pci=off on the kernel's command line hides ", options.hidden_disk,
                                                 " from the guest; leave it out of --cmdline and --append"));
  std::optional<xv2::StateFile> state_file;
  if (!options.save_state.empty()) {
    auto opened = xv2::StateFile::open(options.save_state);
    if (!opened) return fail(opened.error());
    state_file.emplace(std::move(*opened));
  }
  EndSignals signals;
  ::signal(SIGPIPE, SIG_IGN);  // a console that nobody reads any more is not the guest's end

  axvm::SystemHost host;
  auto log = [](void* verbose, axvm::Severity severity, std::string_view message) {
    if (severity != axvm::Severity::Info || *static_cast<unsigned const*>(verbose) > 0) say(severity, message);
  };
  unsigned verbose = options.verbose;
  auto placement = plan(config, options);
  if (!placement) return fail(placement.error());
  if (*placement)
    for (auto const& warning : (*placement)->warnings) say(axvm::Severity::Warning, warning);
  if (config.cpu_use == axvm::CpuUse::dedicated && (!*placement || !(*placement)->pinned())) {
    say(axvm::Severity::Warning, "--cpu-use=dedicated needs a host CPU for every virtual CPU: they share CPUs instead");
    config.cpu_use = axvm::CpuUse::shared;
  }
  const axvm::Path cache = axvm::kernel_cache_directory();
  auto linux_boot =
      axvm::LinuxBoot::open({.kernel = options.guest.kernel,
                             .initrd = options.guest.initrd,
                             .cmdline = std::string(options.cmdline),
                             .unpack = options.guest.unpack && !cache.empty() ? axvm::unpack_kernel : nullptr,
                             .cache = cache});
  auto machine = Xv2::create(config, host, {&verbose, log});
  // A wrong kernel and a wrong disk are mended together.
  int wrong = 0;
  if (!linux_boot) wrong = fail(linux_boot.error());
  if (!machine) wrong = fail(machine.error());
  if (wrong != 0) return wrong;
  if (*placement)
    if (auto placed = machine->place(**placement); !placed) return fail(placed.error());
  placement->reset();  // the machine has its own, and this one is large
  PrefaultMeter meter;
  machine->watch_prefault(meter.progress());
  signals.watch(*machine);
  const auto loaded = machine->load(std::move(*linux_boot));
  meter.clear();
  if (!loaded) {
    signals.unwatch();
    return fail(loaded.error());
  }

  // Where nobody reads the keys, they stay the terminal's: Ctrl-C then ends the monitor.
  std::optional<axvm::RawTerminal> terminal;
  if (config.of<axvm::Uart8250>().enabled || config.of<axvm::VirtioConsole>().port == "stdio")
    terminal.emplace(STDIN_FILENO);
  if (axvm::RawTerminal::active())
    host.console.on_leave = {&*machine, [](void* self) { static_cast<Xv2*>(self)->stop(); }};
  ::malloc_trim(0);  // what settings and files took for a moment need not stay for as long as the guest runs
  const auto end = machine->run();
  signals.unwatch();
  terminal.reset();
  if (verbose > 0) tell_exits(*machine, config);
  // Of a run that failed, too: it may show why.
  const axvm::Result<> saved = state_file ? save_state(*machine, *state_file) : axvm::Result<>{};
  const int status = saved ? 0 : fail(saved.error());
  if (!end) return fail(end.error());
  if (status != 0) return status;
  return signals.forced() != 0 ? 128 + signals.forced() : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Xv2::Config config;
  const auto parsed = xv2::parse_options(argc, argv, axvm::machine_settings<Xv2>(config));
  if (int const* status = std::get_if<int>(&parsed)) return *status;
  xv2::Options const& options = std::get<xv2::Options>(parsed);
  if (options.check_host) return check_host();
  return options.describe.empty() ? run(config, options) : describe(config, options);
}
