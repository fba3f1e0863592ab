#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <axvm/compose/config.hpp>

namespace xv2 {

/// How many --disk options the machine has room for.
inline constexpr std::size_t max_disks = 8;

/// A disk as the command line names it: "PATH" or "PATH,ro".
struct Disk {
  std::string path;
  bool read_only = false;
};

/// What the command line asks for.
struct Options {
  std::string kernel, initrd;
  std::vector<Disk> disks;
  std::uint64_t memory = 0;  ///< bytes
  unsigned vcpus = 0;
  std::string cmdline;
  axvm::HostCheck host_check = axvm::HostCheck::strict;
  bool reboot = true;
  unsigned verbose = 0;
};

/// Reads the command line. An exit status instead of options means that everything was said (help, version, an error).
std::variant<Options, int> parse_options(int argc, char** argv);

}  // namespace xv2
