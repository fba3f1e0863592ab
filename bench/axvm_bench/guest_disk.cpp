// The guest's process 1 in bench/virtio: reads of a disk past the guest's page cache, first so many of 4 KiB at random
// places with so many of them under way at a time, then from the beginning to the end in large pieces. Statically
// linked.
//
// Before each part it says so and waits for a byte on the console, afterwards it writes what it took: so whoever
// measures has exact bounds. From the kernel's command line:
//   AXVM_PARTS=PART,PART   NAME:DEPTH:COUNT reads at random of /dev/NAME, NAME:0:COUNT so many reads in sequence,
//                          either with :SCHEDULER for the I/O scheduler of that name from then on; "empty" nothing,
//                          for what being measured costs itself
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "clock.hpp"
#include "guest_console.hpp"
#include "guest_modules.hpp"

namespace {

constexpr std::uint64_t block = 4096;
constexpr std::uint64_t large = 256 * 1024;
constexpr unsigned most = 64;

void set_scheduler(std::string const& disk, std::string const& scheduler) {
  std::ofstream file("/sys/block/" + disk + "/queue/scheduler");
  if (!(file << scheduler << std::flush)) fail("set the scheduler of " + disk + " to " + scheduler);
}

/// A disk, once it is there: modules find their devices in their own time.
class Disk {
 public:
  explicit Disk(std::string const& name) {
    const std::string path = "/dev/" + name;
    for (int tries = 0; tries < 1000 && (file_ = open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)) < 0; ++tries)
      usleep(10'000);
    std::uint64_t size = 0;
    if (file_ < 0 || ioctl(file_, BLKGETSIZE64, &size) != 0) fail(path);
    if (syscall(SYS_io_setup, most, &context_) != 0) fail("io_setup");
    blocks_ = size / block;
    if (name.starts_with("vd")) verify();
  }
  ~Disk() {
    syscall(SYS_io_destroy, context_);
    close(file_);
  }

  /// So many reads at random, `depth` of them at a time.
  void read_at_random(unsigned depth, std::uint64_t count) { depth == 1 ? one_by_one(count) : at_once(depth, count); }

  /// So many large reads from the beginning on, and from there again.
  void read_in_sequence(std::uint64_t count) {
    const std::uint64_t places = blocks_ * block / large;
    for (std::uint64_t i = 0; i < count; ++i)
      if (pread(file_, memory_, large, static_cast<off_t>(i % places * large)) != large) fail("read in sequence");
  }

 private:
  std::uint64_t place() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ % blocks_ * block;
  }

  /// Each block of the image begins with its own number.
  void verify() {
    for (int i = 0; i < 32; ++i) {
      const std::uint64_t at = place();
      if (pread(file_, memory_, block, static_cast<off_t>(at)) != block) fail("read");
      if (*reinterpret_cast<std::uint64_t*>(memory_) != at / block) fail("what was read is not what is there");
    }
  }

  void one_by_one(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
      if (pread(file_, memory_, block, static_cast<off_t>(place())) != block) fail("read at random");
  }

  void at_once(unsigned depth, std::uint64_t count) {
    std::array<iocb, most> requests{};
    std::array<iocb*, most> next{};
    std::array<io_event, most> ended{};
    if (depth > most) fail("too many at once");
    for (unsigned i = 0; i < depth; ++i) {
      requests[i].aio_data = i;
      requests[i].aio_fildes = static_cast<std::uint32_t>(file_);
      requests[i].aio_lio_opcode = IOCB_CMD_PREAD;
      requests[i].aio_buf = reinterpret_cast<std::uintptr_t>(memory_ + block * i);
      requests[i].aio_nbytes = block;
      requests[i].aio_offset = static_cast<std::int64_t>(place());
      next[i] = &requests[i];
    }
    long fresh = depth;
    for (std::uint64_t begun = depth, done = 0; done < count;) {
      if (fresh != 0 && syscall(SYS_io_submit, context_, fresh, next.data()) != fresh) fail("io_submit");
      const long found = syscall(SYS_io_getevents, context_, 1L, static_cast<long>(most), ended.data(), nullptr);
      if (found < 1) fail("io_getevents");
      fresh = 0;
      for (long i = 0; i < found; ++i, ++done) {
        if (ended[static_cast<std::size_t>(i)].res != static_cast<std::int64_t>(block)) fail("read at random");
        if (begun == count) continue;
        iocb& again = requests[ended[static_cast<std::size_t>(i)].data];
        again.aio_offset = static_cast<std::int64_t>(place());
        next[static_cast<std::size_t>(fresh++)] = &again;
        ++begun;
      }
    }
  }

  int file_ = -1;
  aio_context_t context_ = 0;  ///< made and ended outside of what is measured: both wait for other processors
  std::uint64_t blocks_ = 0;
  std::uint64_t random_ = 88172645463325252;
  char* memory_ = static_cast<char*>(std::aligned_alloc(block, large > block * most ? large : block * most));
};

std::uint64_t measured(std::string const& part) {
  const std::size_t colon = part.find(':');
  std::printf("axvm: ready %s\n", part.c_str());
  if (colon == std::string::npos) {
    wait_for_a_byte();
    return 0;
  }
  unsigned depth = 0;
  unsigned long long count = 0;
  char scheduler[32] = "";
  if (std::sscanf(part.c_str() + colon, ":%u:%llu:%31s", &depth, &count, scheduler) < 2) fail("AXVM_PARTS");
  Disk disk(part.substr(0, colon));
  if (*scheduler != 0) set_scheduler(part.substr(0, colon), scheduler);
  wait_for_a_byte();
  const std::uint64_t begin = now();
  depth == 0 ? disk.read_in_sequence(count) : disk.read_at_random(depth, count);
  return now() - begin;
}

}  // namespace

int main() {
  prepare_console();
  mount("dev", "/dev", "devtmpfs", 0, nullptr);  // it may be there already
  mkdir("/sys", 0755);
  mount("sys", "/sys", "sysfs", 0, nullptr);
  load_modules();
  std::istringstream parts(std::getenv("AXVM_PARTS") != nullptr ? std::getenv("AXVM_PARTS") : "");
  for (std::string part; std::getline(parts, part, ',');)
    std::printf("axvm: did %llu\n", static_cast<unsigned long long>(measured(part)));
  std::printf("axvm: end\n");
  for (;;) pause();
}
