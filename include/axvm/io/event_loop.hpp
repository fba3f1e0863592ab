#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <axvm/core/list.hpp>
#include <axvm/core/lock.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/device/events.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/thread.hpp>

namespace axvm::inline v1 {

/// A lock of a type known only to whoever made it.
struct LockReference {
  void* self = nullptr;
  void (*acquire)(void*) = nullptr;
  void (*release)(void*) = nullptr;

  void lock() const { acquire(self); }
  void unlock() const { release(self); }

  template <class Lock>
  static LockReference to(Lock& lock) {
    return {&lock, [](void* self) { static_cast<Lock*>(self)->lock(); },
            [](void* self) { static_cast<Lock*>(self)->unlock(); }};
  }
};

/// One thread that waits for descriptors and timers and calls devices back, each under its own lock. Its table has a
/// lock of its own, under which nothing is ever called.
class EventLoop {
 public:
  /// A device as the loop knows it. Its address is its identity; it and its lock stay until the loop is stopped, though
  /// the device may be forgotten before.
  struct Owner {
    EventLoop* loop = nullptr;
    LockReference lock;
  };

  EventLoop() = default;
  EventLoop(EventLoop const&) = delete;
  EventLoop& operator=(EventLoop const&) = delete;
  ~EventLoop() { stop(); }

  /// Makes the descriptors the loop itself needs.
  [[nodiscard, AXVM_ONCE]] Result<> open() {
    poll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    timer_ = Descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!poll_ || !wake_ || !timer_ || !control(EPOLL_CTL_ADD, wake_.get(), EPOLLIN, wake_id) ||
        !control(EPOLL_CTL_ADD, timer_.get(), EPOLLIN | EPOLLET, timer_id))
      return failure(ErrorCode::HostIo, "start an event loop", "raise the limit on open files (ulimit -n)", errno);
    return {};
  }

  /// Starts the thread; fails where the host allows no more of them.
  [[nodiscard, AXVM_ONCE]] Result<> start() {
    stopping_.store(false, std::memory_order_relaxed);
    auto body = [](void* self) -> void* {
      static_cast<EventLoop*>(self)->run();
      return nullptr;
    };
    if (const int error = thread_.start(body, this); error != 0)
      return failure(ErrorCode::HostIo, "start the event loop's thread", "raise the limit on processes (ulimit -u)",
                     error);
    return {};
  }

  /// The thread, which is started.
  [[nodiscard]] ::pthread_t handle() const { return thread_.handle(); }

