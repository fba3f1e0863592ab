#pragma once

#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/io/pseudo_terminal.hpp>
#include <axvm/io/socket_console.hpp>
#include <axvm/io/system_host.hpp>

namespace axvm::inline v1 {

/// Connects a console to what `where` names: stdio, pty:PATH or unix:PATH.
[[nodiscard, gnu::cold, AXVM_ONCE]] inline Result<CharacterConnection> connect_characters(SystemHost& host,
                                                                                          Path const& where) {
  const std::string_view form = where;
  if (form == "stdio") return host.console.connect();
  if (form.starts_with("pty:")) return PseudoTerminal::open(form.substr(4));
  if (form.starts_with("unix:")) return SocketConsole::open(form.substr(5));
  return failure(ErrorCode::InvalidArgument, text<1023>("connect a console to ", where),
                 "write stdio, pty:PATH or unix:PATH");
}

template <>
struct SystemPart<HostPart::Characters> {
  static constexpr void add(Host::Operations& to) {
    to.characters = [](void* self, Path const& where) {
      return connect_characters(*static_cast<SystemHost*>(self), where);
    };
  }
};

}  // namespace axvm::inline v1
