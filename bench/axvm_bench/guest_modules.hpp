#pragma once

// The modules that a guest of a bench brings along: beside its process 1 the initrd has /modules/order, whose lines are
// the name of a file in /modules and what it is to be loaded with.
#include <fcntl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

/// Says what went wrong, by errno, and ends the guest.
[[noreturn]] inline void fail(std::string const& what) {
  std::perror(what.c_str());
  reboot(RB_POWER_OFF);
  std::abort();
}

/// Loads them all, in their order; ends the guest where one cannot be.
inline void load_modules() {
  std::ifstream order("/modules/order");
  for (std::string line; std::getline(order, line);) {
    const std::string name = line.substr(0, line.find(' '));
    const std::string parameters = line.size() > name.size() ? line.substr(name.size() + 1) : "";
    const int file = open(("/modules/" + name).c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0 || syscall(SYS_finit_module, file, parameters.c_str(), 0) != 0) fail("load " + name);
    close(file);
  }
}
