#include "options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <limits>
#include <optional>

#include <axvm/host/linux_boot.hpp>

namespace xv2 {
namespace {

constexpr int usage_error = 2;

/// "512M" as bytes: a number with an optional K, M, G or T (powers of 1024; M where nothing is said). Nothing on error.
std::optional<std::uint64_t> parse_size(std::string const& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || end - rest > 1) return std::nullopt;
  constexpr std::string_view units = "KMGT";
  const std::size_t unit = rest == end ? 1 : units.find(static_cast<char>(std::toupper(*rest)));
  if (unit == std::string_view::npos) return std::nullopt;
  const unsigned shift = 10 * static_cast<unsigned>(unit + 1);
  if (number > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
  return number << shift;
}

Disk parse_disk(std::string text) {
  constexpr std::string_view suffix = ",ro";
  const bool read_only = text.ends_with(suffix);
  if (read_only) text.resize(text.size() - suffix.size());
  return {std::move(text), read_only};
}

}  // namespace

std::variant<Options, int> parse_options(int argc, char** argv) {
  CLI::App app{"Boots Linux on the Xv2 machine: a Xeon E5-2680 v2, a serial console, virtio disks.", "xv2_vmm"};
  app.set_version_flag("--version", std::string("xv2_vmm ") + AXVM_VERSION);
  app.get_formatter()->column_width(34);

  Options options;
  std::vector<std::string> disks;
  std::string memory = "512M", cmdline{axvm::default_linux_cmdline}, append, host_check = "strict";
  options.vcpus = 1;
  bool no_reboot = false;

  app.add_option("--kernel", options.kernel, "Linux kernel to boot (bzImage)")->required()->type_name("FILE");
  app.add_option("--initrd", options.initrd, "initial RAM disk")->type_name("FILE");
  app.add_option("--disk", disks, "raw disk image or block device; PATH,ro attaches it read-only; repeat for more")
      ->type_name("PATH[,ro]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--memory", memory, "guest memory: a number with K, M, G or T (M if none)")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_option("--vcpus", options.vcpus, "virtual CPUs, 1 to 20")->type_name("N")->capture_default_str();
  app.add_option("--cmdline", cmdline, "kernel command line, in place of the default")
      ->type_name("TEXT")
      ->capture_default_str();
  app.add_option("--append", append, "added to the kernel command line")->type_name("TEXT");
  app.add_option("--host-check", host_check,
                 "what to do on a host that is no Ivy Bridge-EP: strict refuses (exit status 3), warn goes on")
      ->check(CLI::IsMember({"strict", "warn"}))
      ->type_name("strict|warn")
      ->capture_default_str();
  app.add_flag("--no-reboot", no_reboot, "end when the guest reboots, instead of starting it again");
  app.add_flag("-v,--verbose", options.verbose, "say more on standard error; repeat for still more");
  app.footer(
      "On a terminal all keys go to the guest; Ctrl-A X leaves, Ctrl-A Ctrl-A sends one Ctrl-A.\n"
      "SIGTERM or SIGINT asks the guest to power off, a second one stops it.\n"
      "Exit status: 0 the guest powered off or the user left, 1 error, 2 wrong usage, 3 the host does not fit.");

  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    return app.exit(error) == 0 ? 0 : usage_error;
  }

  auto reject = [](std::string const& message) {
    std::cerr << "xv2_vmm: " << message << "\nRun with --help for more information.\n";
    return usage_error;
  };
  const auto size = parse_size(memory);
  if (!size) return reject("--memory: '" + memory + "' is not a size; write for example 512M or 4G");
  if (disks.size() > max_disks)
    return reject("--disk: " + std::to_string(disks.size()) + " disks given, the machine takes at most " +
                  std::to_string(max_disks));
  options.memory = *size;
  for (std::string& disk : disks) options.disks.push_back(parse_disk(std::move(disk)));
  options.cmdline = append.empty() ? cmdline : cmdline + " " + append;
  options.host_check = host_check == "warn" ? axvm::HostCheck::warn : axvm::HostCheck::strict;
  options.reboot = !no_reboot;
  return options;
}

}  // namespace xv2
