#include "options.hpp"

#include <iostream>
#include <sstream>
#include <vector>

#include <axvm/bind/cli11_source.hpp>
#include <axvm/bind/toml_source.hpp>
#include <axvm/core/settings.hpp>
#include <axvm/host/describe_error.hpp>
#include <axvm/placement/options.hpp>

namespace xv2 {
namespace {

constexpr int usage_error = 2;

using Errors = std::vector<axvm::Error>;

/// An option that is repeated, each time for the next of the machine's devices of one kind.
struct DeviceOption {
  std::string_view flag;    ///< "--disk"
  std::string_view device;  ///< what the settings of these devices begin with: "blk"
  std::string_view key;     ///< the setting that each needs: "path"
  std::string_view noun;    ///< one device, for a person
  std::string_view what;    ///< what the setting is, for a person
  std::string_view hint;    ///< how the option is written; may be empty
};

/// Has `read(text, set, report)` make settings of each text given: `set(key, value)` sets one of the device whose turn
/// it is, `report(what...)` tells what is wrong.
void attach(DeviceOption const& option, std::vector<std::string> const& given, std::span<const axvm::Setting> settings,
            axvm::SettingFlags const& flags, Errors& errors, auto const& read) {
  auto report = [&](auto const&... what) {
    errors.push_back({.operation = axvm::text<1023>(option.flag, ": ", what...), .hint = option.hint});
  };
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string prefix = std::string(option.device).append(std::to_string(i)).append(".");
    auto find = [&](std::string_view key) { return axvm::find_setting(settings, prefix + std::string(key)); };
    const auto* needed = find(option.key);
    if (needed == nullptr) return report(given.size(), " ", option.noun, "s given, the machine takes at most ", i);
    if (flags.given(needed->name))
      report("is ", option.noun, " ", i, ", to which ", axvm::flag_of(needed->name), " gives ", option.what, ", too");
    auto set = [&](std::string_view key, std::string_view value) {
      if (auto done = find(key)->set(value); !done) report(done.error().operation);
    };
    read(given[i], set, report);
  }
}

/// "PATH" or "PATH,ro".
void attach_disks(DeviceOption const& option, std::vector<std::string> const& disks,
                  std::span<const axvm::Setting> settings, axvm::SettingFlags const& flags, Errors& errors) {
  attach(option, disks, settings, flags, errors, [](std::string_view disk, auto const& set, auto const& report) {
    const bool read_only = disk.ends_with(",ro");
    if (read_only) disk.remove_suffix(3);
    if (disk.empty()) report("needs a path");
    set("path", disk);
    set("read_only", read_only ? "true" : "false");
  });
}

/// "tap=NAME" or "tap=NAME,mac=ADDRESS".
void attach_networks(std::vector<std::string> const& networks, std::span<const axvm::Setting> settings,
                     axvm::SettingFlags const& flags, Errors& errors) {
  constexpr DeviceOption option{"--net", "net", "tap", "interface", "a TAP", "write tap=NAME or tap=NAME,mac=ADDRESS"};
  attach(option, networks, settings, flags, errors,
         [](std::string const& network, auto const& set, auto const& report) {
           bool named = false;
           std::istringstream parts(network);
           for (std::string part; std::getline(parts, part, ',');) {
             const std::string key = part.substr(0, part.find('='));
             if ((key != "tap" && key != "mac") || part.size() <= key.size() + 1) {
               report("does not know ", part);
               continue;
             }
             named = named || key == "tap";
             set(key, part.substr(key.size() + 1));
           }
           if (!named) report("needs a TAP");
         });
}

/// The first PCI disk that there is, such as "blkpci0"; empty: none.
std::string pci_disk(std::span<const axvm::Setting> settings) {
  for (axvm::Setting const& setting : settings) {
    const std::string_view name = setting.name;
    if (name.starts_with("blkpci") && name.ends_with(".path") && !setting.text().empty())
      return std::string(name.substr(0, name.find('.')));
  }
  return {};
}

/// Whether a kernel with this command line looks for no PCI bus: "pci=off", "pci=nocrs,off".
bool turns_pci_off(std::string_view cmdline) {
  std::istringstream words{std::string(cmdline)};
  for (std::string word; words >> word;) {
    if (!word.starts_with("pci=")) continue;
    std::istringstream options(word.substr(4));
    for (std::string option; std::getline(options, option, ',');)
      if (option == "off") return true;
  }
  return false;
}

int reject(Errors const& errors) {
  for (axvm::Error const& error : errors) std::cerr << "xv2_vmm: error: " << axvm::describe(error) << "\n";
  std::cerr << "Run with --help for more information.\n";
  return usage_error;
}

}  // namespace

