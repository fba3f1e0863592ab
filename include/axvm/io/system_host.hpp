#pragma once

#include <unistd.h>

#include <axvm/device/host.hpp>
#include <axvm/io/block_file.hpp>
#include <axvm/io/console.hpp>
#include <axvm/io/system_entropy.hpp>

namespace axvm::inline v1 {

/// The system this program runs on, as devices see it: its standard input and output as console, its files as disks,
/// its pseudo-terminals and sockets, its random numbers.
class SystemHost {
 public:
  SystemHost() = default;
  SystemHost(SystemHost const&) = delete;
  SystemHost& operator=(SystemHost const&) = delete;

  Console console{STDIN_FILENO, STDOUT_FILENO};

  /// A small value to hand to a machine; this object must outlive it.
  [[nodiscard]] Host host() { return {this, &operations}; }

 private:
  static const Host::Operations operations;
};

inline constexpr Host::Operations SystemHost::operations{
    .console = [](void* self) -> Result<CharacterPort> { return static_cast<SystemHost*>(self)->console.port(); },
    .image = [](void*, Path const& path, bool read_only) { return BlockFile::open(path, read_only); },
    .entropy = [](void*) { return system_entropy(); },
};

}  // namespace axvm::inline v1
