#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace axvm::inline v1 {

/// The lock around one device: two inlined instructions while nobody else wants it, a futex otherwise. The exit path
/// takes nothing else, so it is worth being smaller than std::mutex.
class DeviceLock {
 public:
  void lock() {
    std::uint32_t expected = free;
    if (!word_.compare_exchange_strong(expected, held, std::memory_order_acquire)) wait();
  }
  void unlock() {
    if (word_.exchange(free, std::memory_order_release) == contended)
      ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

 private:
  static constexpr std::uint32_t free = 0, held = 1, contended = 2;

  [[gnu::noinline, gnu::cold]] void wait() {
    while (word_.exchange(contended, std::memory_order_acquire) != free)
      ::syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, contended, nullptr, nullptr, 0);
  }

  std::atomic<std::uint32_t> word_{free};
};

}  // namespace axvm::inline v1
