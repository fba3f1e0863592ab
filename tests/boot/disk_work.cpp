// disk_work COMMAND DISK [NUMBER...]: what a guest does to a disk in the boot tests, and what is checked outside.
// Statically linked, because guests have busybox and nothing else.
//
//   verify DISK PROCESSES STEPS   each process writes to and reads back from its own part, in steps of 4 to 256 KiB at
//                                 random places, half of them past the guest's page cache, and holds what it reads
//                                 against what it wrote; flushes at random
//   sum DISK                      prints a checksum of the contents
//   fill DISK                     writes until it fails or the end, then prints the error's number, or 0
//   discard DISK OFFSET SIZE      BLKDISCARD
//   zero DISK OFFSET SIZE         BLKZEROOUT
//   number DISK                   writes blocks numbered from 1 on, at places of their own, flushes after every few,
//   and
//                                 then says up to which number all are "stable"; for ever
//   check DISK NUMBER             whether a disk holds all blocks up to this number, or later ones in their place
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint64_t block = 4096, largest = 64 * block;

[[noreturn]] void fail(char const* what) {
  std::printf("disk_work: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

int open_disk(char const* name, int flags) {
  const int disk = ::open(name, flags | O_CLOEXEC);
  if (disk < 0) fail(name);
  return disk;
}

std::uint64_t size_of(int disk) {
  const off_t size = ::lseek(disk, 0, SEEK_END);
  if (size < 0) fail("size");
  return static_cast<std::uint64_t>(size);
}

/// The 8 bytes at an offset that was written as the `generation`-th.
std::uint64_t word(std::uint64_t offset, std::uint32_t generation) {
  std::uint64_t value = (offset + 1) * 0x9e37'79b9'7f4a'7c15 + generation * 0xbf58'476d'1ce4'e5b9;
  return value ^ value >> 29;
}

bool work(char const* name, unsigned index, unsigned processes, unsigned steps) {
  const int cached = open_disk(name, O_RDWR), direct = open_disk(name, O_RDWR | O_DIRECT);
  const std::uint64_t blocks = size_of(cached) / block / processes, first = blocks * index;
  std::vector<std::uint32_t> generations(blocks);
  auto* const buffer = static_cast<std::uint64_t*>(std::aligned_alloc(block, largest));
  std::mt19937_64 random(index);
  for (unsigned step = 1; step <= steps; ++step) {
    const std::uint64_t count = random() % (largest / block) + 1, at = random() % (blocks - count);
    const int disk = at / (blocks / 2) == 0 ? direct : cached;  // no block both ways
    const auto place = static_cast<off_t>((first + at) * block);
    if ((at < blocks / 2) != (at + count <= blocks / 2)) continue;
    if (random() % 2 == 0) {
      for (std::uint64_t i = 0; i < count * block / 8; ++i)
        buffer[i] = word(static_cast<std::uint64_t>(place) + 8 * i, step);
      if (::pwrite(disk, buffer, count * block, place) != static_cast<ssize_t>(count * block)) fail("write");
      for (std::uint64_t i = 0; i < count; ++i) generations[at + i] = step;
    } else {
      if (::pread(disk, buffer, count * block, place) != static_cast<ssize_t>(count * block)) fail("read");
      for (std::uint64_t i = 0; i < count * block / 8; ++i) {
        const std::uint32_t generation = generations[at + i * 8 / block];
        if (generation != 0 && buffer[i] != word(static_cast<std::uint64_t>(place) + 8 * i, generation)) {
          std::printf("disk_work: process %u, step %u: wrong at %llu\n", index, step,
                      static_cast<unsigned long long>(place) + 8 * i);
          return false;
        }
      }
    }
    if (random() % 32 == 0 && ::fdatasync(cached) != 0) fail("flush");
  }
  return ::fsync(cached) == 0;
}

int verify(char const* name, unsigned processes, unsigned steps) {
  for (unsigned i = 0; i < processes; ++i)
    if (::fork() == 0) ::_exit(work(name, i, processes, steps) ? 0 : 1);
  int bad = 0, status = 0;
  while (::wait(&status) > 0) bad += status != 0;
  std::printf("%d of %u went wrong\n", bad, processes);
  return bad == 0 ? 0 : 1;
}

int sum(char const* name) {
  const int disk = open_disk(name, O_RDONLY);
  std::vector<std::uint64_t> buffer(largest / 8);
  std::uint64_t value = 0xcbf2'9ce4'8422'2325;
  for (ssize_t got = 0; (got = ::read(disk, buffer.data(), largest)) != 0;) {
    if (got < 0) fail("read");
    for (std::size_t i = 0; i < static_cast<std::size_t>(got) / 8; ++i) value = (value ^ buffer[i]) * 0x100'0000'01b3;
  }
  std::printf("sum %016llx\n", static_cast<unsigned long long>(value));
  return 0;
}

int fill(char const* name) {
  const int disk = open_disk(name, O_RDWR | O_DIRECT);
  auto* const buffer = static_cast<std::uint64_t*>(std::aligned_alloc(block, largest));
  std::memset(buffer, 'f', largest);
  int error = 0;
  for (std::uint64_t at = 0, size = size_of(disk); error == 0 && at + largest <= size; at += largest) {
    if (::pwrite(disk, buffer, largest, static_cast<off_t>(at)) < 0) error = errno;
    if (error == 0 && ::fdatasync(disk) != 0) error = errno;
  }
  std::printf("filled until %d\n", error);
  return 0;
}

/// Where the block with a number goes: the places of so many in a row are all different.
std::uint64_t place_of(std::uint64_t number, std::uint64_t blocks) { return number * 7919 % blocks; }

int number(char const* name) {
  const int disk = open_disk(name, O_RDWR | O_DIRECT);
  const std::uint64_t blocks = size_of(disk) / block;
  auto* const buffer = static_cast<std::uint64_t*>(std::aligned_alloc(block, block));
  for (std::uint64_t number = 1;; ++number) {
    std::fill_n(buffer, block / 8, number);
    const auto place = static_cast<off_t>(place_of(number, blocks) * block);
    if (::pwrite(disk, buffer, block, place) != static_cast<ssize_t>(block)) fail("write");
    if (number % 8 != 0) continue;
    if (::fdatasync(disk) != 0) fail("flush");
    std::printf("stable %llu\n", static_cast<unsigned long long>(number));
    std::fflush(stdout);
  }
}

int check(char const* name, std::uint64_t last) {
  const int disk = open_disk(name, O_RDONLY);
  const std::uint64_t blocks = size_of(disk) / block;
  std::vector<std::uint64_t> buffer(block / 8);
  std::uint64_t lost = 0;
  for (std::uint64_t number = last < blocks ? 1 : last - blocks + 1; number <= last; ++number) {
    const auto place = static_cast<off_t>(place_of(number, blocks) * block);
    if (::pread(disk, buffer.data(), block, place) != static_cast<ssize_t>(block)) fail("read");
    bool whole = true;
    for (const std::uint64_t found : buffer) whole = whole && found >= number && (found - number) % blocks == 0;
    lost += whole ? 0 : 1;
  }
  std::printf("lost %llu of %llu\n", static_cast<unsigned long long>(lost), static_cast<unsigned long long>(last));
  return lost == 0 ? 0 : 1;
}

int range(char const* name, unsigned long request, char const* offset, char const* size) {
  const std::uint64_t where[] = {std::strtoull(offset, nullptr, 0), std::strtoull(size, nullptr, 0)};
  if (::ioctl(open_disk(name, O_RDWR), request, where) != 0) fail("ioctl");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view command = count > 2 ? arguments[1] : "";
  auto value = [&](int index) { return static_cast<unsigned>(std::strtoul(arguments[index], nullptr, 0)); };
  if (command == "verify" && count == 5) return verify(arguments[2], value(3), value(4));
  if (command == "sum") return sum(arguments[2]);
  if (command == "fill") return fill(arguments[2]);
  if (command == "number") return number(arguments[2]);
  if (command == "check" && count == 4) return check(arguments[2], std::strtoull(arguments[3], nullptr, 0));
  if (command == "discard" && count == 5) return range(arguments[2], BLKDISCARD, arguments[3], arguments[4]);
  if (command == "zero" && count == 5) return range(arguments[2], BLKZEROOUT, arguments[3], arguments[4]);
  std::puts("usage: see the source");
  return 2;
}
