// The guest's process 1 in bench/network: sends datagrams, moves bytes over TCP either way, and waits for answers to
// short messages, with the host at the other end (net_peer.cpp). Statically linked.
//
// Before each part it says so and waits for a byte on the console, afterwards it writes how many nanoseconds it took
// and how many interrupts of virtio devices there were. From the kernel's command line:
//   AXVM_PARTS=PART,PART   datagrams:N:COUNT  N senders of so many datagrams of 64 bytes each, until all have left
//                          out:N:COUNT        N connections to which so many MiB go each, until all have arrived
//                          in:N:COUNT         likewise from the host
//                          echo:1:COUNT       so many messages of 64 bytes, each after the answer to the one before
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "clock.hpp"
#include "guest_console.hpp"
#include "guest_modules.hpp"
#include "net_addresses.hpp"

namespace {

constexpr std::size_t piece = 64 * 1024, message = 64;
constexpr std::uint64_t MiB = 1 << 20;

/// A socket, closed with this.
class Socket {
 public:
  explicit Socket(int type) : socket_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    if (socket_ < 0) fail("socket");
  }
  Socket(int type, std::uint16_t port) : Socket(type) {
    const sockaddr_in host = net::address(net::host, port);
    if (connect(socket_, reinterpret_cast<sockaddr const*>(&host), sizeof host) != 0) fail("connect");
  }
  ~Socket() { close(socket_); }
  Socket(Socket const&) = delete;
  Socket& operator=(Socket const&) = delete;
  operator int() const { return socket_; }

 private:
  int socket_;
};

/// Gives the interface its address and sets it up, once it is there: modules find their devices in their own time.
void set_up(char const* name) {
  const Socket control(SOCK_DGRAM);
  ifreq request{};
  std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  auto ask = [&](unsigned long what) { return ioctl(control, what, &request) == 0; };
  auto set_address = [&](unsigned long what, std::uint32_t address) {
    const sockaddr_in made = net::address(address, 0);
    std::memcpy(&request.ifr_addr, &made, sizeof made);
    return ask(what);
  };
  for (int tries = 0; tries < 1000 && !ask(SIOCGIFINDEX); ++tries) usleep(10'000);
  if (!set_address(SIOCSIFADDR, net::guest) || !set_address(SIOCSIFNETMASK, net::mask) || !ask(SIOCGIFFLAGS))
    fail(name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
  if (!ask(SIOCSIFFLAGS)) fail(name);
}

/// Those of all virtio devices, on all processors.
std::uint64_t interrupts() {
  std::ifstream file("/proc/interrupts");
  std::uint64_t all = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.find("virtio") == std::string::npos) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::uint64_t count = 0; words >> count;) all += count;
  }
  return all;
}

void send_all(int socket, char const* bytes, std::size_t size) {
  for (std::size_t done = 0; done != size;) {
    const ssize_t sent = send(socket, bytes + done, size - done, 0);
    if (sent <= 0) fail("send");
    done += static_cast<std::size_t>(sent);
  }
}

void datagrams(unsigned sender, std::uint64_t count) {
  const Socket socket(SOCK_DGRAM, static_cast<std::uint16_t>(net::datagrams + sender));
  const std::array<char, message> content{};
  for (std::uint64_t i = 0; i < count;) {
    if (send(socket, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size())) ++i;
    else if (errno != ENOBUFS) fail("send");
  }
  int waiting = 1;
  while (ioctl(socket, SIOCOUTQ, &waiting) == 0 && waiting > 0) usleep(100);
}

void out(unsigned, std::uint64_t count) {
  const Socket socket(SOCK_STREAM, net::swallow);
  const std::vector<char> content(piece);
  for (std::uint64_t left = count * MiB; left != 0; left -= piece) send_all(socket, content.data(), content.size());
  shutdown(socket, SHUT_WR);
  char answer = 0;
  if (recv(socket, &answer, 1, 0) != 1) fail("the peer's answer");
}

void in(unsigned, std::uint64_t count) {
  const Socket socket(SOCK_STREAM, net::give);
  std::uint64_t left = count * MiB;
  send_all(socket, reinterpret_cast<char const*>(&left), sizeof left);
  std::vector<char> content(piece);
  for (ssize_t got = 0; left != 0; left -= static_cast<std::uint64_t>(got))
    if ((got = recv(socket, content.data(), content.size(), 0)) <= 0) fail("receive");
}

void echo(unsigned, std::uint64_t count) {
  const Socket socket(SOCK_STREAM, net::echo);
  const int yes = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  std::array<char, message> content{};
  for (std::uint64_t i = 0; i < count; ++i) {
    send_all(socket, content.data(), content.size());
    if (recv(socket, content.data(), content.size(), MSG_WAITALL) != static_cast<ssize_t>(content.size())) fail("echo");
  }
}

/// So many threads that do this at once, each on a processor of its own, as far as there are enough.
void together(void (*work)(unsigned, std::uint64_t), unsigned threads, std::uint64_t count) {
  std::vector<std::jthread> started;
  for (unsigned i = 0; i < threads; ++i)
    started.emplace_back([=] {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(i % static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN)), &one);
      sched_setaffinity(0, sizeof one, &one);
      work(i, count);
    });
}

const std::map<std::string, void (*)(unsigned, std::uint64_t)> kinds{
    {"datagrams", datagrams}, {"out", out}, {"in", in}, {"echo", echo}};

void measure(std::string const& part) {
  char kind[16] = "";
  unsigned threads = 0;
  unsigned long long count = 0;
  if (std::sscanf(part.c_str(), "%15[a-z]:%u:%llu", kind, &threads, &count) != 3 || threads < 1 ||
      threads > net::most_senders || !kinds.contains(kind))
    fail("AXVM_PARTS");
  std::printf("axvm: ready %s\n", part.c_str());
  wait_for_a_byte();
  const std::uint64_t interrupts_before = interrupts(), begin = now();
  together(kinds.at(kind), threads, count);
  const std::uint64_t end = now();
  std::printf("axvm: did %llu %llu\n", static_cast<unsigned long long>(end - begin),
              static_cast<unsigned long long>(interrupts() - interrupts_before));
}

}  // namespace

int main() {
  prepare_console();
  mkdir("/proc", 0755);
  mount("proc", "/proc", "proc", 0, nullptr);
  load_modules();
  set_up("eth0");
  std::istringstream parts(std::getenv("AXVM_PARTS") != nullptr ? std::getenv("AXVM_PARTS") : "");
  for (std::string part; std::getline(parts, part, ',');) measure(part);
  std::printf("axvm: end\n");
  for (;;) pause();
}
