// A part of the floor in bench/virtio: what the kernel beneath a monitor takes for the least that a request of a guest
// needs. host_floor FILE COUNT prints, in nanoseconds each, how long it takes
//   pread      to read 4 KiB of the file, which is in the page cache, at random places
//   ping-pong  to wake another thread with an eventfd and to be woken by it in turn
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "clock.hpp"

namespace {

constexpr std::uint64_t block = 4096;

[[noreturn]] void fail(char const* what) {
  std::perror(what);
  std::exit(1);
}

void print(char const* what, std::uint64_t begin, std::uint64_t count) {
  std::printf("%s %.1f\n", what, static_cast<double>(now() - begin) / static_cast<double>(count));
}

struct Table {
  int there = eventfd(0, EFD_CLOEXEC), back = eventfd(0, EFD_CLOEXEC);
  std::uint64_t count = 0;
};

void hit(int event) {
  const std::uint64_t one = 1;
  if (write(event, &one, sizeof one) != sizeof one) fail("write");
}
void await(int event) {
  std::uint64_t value = 0;
  if (read(event, &value, sizeof value) != sizeof value) fail("read");
}

void* other_side(void* argument) {
  Table const& table = *static_cast<Table*>(argument);
  for (std::uint64_t i = 0; i < table.count; ++i) {
    await(table.there);
    hit(table.back);
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::uint64_t count = std::strtoull(argv[2], nullptr, 10);
  const int file = open(argv[1], O_RDONLY | O_CLOEXEC);
  struct stat status{};
  if (file < 0 || fstat(file, &status) != 0) fail(argv[1]);
  const std::uint64_t blocks = static_cast<std::uint64_t>(status.st_size) / block;
  static char memory[block];
  std::uint64_t random = 88172645463325252;
  std::uint64_t begin = 0;
  for (std::uint64_t i = 0; i < blocks + count; ++i) {  // once through the file first
    if (i == blocks) begin = now();
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const std::uint64_t place = i < blocks ? i : random % blocks;
    if (pread(file, memory, block, static_cast<off_t>(place * block)) != static_cast<ssize_t>(block)) fail("pread");
  }
  print("pread", begin, count);

  Table table{.count = count};
  pthread_t thread{};
  if (pthread_create(&thread, nullptr, other_side, &table) != 0) fail("pthread_create");
  begin = now();
  for (std::uint64_t i = 0; i < count; ++i) {
    hit(table.there);
    await(table.back);
  }
  print("ping-pong", begin, count);
  pthread_join(thread, nullptr);
  return 0;
}
