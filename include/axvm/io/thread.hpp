#pragma once

#include <pthread.h>
#include <signal.h>

namespace axvm::inline v1 {

// What a machine needs of threads, on POSIX's own. The standard's <thread>, <mutex> and <condition_variable> bring
// along clocks, stop tokens and exceptions: a third of a second for every program that builds a machine.

/// A thread of this process. Joined before it is started again or destroyed.
class Thread {
 public:
  Thread() = default;
  Thread(Thread const&) = delete;
  Thread& operator=(Thread const&) = delete;

  /// Calls `body(argument)` on a new thread. 0, or an errno value where the host allows no more of them (EAGAIN).
  [[nodiscard]] int start(void* (*body)(void*), void* argument) {
    const int error = ::pthread_create(&handle_, nullptr, body, argument);
    runs_ = error == 0;
    return error;
  }
  /// Whether it was started and not joined yet.
  [[nodiscard]] bool joinable() const { return runs_; }
  /// What the system calls it; it must be joinable.
  [[nodiscard]] ::pthread_t handle() const { return handle_; }
  /// Waits for its end.
  void join() {
    ::pthread_join(handle_, nullptr);
    runs_ = false;
  }
  /// Sends it a signal; it must be joinable.
  void signal(int number) const { ::pthread_kill(handle_, number); }
  /// Gives it a name for debuggers and ps, at most 15 bytes; it must be joinable.
  void set_name(char const* name) const { ::pthread_setname_np(handle_, name); }

 private:
  ::pthread_t handle_{};
  bool runs_ = false;
};

/// A lock for what is not on the exit path.
class Mutex {
 public:
  Mutex() = default;
  Mutex(Mutex const&) = delete;
  Mutex& operator=(Mutex const&) = delete;

  void lock() { ::pthread_mutex_lock(&mutex_); }
  void unlock() { ::pthread_mutex_unlock(&mutex_); }

 private:
  friend class Condition;
  ::pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

/// Something that becomes true while a mutex is held.
class Condition {
 public:
  Condition() = default;
  Condition(Condition const&) = delete;
  Condition& operator=(Condition const&) = delete;

  /// Releases the held mutex until somebody calls notify(), or for no reason: look again.
  void wait(Mutex& mutex) { ::pthread_cond_wait(&condition_, &mutex.mutex_); }
  void notify() { ::pthread_cond_signal(&condition_); }

 private:
  ::pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace axvm::inline v1