std::variant<Options, int> parse_options(int argc, char** argv, std::span<const axvm::Setting> machine) {
  Options options;
  const auto guest = axvm::settings_of(options.guest);
  const auto placement = axvm::settings_of(options.placement);
  std::vector<axvm::Setting> settings(guest.begin(), guest.end());
  settings.insert(settings.end(), placement.begin(), placement.end());
  settings.insert(settings.end(), machine.begin(), machine.end());

  CLI::App app{"Boots Linux on the Xv2 machine: a Xeon E5-2680 v2, a serial console, virtio disks.", "xv2_vmm"};
  app.set_version_flag("--version", std::string("xv2_vmm ") + AXVM_VERSION, "print the version and exit");
  std::string file;
  std::vector<std::string> disks, pci_disks, networks;
  bool write_config = false;
  app.add_option("--config", file, "machine file to start from; what is given here overrides it")
      ->type_name("FILE")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--describe", options.describe, "print the machine with these settings and exit (text if none)")
      ->option_text("[=text|json|svg]")
      ->expected(0, 1)
      ->default_str("text")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->check(CLI::IsMember({"text", "json", "svg"}));
  app.add_flag("--check-host", options.check_host, "print what the profile asks of this host and what was found; exit");
  app.add_flag("--write-config", write_config, "print a machine file of all settings as they are now and exit");
  app.add_option("--save-state", options.save_state,
                 "when the run has ended, write the state of all devices to this file")
      ->type_name("FILE")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--disk", disks, "fill blk0, blk1, ... in order; PATH,ro attaches it read-only; repeat for more")
      ->type_name("PATH[,ro]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option(
         "--pci-disk", pci_disks,
         "fill blkpci0, blkpci1, ... in order, as --disk does: fewer exits a request, more when the guest starts")
      ->type_name("PATH[,ro]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--net", networks,
                 "fill net0, net1 in order: a TAP interface of the host and the guest's address there")
      ->type_name("tap=NAME[,mac=ADDRESS]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("-v,--verbose", options.verbose, "say more on standard error; repeat for still more");
  app.footer(
      "On a terminal all keys go to the guest; Ctrl-A X leaves, Ctrl-A Ctrl-A sends one Ctrl-A.\n"
      "SIGTERM or SIGINT asks the guest to power off, a second one stops it. SIGUSR2: a disk image has another size.\n"
      "Exit status: 0 the guest powered off or the user left, 1 error, 2 wrong usage, 3 the host does not fit.");
  axvm::SettingFlags flags(app, settings);

  Errors errors;
  try {
    flags.parse({argv + (argc > 0 ? 1 : 0), argv + argc}, errors);
  } catch (CLI::Success const& done) {
    return app.exit(done);
  }
  Errors in_file;
  if (!file.empty()) in_file = axvm::read_toml(file, settings);
  errors.insert(errors.end(), in_file.begin(), in_file.end());
  attach_disks({"--disk", "blk", "path", "disk", "a file", ""}, disks, settings, flags, errors);
  attach_disks({"--pci-disk", "blkpci", "path", "PCI disk", "a file", ""}, pci_disks, settings, flags, errors);
  attach_networks(networks, settings, flags, errors);
  flags.apply(errors);
  const std::string disk = pci_disk(settings);
  // A machine file may have the default, too: --write-config puts it there.
  if (!disk.empty() && !flags.given("cmdline") && options.guest.cmdline == axvm::default_linux_cmdline)
    options.guest.cmdline = axvm::default_linux_cmdline_with_pci;
  const auto base = axvm::boot::join_command_line(options.guest.cmdline,
                                                  options.guest.quick_boot ? quick_boot_options : std::string_view{});
  const auto cmdline = base ? axvm::boot::join_command_line(*base, options.guest.append) : base;
  if (cmdline) options.cmdline = *cmdline;
  else errors.push_back(cmdline.error());
  if (auto pin = axvm::PinOption::parse(options.placement.pin); !pin) errors.push_back(pin.error());
  if (auto numa = axvm::NumaOption::parse(options.placement.numa); !numa) errors.push_back(numa.error());
  const bool boots = !write_config && !options.check_host && options.describe.empty();
  if (options.guest.kernel.empty() && boots && !flags.given("kernel") && in_file.empty())
    errors.push_back({.operation = "--kernel is missing", .hint = "name a bzImage, such as /boot/vmlinuz"});
  if (!errors.empty()) return reject(errors);
  if (turns_pci_off(options.cmdline)) options.hidden_disk = disk;
  if (!write_config) return options;
  std::cout << axvm::write_toml(settings,
                                "A machine of xv2_vmm. Start it with: xv2_vmm --config FILE\n"
                                "What is left out has its default; flags of the command line override the rest.");
  return std::cout.flush() ? 0 : 1;
}

}  // namespace xv2
