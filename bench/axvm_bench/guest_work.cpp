// The guest's process 1 in bench/scale: a fixed amount of work, shared out among all processors, each with a thread
// bound to it, in rounds with a barrier after each; then it does nothing any more. Statically linked, it is all there
// is in the guest's initrd.
//
// Before the work it says so and waits for a byte on the console, afterwards it writes what it took: so whoever
// measures has exact bounds. From the kernel's command line:
//   AXVM_STEPS=N    steps of work in a round, of all processors together
//   AXVM_ROUNDS=N   rounds
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "clock.hpp"
#include "guest_console.hpp"

namespace {

struct Worker {
  pthread_t thread{};
  unsigned cpu = 0;
  std::uint64_t steps = 0;  // in a round
  std::uint64_t sum = 0;
};

std::uint64_t rounds = 0;
pthread_barrier_t gate;     // of the workers and main
pthread_barrier_t barrier;  // of the workers

std::uint64_t setting(char const* name) {
  char const* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 0;
}

/// Hashes a table that fits into the first-level cache and changes it: nothing that a compiler can leave out.
std::uint64_t work(std::array<std::uint64_t, 2048>& table, std::uint64_t hash, std::uint64_t steps) {
  for (std::uint64_t step = 0; step < steps; ++step) {
    std::uint64_t& cell = table[step % table.size()];
    hash = (hash ^ cell) * 0x100000001b3;
    cell += hash >> 32;
  }
  return hash;
}

void* run(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(worker.cpu, &only);
  if (sched_setaffinity(0, sizeof only, &only) != 0) std::abort();
  std::array<std::uint64_t, 2048> table{};
  pthread_barrier_wait(&gate);  // all are where they belong
  pthread_barrier_wait(&gate);  // all begin
  worker.sum = 0xcbf29ce484222325 + worker.cpu;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    worker.sum = work(table, worker.sum, worker.steps);
    pthread_barrier_wait(&barrier);
  }
  return nullptr;
}

}  // namespace

int main() {
  prepare_console();
  cpu_set_t all;
  if (sched_getaffinity(0, sizeof all, &all) != 0) return 1;
  const auto count = static_cast<unsigned>(CPU_COUNT(&all));
  rounds = setting("AXVM_ROUNDS");

  pthread_barrier_init(&gate, nullptr, count + 1);
  pthread_barrier_init(&barrier, nullptr, count);
  std::vector<Worker> workers(count);
  for (unsigned cpu = 0; cpu < count; ++cpu) {
    workers[cpu].cpu = cpu;
    workers[cpu].steps = setting("AXVM_STEPS") / count;
    if (pthread_create(&workers[cpu].thread, nullptr, run, &workers[cpu]) != 0) return 1;
  }
  pthread_barrier_wait(&gate);
  std::printf("axvm: work on %u\n", count);
  wait_for_a_byte();
  const std::uint64_t begin = now();
  pthread_barrier_wait(&gate);
  std::uint64_t sum = 0;
  for (Worker& worker : workers) {
    pthread_join(worker.thread, nullptr);
    sum ^= worker.sum;
  }
  const std::uint64_t end = now();
  std::printf("axvm: did %llu %llx\n", static_cast<unsigned long long>(end - begin),
              static_cast<unsigned long long>(sum));

  std::printf("axvm: idle\n");
  for (;;) pause();
}
