#pragma once

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>

#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// How work that takes long tells how far it is: `step` is called now and then by the thread that waits for the work,
/// with bytes done and in all, for the last time when all of it is done. False ends the work.
struct MemoryProgress {
  void* self = nullptr;
  bool (*step)(void* self, std::uint64_t done, std::uint64_t total) = nullptr;
};

namespace detail {

/// Memory that is worked on in chunks of a size that is a multiple of its pages'.
struct WorkRange {
  std::byte* host = nullptr;
  std::uint64_t size = 0;
  std::uint64_t chunk = 0;

  [[nodiscard]] std::uint64_t chunks() const { return (size + chunk - 1) / chunk; }
};

/// Work on memory, spread over threads.
struct SpreadWork {
  std::span<const WorkRange> ranges;
  int (*work)(std::byte* at, std::uint64_t size) = nullptr;  ///< 0 or an errno
  std::uint64_t next = 0;                                    ///< the chunk nobody has taken yet
  std::uint64_t done = 0;                                    ///< bytes
  int error = 0;
  bool ended = false;

  /// Does one chunk; false when there is nothing left to do.
  [[gnu::cold]] bool do_chunk() {
    if (__atomic_load_n(&ended, __ATOMIC_RELAXED)) return false;
    std::uint64_t number = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    for (WorkRange const& range : ranges) {
      if (number >= range.chunks()) {
        number -= range.chunks();
        continue;
      }
      const std::uint64_t offset = number * range.chunk;
      const std::uint64_t size = range.chunk < range.size - offset ? range.chunk : range.size - offset;
      if (const int failed = work(range.host + offset, size); failed != 0) {
        __atomic_store_n(&error, failed, __ATOMIC_RELAXED);
        __atomic_store_n(&ended, true, __ATOMIC_RELAXED);
        return false;
      }
      __atomic_fetch_add(&done, size, __ATOMIC_RELAXED);
      return true;
    }
    return false;
  }
  static void* help(void* self) {
    while (static_cast<SpreadWork*>(self)->do_chunk()) {
    }
    return nullptr;
  }
};

/// How many processors this process may use.
[[gnu::cold]] inline std::uint64_t usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<std::uint64_t>(CPU_COUNT(&set));
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);  // more processors than the set holds
  return online > 0 ? static_cast<std::uint64_t>(online) : 1;
}

/// What came of spread work.
struct SpreadResult {
  int error = 0;          ///< errno of a failure
  bool finished = false;  ///< all of it was done; false after a failure and when `step` ended it
};

/// Calls `work` for all chunks, on as many threads as there are processors and chunks; the caller's is one of them. All
/// are gone when it returns.
[[gnu::cold]] inline SpreadResult spread_work(std::span<const WorkRange> ranges, int (*work)(std::byte*, std::uint64_t),
                                              MemoryProgress progress = {}) {
  SpreadWork shared{.ranges = ranges, .work = work};
  std::uint64_t total = 0, chunks = 0;
  for (WorkRange const& range : ranges) {
    total += range.size;
    chunks += range.chunks();
  }
  if (chunks == 0) return {.error = 0, .finished = true};
  auto step = [&] {
    if (progress.step == nullptr ||
        progress.step(progress.self, __atomic_load_n(&shared.done, __ATOMIC_RELAXED), total))
      return;
    __atomic_store_n(&shared.ended, true, __ATOMIC_RELAXED);
  };
  step();
  if (shared.ended) return {};
  std::array<pthread_t, 255> helpers{};
  const std::uint64_t processors = usable_processors();
  const std::uint64_t wanted = processors < chunks ? processors : chunks;
  std::size_t started = 0;
  // A host that allows no more threads gets it done with those there are.
  while (started + 1 < wanted && started < helpers.size() &&
         ::pthread_create(&helpers[started], nullptr, &SpreadWork::help, &shared) == 0)
    ++started;
  while (shared.do_chunk()) step();
  for (std::size_t i = 0; i < started; ++i) ::pthread_join(helpers[i], nullptr);
  if (shared.error == 0 && shared.done == total) step();
  return {.error = shared.error, .finished = shared.error == 0 && shared.done == total};
}

/// Writes to each small page what is in it: the kernel finds memory for it. Nobody else may write there meanwhile.
[[gnu::cold]] inline int touch_pages(std::byte* at, std::uint64_t size) {
  for (std::uint64_t offset = 0; offset < size; offset += 4 * KiB) {
    auto* const byte = const_cast<std::byte volatile*>(at + offset);  // an atomic or with 0 becomes a mere read
    *byte = *byte;
  }
  return 0;
}

/// Makes pages present. Linux before 5.14 has no call for it.
[[gnu::cold]] inline int populate_pages(std::byte* at, std::uint64_t size) {
  for (;;) {
    if (::madvise(at, size, MADV_POPULATE_WRITE) == 0) return 0;
    if (errno == EINVAL) return touch_pages(at, size);
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
}

/// Writes zeros to the pages that are present and leaves the others absent. For memory that is never swapped out: of
/// other memory a page may be absent and have contents.
[[gnu::cold]] inline int zero_present_pages(std::byte* at, std::uint64_t size) {
  std::array<unsigned char, 8192> present;
  constexpr std::uint64_t page = 4 * KiB;
  while (size != 0) {
    const std::uint64_t part = size < present.size() * page ? size : present.size() * page;
    if (::mincore(at, part, present.data()) != 0) return errno;
    for (std::uint64_t i = 0; i < part / page;) {
      std::uint64_t end = i;
      while (end < part / page && (present[end] & 1) != 0) ++end;
      if (end != i) std::memset(at + i * page, 0, (end - i) * page);
      i = end + 1;
    }
    at += part;
    size -= part;
  }
  return 0;
}

}  // namespace detail

}  // namespace axvm::inline v1
