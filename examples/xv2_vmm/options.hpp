#pragma once

#include <span>
#include <string>
#include <variant>

#include <axvm/boot/cmdline.hpp>
#include <axvm/core/field.hpp>
#include <axvm/core/setting.hpp>
#include <axvm/host/linux_boot.hpp>

namespace xv2 {

/// What the machine boots: settings like the machine's own.
struct Guest {
  axvm::Path kernel;
  axvm::Path initrd;
  axvm::Text<axvm::max_setting_text> cmdline = axvm::default_linux_cmdline;
  axvm::Text<axvm::max_setting_text> append;
  bool unpack = true;
  bool quick_boot = false;

  static constexpr auto fields = axvm::fields(
      axvm::field<&Guest::kernel>{.help = "Linux kernel to boot (bzImage)", .unit = "file", .alias = 'k'},
      axvm::field<&Guest::initrd>{.help = "initial RAM disk", .unit = "file", .alias = 'i'},
      axvm::field<&Guest::cmdline>{.help = "kernel command line; a PCI disk takes pci=off out of the default"},
      axvm::field<&Guest::append>{.help = "added to the kernel command line", .alias = 'a'},
      axvm::field<&Guest::unpack>{.help = "unpack the kernel here, once, instead of in the guest each time"},
      axvm::field<&Guest::quick_boot>{.help = "add kernel options that skip self-tests for a quicker boot"});
};

/// What quick_boot adds to the kernel command line.
inline constexpr std::string_view quick_boot_options = "cryptomgr.notests";

/// Where the machine runs: settings like the machine's own.
struct Placement {
  axvm::Text<1023> pin = "auto";
  axvm::Text<1023> numa = "auto";

  static constexpr auto fields = axvm::fields(
      axvm::field<&Placement::pin>{.help = "host CPUs of virtual CPUs: auto, none, or a list such as 0-3,8"},
      axvm::field<&Placement::numa>{.help = "the guest's NUMA nodes: auto, off, or HOSTNODE:MEMORY:VCPUS,..."});
};

/// What the command line and the machine file ask for beside the machine's settings.
struct Options {
  Guest guest;
  Placement placement;
  axvm::boot::CommandLine cmdline;  ///< the whole kernel command line
  std::string hidden_disk;          ///< a PCI disk that a guest with this command line does not look for; empty: none
  unsigned verbose = 0;
  std::string save_state;   ///< write the devices' state to this file when the run has ended; empty: do not
  bool check_host = false;  ///< print how this host fits the machine's profile and end
  std::string describe;     ///< print the machine in this format ("text", "json", "svg") and end; empty: boot the guest
};

/// Reads the command line and the machine file it names into `machine`, the settings of a machine. An exit status
/// instead of options means that everything was said (help, version, the machine file, all errors).
std::variant<Options, int> parse_options(int argc, char** argv, std::span<const axvm::Setting> machine);

}  // namespace xv2
