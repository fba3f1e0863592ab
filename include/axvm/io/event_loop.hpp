#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include <axvm/core/result.hpp>
#include <axvm/device/events.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// A lock of a type known only to whoever made it.
struct LockReference {
  void* lock = nullptr;
  void (*acquire)(void*) = nullptr;
  void (*release)(void*) = nullptr;

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
  [[nodiscard]] Result<> open() {
    poll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    timer_ = Descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!poll_ || !wake_ || !timer_ || !control(EPOLL_CTL_ADD, wake_.get(), EPOLLIN, wake_id) ||
        !control(EPOLL_CTL_ADD, timer_.get(), EPOLLIN | EPOLLET, timer_id))
      return failure(ErrorCode::HostIo, "start an event loop", "raise the limit on open files (ulimit -n)", errno);
    return {};
  }

  /// Starts the thread; fails where the host allows no more of them.
  [[nodiscard]] Result<> start() {
    stopping_.store(false, std::memory_order_relaxed);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (std::system_error const& error) {
      return failure(ErrorCode::HostIo, "start the event loop's thread", "raise the limit on processes (ulimit -u)",
                     error.code().value());
    }
    return {};
  }

  /// Ends the thread after the callback it is in; no callback runs any more when this returns.
  void stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    thread_.join();
  }

  /// What a device gets to see of the loop.
  [[nodiscard]] static Events events_of(Owner& owner) { return {&owner, &operations}; }

  /// Calls back on every signal of an eventfd, which need not be read: it is watched for edges.
  [[nodiscard]] bool watch_signal(Owner& owner, int descriptor, Callback callback) {
    return watch(owner, descriptor, EPOLLIN | EPOLLET, callback);
  }

  /// Forgets everything a device asked for.
  void forget(Owner const& owner) {
    const std::lock_guard guard(mutex_);
    std::erase_if(sources_, [&](Source const& source) {
      if (source.owner != &owner) return false;
      control(EPOLL_CTL_DEL, source.descriptor, 0, 0);
      return true;
    });
    std::erase_if(timers_, [&](Timer const& timer) { return timer.owner == &owner; });
  }

 private:
  struct Source {
    Owner* owner = nullptr;
    int descriptor = -1;
    std::uint64_t id = 0;
    Callback callback;
  };
  struct Timer {
    Owner* owner = nullptr;
    unsigned number = 0;
    std::uint64_t deadline = 0;
    std::uint64_t id = 0;
    Callback callback;
  };
  static constexpr std::uint64_t wake_id = 0, timer_id = 1;
  static constexpr std::size_t batch = 16;  ///< callbacks before the loop looks at everything else

  bool control(int operation, int descriptor, std::uint32_t events, std::uint64_t id) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    return ::epoll_ctl(poll_.get(), operation, descriptor, &event) == 0;
  }

  bool watch(Owner& owner, int descriptor, std::uint32_t events, Callback callback) {
    const std::lock_guard guard(mutex_);
    auto at = std::find_if(sources_.begin(), sources_.end(), [&](Source const& source) {
      return source.owner == &owner && source.descriptor == descriptor;
    });
    if (events == 0) {
      if (at == sources_.end()) return true;
      control(EPOLL_CTL_DEL, descriptor, 0, 0);
      sources_.erase(at);
      return true;
    }
    // A new number each time: an event that is already on its way to the old callback is not taken for the new one.
    const std::uint64_t id = next_id_++;
    const bool known = at != sources_.end();
    if (!control(known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, events, id)) {
      // A descriptor that was closed has left epoll's set by itself; its number may have come back for another file.
      if (!known || errno != ENOENT || !control(EPOLL_CTL_ADD, descriptor, events, id)) return false;
    }
    const Source source{&owner, descriptor, id, callback};
    if (known) *at = source;
    else sources_.push_back(source);
    return true;
  }

  void arm(Owner& owner, unsigned number, std::uint64_t deadline, Callback callback) {
    const std::lock_guard guard(mutex_);
    std::erase_if(timers_, [&](Timer const& timer) { return timer.owner == &owner && timer.number == number; });
    if (deadline != 0) timers_.push_back({&owner, number, deadline, next_id_++, callback});
    set_timer();
  }

  /// Sets the timer descriptor to the earliest deadline. The table's lock is held.
  void set_timer() {
    std::uint64_t earliest = 0;
    for (Timer const& timer : timers_)
      if (earliest == 0 || timer.deadline < earliest) earliest = timer.deadline;
    itimerspec spec{};
    spec.it_value.tv_sec = static_cast<time_t>(earliest / 1'000'000'000);
    spec.it_value.tv_nsec = static_cast<long>(earliest % 1'000'000'000);
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
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
      const int count = ::epoll_wait(poll_.get(), events_.data(), static_cast<int>(events_.size()), -1);
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
    const std::optional<Source> source = find(id);
    if (!source) return;
    source->owner->lock.acquire(source->owner->lock.lock);
    // The device may have changed its mind while this thread waited for its lock.
    if (find(id)) source->callback();
    source->owner->lock.release(source->owner->lock.lock);
  }

  std::optional<Source> find(std::uint64_t id) {
    const std::lock_guard guard(mutex_);
    for (Source const& source : sources_)
      if (source.id == id) return source;
    return std::nullopt;
  }

  void run_timers() {
    // A timer that is due again as soon as it was served must not keep the loop from descriptors and from stopping.
    for (std::size_t served = 0;; ++served) {
      std::optional<Timer> due;
      {
        const std::lock_guard guard(mutex_);
        const std::uint64_t time = now();
        for (Timer const& timer : timers_)
          if (timer.deadline <= time && (!due || timer.deadline < due->deadline)) due = timer;
        if (!due || served == batch) {
          set_timer();  // at once again when there are more
          return;
        }
      }
      due->owner->lock.acquire(due->owner->lock.lock);
      if (take(*due)) due->callback();
      due->owner->lock.release(due->owner->lock.lock);
    }
  }

  /// Removes a timer that is due, unless it was armed anew or disarmed meanwhile.
  bool take(Timer const& due) {
    const std::lock_guard guard(mutex_);
    return std::erase_if(timers_, [&](Timer const& timer) { return timer.id == due.id; }) != 0;
  }

  static const Events::Operations operations;

  Descriptor poll_, wake_, timer_;
  std::mutex mutex_;
  std::vector<Source> sources_;
  std::vector<Timer> timers_;
  std::uint64_t next_id_ = 2;
  std::array<epoll_event, batch> events_;  ///< what epoll told of last; of the thread alone, from start to start
  std::size_t served_ = 0, taken_ = 0;     ///< how many of them were served, and how many there are
  std::atomic<bool> stopping_{false};
  std::thread thread_;
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
