// The host's side of bench/network: takes what the guest sends, and sends what it asks for. Says "ready" once it can be
// connected to; ends with its standard input.
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "net_addresses.hpp"

namespace {

constexpr std::size_t piece = 256 * 1024;

int listening(std::uint16_t port, int type) {
  const int socket = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const sockaddr_in at = net::address(INADDR_ANY, port);
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(socket, reinterpret_cast<sockaddr const*>(&at), sizeof at) != 0 ||
      (type == SOCK_STREAM && listen(socket, 16) != 0)) {
    std::perror("net_peer: listen");
    std::exit(1);
  }
  return socket;
}

void swallow(int connection) {
  std::vector<char> room(piece);
  while (recv(connection, room.data(), room.size(), MSG_TRUNC) > 0) {
  }
  (void)send(connection, "", 1, MSG_NOSIGNAL);
}

void give(int connection) {
  const std::vector<char> zeros(piece);
  std::uint64_t left = 0;
  if (recv(connection, &left, sizeof left, MSG_WAITALL) != sizeof left) return;
  while (left != 0) {
    const ssize_t sent = send(connection, zeros.data(), left < piece ? left : piece, MSG_NOSIGNAL);
    if (sent <= 0) return;
    left -= static_cast<std::uint64_t>(sent);
  }
}

void echo(int connection) {
  const int yes = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  std::vector<char> room(piece);
  for (ssize_t got = 0; (got = recv(connection, room.data(), room.size(), 0)) > 0;)
    if (send(connection, room.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
}

/// Each connection has a thread of its own.
void serve(std::uint16_t port, void (*serve_one)(int)) {
  const int listener = listening(port, SOCK_STREAM);
  std::thread([listener, serve_one] {
    for (int connection = 0; (connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
      std::thread([connection, serve_one] {
        serve_one(connection);
        close(connection);
      }).detach();
  }).detach();
}

}  // namespace

int main() {
  for (std::uint16_t i = 0; i < net::most_senders; ++i)
    listening(static_cast<std::uint16_t>(net::datagrams + i), SOCK_DGRAM);
  serve(net::swallow, swallow);
  serve(net::give, give);
  serve(net::echo, echo);
  std::puts("ready");
  std::fflush(stdout);
  for (char byte = 0; read(STDIN_FILENO, &byte, 1) > 0;) {
  }
}
