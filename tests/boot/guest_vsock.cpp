// guest_vsock listen PORT: takes one connection and sends back what comes, until its end.
// guest_vsock connect PORT BYTES: connects to the host, sends so many bytes while it reads them back, ends its side,
// and compares. Exit status 0 if all were right; 2 when the connection was refused. For a guest: statically linked.

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

unsigned char pattern(unsigned long at) { return static_cast<unsigned char>(at * 7 + (at >> 8) * 13 + (at >> 16)); }

int fail(char const* what) {
  std::perror(what);
  return 1;
}

int echo(int connection) {
  static unsigned char bytes[65536];
  for (;;) {
    const ssize_t got = ::read(connection, bytes, sizeof bytes);
    if (got < 0) return fail("read");
    if (got == 0) return 0;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t part = ::write(connection, bytes + sent, static_cast<std::size_t>(got - sent));
      if (part < 0) return fail("write");
      sent += part;
    }
  }
}

int exchange(int connection, unsigned long total) {
  static unsigned char bytes[65536];
  unsigned long sent = 0, got = 0;
  while (got < total) {
    pollfd poll{connection, static_cast<short>(sent < total ? POLLIN | POLLOUT : POLLIN), 0};
    if (::poll(&poll, 1, 60'000) != 1) return fail("poll");
    if ((poll.revents & POLLOUT) != 0) {
      const unsigned long count = total - sent < sizeof bytes ? total - sent : sizeof bytes;
      for (unsigned long i = 0; i < count; ++i) bytes[i] = pattern(sent + i);
      const ssize_t part = ::send(connection, bytes, count, MSG_DONTWAIT);
      if (part > 0) sent += static_cast<unsigned long>(part);
      if (sent == total && ::shutdown(connection, SHUT_WR) != 0) return fail("shutdown");
    }
    if ((poll.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      const ssize_t part = ::recv(connection, bytes, sizeof bytes, MSG_DONTWAIT);
      if (part == 0 || (part < 0 && (poll.revents & POLLIN) != 0)) return fail("recv");
      for (ssize_t i = 0; i < part; ++i)
        if (bytes[i] != pattern(got++)) return fail("compare");
    }
  }
  unsigned char more;
  return ::read(connection, &more, 1) == 0 ? 0 : fail("the end");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  const int made = ::socket(AF_VSOCK, SOCK_STREAM, 0);
  if (made < 0) return fail("socket");
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_port = static_cast<unsigned>(std::atoi(argv[2]));
  if (std::strcmp(argv[1], "listen") == 0) {
    address.svm_cid = VMADDR_CID_ANY;
    if (::bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(made, 4) != 0)
      return fail("listen");
    const int connection = ::accept(made, nullptr, nullptr);
    return connection < 0 ? fail("accept") : echo(connection);
  }
  address.svm_cid = VMADDR_CID_HOST;
  if (::connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    return 2;
  }
  return argc > 3 ? exchange(made, std::strtoul(argv[3], nullptr, 10)) : 0;
}
