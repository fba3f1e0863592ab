#pragma once

#include <unistd.h>

#include <string_view>

#include <axvm/device/host.hpp>
#include <axvm/io/block_file.hpp>
#include <axvm/io/console.hpp>
#include <axvm/io/pseudo_terminal.hpp>
#include <axvm/io/socket_console.hpp>
#include <axvm/io/socket_hub.hpp>
#include <axvm/io/system_entropy.hpp>
#include <axvm/io/tap.hpp>

namespace axvm::inline v1 {

/// The system this program runs on, as devices see it: its standard input and output as console, its files as disks,
/// its pseudo-terminals, sockets and TAP interfaces, its random numbers.
class SystemHost {
 public:
  SystemHost() = default;
  SystemHost(SystemHost const&) = delete;
  SystemHost& operator=(SystemHost const&) = delete;

  Console console{STDIN_FILENO, STDOUT_FILENO};

  /// A small value to hand to a machine; this object must outlive it.
  [[nodiscard]] Host host() { return {this, &operations}; }

 private:
  Result<CharacterConnection> characters(Path const& where) {
    const std::string_view form = where;
    if (form == "stdio") return console.connect();
    if (form.starts_with("pty:")) return PseudoTerminal::open(form.substr(4));
    if (form.starts_with("unix:")) return SocketConsole::open(form.substr(5));
    return failure(ErrorCode::InvalidArgument, text<1023>("connect a console to ", where),
                   "write stdio, pty:PATH or unix:PATH");
  }

  static const Host::Operations operations;
};

inline constexpr Host::Operations SystemHost::operations{
    .console = [](void* self) -> Result<CharacterPort> { return static_cast<SystemHost*>(self)->console.port(); },
    .image = [](void*, Path const& path, ImageOptions const& options) { return BlockFile::open(path, options); },
    .entropy = [](void*) { return system_entropy(); },
    .characters = [](void* self, Path const& where) { return static_cast<SystemHost*>(self)->characters(where); },
    .streams = [](void*, Path const& path) { return SocketHub::open(path); },
    .frames = [](void*, std::string_view interface) { return Tap::open(interface); },
};

}  // namespace axvm::inline v1
