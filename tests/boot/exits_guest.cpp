// Process 1 of a guest whose exits are counted from outside: is idle for ten seconds, then works on all processors at
// once. A store to a place of the address space where nothing is marks where each part begins and ends. No other
// program runs, so all exits are the kernel's and this one's.

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr off_t marks = 0xf800'0000;  // no device of either monitor is there
constexpr unsigned rounds = 50;
constexpr double round_seconds = 0.1;
enum Mark : unsigned { idle_begins, idle_ended, load_begins, load_ended };

[[noreturn]] void end(char const* what) {
  if (what != nullptr) std::perror(what);
  std::fflush(nullptr);
  ::reboot(RB_POWER_OFF);
  std::abort();
}

double now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void rest(time_t seconds) {
  const timespec time{.tv_sec = seconds, .tv_nsec = 0};
  ::nanosleep(&time, nullptr);
}

/// Waits until the kernel has done what it still had to do behind the start of process 1: three seconds in a row in
/// which the processors rested for all but a fortieth of the time, or a minute.
void await_quiet(unsigned cpus) {
  if (::mount("proc", "/proc", "proc", 0, nullptr) != 0) end("mount /proc");
  double rested_before = 0, up_before = 0;
  for (unsigned quiet = 0, tries = 0; quiet < 3 && tries < 60; ++tries) {
    double up = 0, rested = 0;
    std::FILE* const file = std::fopen("/proc/uptime", "r");
    if (file == nullptr || std::fscanf(file, "%lf %lf", &up, &rested) != 2) end("read /proc/uptime");
    std::fclose(file);
    quiet = rested - rested_before > 0.975 * cpus * (up - up_before) ? quiet + 1 : 0;
    rested_before = rested, up_before = up;
    rest(1);
  }
}

/// What one processor does: a stretch of arithmetic by itself, memory that comes and goes, then it waits for the
/// others. So there are timer ticks, invalidations of other processors' TLBs, and wake-ups across processors. A round
/// lasts as long as it lasts, whatever is done in it: a host that is slower for one monitor than for the other changes
/// nothing.
void work(unsigned cpu, double begun, pthread_barrier_t& together) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) end("sched_setaffinity");
  std::uint64_t x = cpu + 1;
  for (unsigned round = 1; round <= rounds; ++round) {
    while (now() < begun + round * round_seconds)
      for (unsigned i = 0; i < 10'000; ++i) x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) end("mmap");
    *static_cast<volatile std::uint64_t*>(page) = x;
    ::munmap(page, 4096);
    ::pthread_barrier_wait(&together);
  }
}

}  // namespace

int main() {
  if (::mount("dev", "/dev", "devtmpfs", 0, nullptr) != 0) end("mount /dev");
  const int console = ::open("/dev/console", O_RDWR);
  for (int stream = 0; stream < 3; ++stream) ::dup2(console, stream);
  const int memory = ::open("/dev/mem", O_RDWR | O_SYNC);
  if (memory < 0) end("open /dev/mem");
  void* const mapped = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, marks);
  if (mapped == MAP_FAILED) end("mmap /dev/mem");
  auto* const mark = static_cast<std::uint32_t volatile*>(mapped);

  const unsigned cpus = std::thread::hardware_concurrency();
  await_quiet(cpus);
  mark[idle_begins] = 1;
  const double idle = now();
  rest(10);
  const double rested = now();
  mark[idle_ended] = 1;

  pthread_barrier_t together;
  ::pthread_barrier_init(&together, nullptr, cpus);
  std::vector<std::thread> threads;
  mark[load_begins] = 1;
  const double begun = now();
  for (unsigned cpu = 0; cpu < cpus; ++cpu) threads.emplace_back([&, cpu] { work(cpu, begun, together); });
  for (std::thread& thread : threads) thread.join();
  const double done = now();
  mark[load_ended] = 1;

  std::printf("cpus %u idle %.3f load %.3f\n", cpus, rested - idle, done - begun);
  end(nullptr);
}