  /// Ends the thread after the callback it is in; no callback runs any more when this returns.
  [[AXVM_ONCE]] void stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    thread_.join();
  }

  /// What a device gets to see of the loop.
  [[nodiscard, AXVM_ONCE]] static Events events_of(Owner& owner) { return {&owner, &operations}; }

  /// Calls back on every signal of an eventfd, which need not be read: it is watched for edges.
  [[nodiscard, AXVM_ONCE]] bool watch_signal(Owner& owner, int descriptor, Callback callback) {
    return watch(owner, descriptor, EPOLLIN | EPOLLET, callback);
  }

  /// Forgets everything a device asked for.
  [[AXVM_ONCE]] void forget(Owner const& owner) {
    const Holding holding(mutex_);
    note_change();
    requests_.remove([&](Request const& request) {
      if (request.owner != &owner) return false;
      if (!request.is_timer()) control(EPOLL_CTL_DEL, request.descriptor, 0, 0);
      return true;
    });
  }

 private:
  /// What a device waits for: a descriptor, or a deadline of one of its timers.
  struct Request {
    Owner* owner = nullptr;
    int descriptor = -1;         ///< -1: a timer
    unsigned timer = 0;          ///< the device's number for it
    std::uint64_t deadline = 0;  ///< nanoseconds
    std::uint64_t id = 0;
    Callback callback;

    [[nodiscard]] bool is_timer() const { return descriptor < 0; }
  };
  /// A request as it was when the table had changed so many times, to look into the table only when it has changed.
  struct Known {
    Request request;
    std::uint64_t changes = 0;
  };
  static constexpr std::uint64_t wake_id = 0, timer_id = 1;
  static constexpr int batch = 16;  ///< callbacks before the loop looks at everything else

  bool control(int operation, int descriptor, std::uint32_t events, std::uint64_t id) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    return ::epoll_ctl(poll_.get(), operation, descriptor, &event) == 0;
  }

  bool watch(Owner& owner, int descriptor, std::uint32_t events, Callback callback) {
    if (descriptor < 0) return events == 0;
    const Holding holding(mutex_);
    note_change();
    auto is_same = [&](Request const& request) { return request.owner == &owner && request.descriptor == descriptor; };
    if (events == 0) {
      if (requests_.remove(is_same)) control(EPOLL_CTL_DEL, descriptor, 0, 0);
      return true;
    }
    // A new number each time: an event that is already on its way to the old callback is not taken for the new one.
    const Request request{.owner = &owner, .descriptor = descriptor, .id = next_id_++, .callback = callback};
    Request* const known = requests_.find(is_same);
    if (!control(known != nullptr ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, events, request.id)) {
      // A descriptor that was closed has left epoll's set by itself; its number may have come back for another file.
      if (known == nullptr || errno != ENOENT || !control(EPOLL_CTL_ADD, descriptor, events, request.id)) return false;
    }
    if (known != nullptr) *known = request;
    else requests_.add(request);
    return true;
  }

  void arm(Owner& owner, unsigned number, std::uint64_t deadline, Callback callback) {
    const Holding holding(mutex_);
    note_change();
    requests_.remove([&](Request const& request) {
      return request.owner == &owner && request.is_timer() && request.timer == number;
    });
    if (deadline != 0)
      requests_.add(
          Request{.owner = &owner, .timer = number, .deadline = deadline, .id = next_id_++, .callback = callback});
    set_timer();
  }

  /// Sets the timer descriptor to the earliest deadline. The table's lock is held.
  void set_timer() {
    Request const* const timer = earliest_timer();
    const std::uint64_t earliest = timer != nullptr ? timer->deadline : 0;
    itimerspec spec{};
    spec.it_value.tv_sec = static_cast<time_t>(earliest / 1'000'000'000);
    spec.it_value.tv_nsec = static_cast<long>(earliest % 1'000'000'000);
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  }

  /// The timer that is due first, of equals the one armed first. The table's lock is held.
  Request* earliest_timer() {
    Request* earliest = nullptr;
    requests_.for_each([&](Request& request) {
      if (request.is_timer() && (earliest == nullptr || request.deadline < earliest->deadline)) earliest = &request;
    });
    return earliest;
  }

  static std::uint64_t now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
  }

  void run() {
    // epoll tells of an edge once. What a stop leaves of those it told of is served first when the loop starts again.
    for (;;) {
      while (served_ != taken_) {
        if (stopping_.load(std::memory_order_relaxed)) return;
        serve(events_[served_++].data.u64);
      }
      if (stopping_.load(std::memory_order_relaxed)) return;
      served_ = taken_ = 0;
      // Not epoll_wait(), at which a thread could be cancelled: that has its price.
      const long count = ::syscall(SYS_epoll_pwait, poll_.get(), events_, batch, -1, nullptr, std::size_t{0});
      if (count > 0) taken_ = static_cast<std::size_t>(count);
    }
  }

  void serve(std::uint64_t id) {
    if (id == wake_id) drain_wake();
    else if (id == timer_id) run_timers();
    else call_source(id);
  }

  void drain_wake() {
    std::uint64_t value = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &value, sizeof value);
  }

  void call_source(std::uint64_t id) {
    Known& source = known_[id % batch];
    if (!is_current(source, id) && !look_up(source, id)) return;
    const Holding holding(source.request.owner->lock);
    // The device may have changed its mind while this thread waited for its lock. Mostly nothing has changed at all.
    if (is_current(source, id) || look_up(source, id)) source.request.callback();
  }

  [[nodiscard]] bool is_current(Known const& source, std::uint64_t id) const {
    return source.request.id == id && source.changes == changes_.load(std::memory_order_acquire);
  }
  /// Copies the request with the number, and how often the table has changed; false when it was withdrawn or replaced.
  [[nodiscard]] bool look_up(Known& into, std::uint64_t id) {
    const Holding holding(mutex_);
    Request const* const found = requests_.find([&](Request const& request) { return request.id == id; });
    if (found != nullptr) into = {*found, changes_.load(std::memory_order_relaxed)};
    return found != nullptr;
  }

  /// Notes that the table is another one. Its lock is held.
  void note_change() { changes_.store(changes_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  void run_timers() {
    // A timer that is due again as soon as it was served must not keep the loop from descriptors and from stopping.
    for (int served = 0;; ++served) {
      Request due;
      {
        const Holding holding(mutex_);
        Request const* const first = earliest_timer();
        if (first == nullptr || first->deadline > now() || served == batch) {
          set_timer();  // at once again when there are more
          return;
        }
        due = *first;
      }
      const Holding holding(due.owner->lock);
      if (take(due)) due.callback();
    }
  }

  /// Removes a timer that is due, unless it was armed anew or disarmed meanwhile.
  bool take(Request const& due) {
    const Holding holding(mutex_);
    note_change();
    return requests_.remove([&](Request const& request) { return request.id == due.id; });
  }

  static const Events::Operations operations;

  Descriptor poll_, wake_, timer_;
  Mutex mutex_;
  List<Request> requests_;
  std::uint64_t next_id_ = 2;
  std::atomic<std::uint64_t> changes_{0};  ///< of the table
  Known known_[batch];                     ///< of the thread alone, from start to start, as the next three
  epoll_event events_[batch];              ///< what epoll told of last
  std::size_t served_ = 0, taken_ = 0;     ///< how many of them were served, and how many there are
  std::atomic<bool> stopping_{false};
  Thread thread_;
};

inline constexpr Events::Operations EventLoop::operations{
    .watch =
        [](void* self, int descriptor, Interest interest, Callback callback) {
          auto& owner = *static_cast<Owner*>(self);
          const std::uint32_t events = interest == Interest::Nothing    ? 0u
                                       : interest == Interest::Readable ? EPOLLIN
                                                                        : EPOLLOUT;
          return owner.loop->watch(owner, descriptor, events, callback);
        },
    .arm =
        [](void* self, unsigned timer, std::uint64_t deadline, Callback callback) {
          auto& owner = *static_cast<Owner*>(self);
          owner.loop->arm(owner, timer, deadline, callback);
        },
    .now = [](void*) { return now(); },
};

}  // namespace axvm::inline v1
