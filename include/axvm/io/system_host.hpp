#pragma once

#include <unistd.h>

#include <axvm/device/host.hpp>
#include <axvm/io/console.hpp>
#include <axvm/io/system_part.hpp>

namespace axvm::inline v1 {

/// The system this program runs on, as devices see it: its standard input and output as console and, as far as their
/// headers are included, its files as disks, its pseudo-terminals, sockets and TAP interfaces, its random numbers.
class SystemHost {
 public:
  SystemHost() = default;
  SystemHost(SystemHost const&) = delete;
  SystemHost& operator=(SystemHost const&) = delete;

  Console console{STDIN_FILENO, STDOUT_FILENO};

  /// A small value with these parts of the system; this object must outlive it.
  template <HostPart... Parts>
  [[nodiscard]] Host host() {
    return host_with<host_parts<Parts...>>();
  }
  template <HostParts Parts>
  [[nodiscard]] Host host_with() {
    return {this, &operations<Parts>};
  }

 private:
  template <HostPart Part, HostParts Parts>
  static constexpr void add(Host::Operations& to) {
    if constexpr (Parts.has(Part)) SystemPart<Part>::add(to);
  }
  template <HostParts Parts>
  static constexpr Host::Operations operations = [] {
    Host::Operations made{};
    add<HostPart::Console, Parts>(made);
    add<HostPart::Images, Parts>(made);
    add<HostPart::Entropy, Parts>(made);
    add<HostPart::Characters, Parts>(made);
    add<HostPart::Streams, Parts>(made);
    add<HostPart::Frames, Parts>(made);
    return made;
  }();
};

template <>
struct SystemPart<HostPart::Console> {
  static constexpr void add(Host::Operations& to) {
    to.console = [](void* self) -> Result<CharacterPort> { return static_cast<SystemHost*>(self)->console.port(); };
  }
};

}  // namespace axvm::inline v1
