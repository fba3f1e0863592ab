#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/core/lock.hpp>
#include <axvm/host/device_lock.hpp>
#include <axvm/io/event_loop.hpp>

#include "scratch.hpp"

using namespace axvm;
using namespace std::chrono_literals;

namespace {

constexpr auto patience = 20s;  // how long a condition that must come true may take on a busy machine

/// The machine's lock, which in addition knows whether it is held and how often it was asked for. What it knows is
/// relaxed on purpose: it must not order anything that the lock itself does not order.
class ObservedLock {
 public:
  void lock() {
    asked_.fetch_add(1, std::memory_order_relaxed);
    lock_.lock();
    held_.store(true, std::memory_order_relaxed);
  }
  void unlock() {
    held_.store(false, std::memory_order_relaxed);
    lock_.unlock();
  }
  [[nodiscard]] bool held() const { return held_.load(std::memory_order_relaxed); }
  [[nodiscard]] unsigned asked() const { return asked_.load(std::memory_order_relaxed); }

 private:
  DeviceLock lock_;
  std::atomic<bool> held_{false};
  std::atomic<unsigned> asked_{0};
};

/// What of a device is there before and after it, as in a machine that rebuilds its devices.
struct Place {
  ObservedLock lock;
  EventLoop::Owner owner;
};

struct OpenLoop : EventLoop {
  OpenLoop() { REQUIRE(open().has_value()); }
  ~OpenLoop() { stop(); }  // before the places go
  void start() { REQUIRE(EventLoop::start().has_value()); }
  Place& place() {
    const std::lock_guard guard(mutex);
    Place& place = places.emplace_back();
    place.owner = {this, LockReference::to(place.lock)};
    return place;
  }

  std::mutex mutex;
  std::deque<Place> places;
};

/// Somebody who is called back. `calls` is ordinary memory that only the lock protects: the thread sanitizer sees when
/// it does not.
class Device {
 public:
  explicit Device(OpenLoop& loop) : Device(loop.place()) {}
  explicit Device(Place& place) : lock(place.lock), owner(place.owner) {}
  ~Device() {
    const Holding held(lock);
    owner.loop->forget(owner);
  }
  Device(Device const&) = delete;
  Device& operator=(Device const&) = delete;

  ObservedLock& lock;
  EventLoop::Owner& owner;
  std::vector<int> calls;
  bool always_locked = true;

  Events events() { return EventLoop::events_of(owner); }

  /// A callback that writes `number` down and then does `more`.
  Callback noting(int number, std::function<void()> more = {}) {
    notes_.push_back(std::make_unique<Note>(Note{this, number, std::move(more)}));
    return {notes_.back().get(), [](void* self) {
              Note const& note = *static_cast<Note*>(self);
              note.device->always_locked &= note.device->lock.held();
              note.device->calls.push_back(note.number);
              if (note.more) note.more();
              note.device->changed_.notify_all();
            }};
  }

  /// Waits until so many calls have come; false when they do not come.
  [[nodiscard]] bool wait_for(std::size_t count) {
    const Holding held(lock);
    return changed_.wait_for(lock, patience, [&] { return calls.size() >= count; });
  }
  [[nodiscard]] std::vector<int> seen() {
    const Holding held(lock);
    return calls;
  }
  /// Waits, with the lock held, until somebody else has asked for it too.
  [[nodiscard]] bool somebody_waits(unsigned asked_before) const {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (lock.asked() == asked_before) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  struct Note {
    Device* device;
    int number;
    std::function<void()> more;
  };
  std::vector<std::unique_ptr<Note>> notes_;
  std::condition_variable_any changed_;
};

struct Signal {
  Descriptor descriptor{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  [[nodiscard]] int get() const { return descriptor.get(); }
  void set() const {
    const std::uint64_t one = 1;
    if (::write(descriptor.get(), &one, sizeof one) != sizeof one) std::abort();
  }
  void clear() const {
    std::uint64_t value = 0;
    [[maybe_unused]] const auto got = ::read(descriptor.get(), &value, sizeof value);
  }
};

/// Whether a thread of this process waits for something.
bool sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat.substr(name_end + 2, 1) == "S";
}

/// Returns when the loop has gone around three times: whatever was ready before has been called by then.
void go_around(OpenLoop& loop) {
  Device device(loop);
  Signal signal;
  for (std::size_t round = 1; round <= 3; ++round) {
    {
      const Holding held(device.lock);
      REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(0, [&] { signal.clear(); })));
    }
    signal.set();
    REQUIRE(device.wait_for(round));
  }
}

}  // namespace

TEST_CASE("event loop: calls back as long as a descriptor is readable, under the owner's lock") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  int reads = 0;
  REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1, [&] {
    if (++reads == 3) signal.clear();  // level-triggered: not read means called again
  })));
  loop.start();
  go_around(loop);
  CHECK(device.seen().empty());
  signal.set();
  REQUIRE(device.wait_for(3));
  go_around(loop);
  CHECK(device.seen() == std::vector{1, 1, 1});
  const Holding held(device.lock);
  CHECK(device.always_locked);
}

TEST_CASE("event loop: calls back when there is room to write, not before") {
  OpenLoop loop;
  Device device(loop);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Descriptor reader(ends[0]), writer(ends[1]);
  std::vector<char> bytes(4096);
  std::size_t in_pipe = 0;
  for (ssize_t put = 0; (put = ::write(writer.get(), bytes.data(), bytes.size())) > 0;)
    in_pipe += static_cast<std::size_t>(put);
  REQUIRE(device.events().watch(writer.get(), Interest::Writable,
                                device.noting(1, [&] { device.events().watch(writer.get(), Interest::Nothing, {}); })));
  loop.start();
  go_around(loop);
  CHECK(device.seen().empty());
  while (in_pipe != 0) in_pipe -= static_cast<std::size_t>(::read(reader.get(), bytes.data(), bytes.size()));
  REQUIRE(device.wait_for(1));
  go_around(loop);
  CHECK(device.seen() == std::vector{1});
}

TEST_CASE("event loop: a callback may end its own watch") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1, [&] {
    CHECK(device.events().watch(signal.get(), Interest::Nothing, {}));
  })));
  signal.set();
  loop.start();
  REQUIRE(device.wait_for(1));
  go_around(loop);
  CHECK(device.seen() == std::vector{1});
}

TEST_CASE("event loop: a callback may end another watch that is ready at the same moment") {
  OpenLoop loop;
  Device device(loop);
  Signal a, b;
  auto stop_watching = [&](Signal const& signal) {
    return [&] { device.events().watch(signal.get(), Interest::Nothing, {}); };
  };
  // Both are ready before the loop starts, so that it learns of both at once. Whichever comes first ends both.
  auto end_both = [&] {
    stop_watching(a)();
    stop_watching(b)();
  };
  REQUIRE(device.events().watch(a.get(), Interest::Readable, device.noting(1, end_both)));
  REQUIRE(device.events().watch(b.get(), Interest::Readable, device.noting(2, end_both)));
  a.set();
  b.set();
  loop.start();
  REQUIRE(device.wait_for(1));
  go_around(loop);
  CHECK(device.seen().size() == 1);
}

TEST_CASE("event loop: a callback may watch something else") {
  OpenLoop loop;
  Device device(loop);
  Signal first, second;
  second.set();
  const Callback then = device.noting(2, [&] { second.clear(); });
  REQUIRE(device.events().watch(first.get(), Interest::Readable, device.noting(1, [&] {
    first.clear();
    CHECK(device.events().watch(second.get(), Interest::Readable, then));
  })));
  first.set();
  loop.start();
  REQUIRE(device.wait_for(2));
  CHECK(device.seen() == std::vector{1, 2});
}

/// Ends the watch of a signal while the loop is under way to its callback.
void end_while_called(Device& device, Signal& signal) {
  const Holding held(device.lock);
  const unsigned asked = device.lock.asked();
  signal.set();
  REQUIRE(device.somebody_waits(asked));
  CHECK(device.events().watch(signal.get(), Interest::Nothing, {}));
}

TEST_CASE("event loop: who ends a watch while holding the lock is not called back any more, though it was under way") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1)));
  loop.start();
  end_while_called(device, signal);
  go_around(loop);
  CHECK(device.seen().empty());
  CHECK(device.events().watch(signal.get(), Interest::Nothing, {}));  // ending what is not watched is no error
}

TEST_CASE("event loop: nor is who was called for the same watch before") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1, [&] { signal.clear(); })));
  loop.start();
  signal.set();
  REQUIRE(device.wait_for(1));
  end_while_called(device, signal);
  go_around(loop);
  CHECK(device.seen() == std::vector{1});
}

TEST_CASE("event loop: a watch that was replaced never calls the old callback, though that was under way") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  const Callback replacement = device.noting(2, [&] { signal.clear(); });
  REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1)));
  loop.start();
  {
    const Holding held(device.lock);
    const unsigned asked = device.lock.asked();
    signal.set();
    REQUIRE(device.somebody_waits(asked));
    CHECK(device.events().watch(signal.get(), Interest::Readable, replacement));
  }
  REQUIRE(device.wait_for(1));
  go_around(loop);
  CHECK(device.seen() == std::vector{2});
}

TEST_CASE("event loop: watching for something else replaces what was watched for") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;  // writable at once, readable only when set
  REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1)));
  REQUIRE(device.events().watch(signal.get(), Interest::Writable, device.noting(2, [&] {
    CHECK(device.events().watch(signal.get(), Interest::Nothing, {}));
  })));
  loop.start();
  REQUIRE(device.wait_for(1));
  signal.set();
  go_around(loop);
  CHECK(device.seen() == std::vector{2});
}

TEST_CASE("event loop: a descriptor's number that comes back for another file can be watched again") {
  OpenLoop loop;
  Device device(loop);
  Signal first, second;
  const int number = ::fcntl(first.get(), F_DUPFD_CLOEXEC, 0);
  REQUIRE(number >= 0);
  first.descriptor = {};  // `number` is the only one left
  REQUIRE(device.events().watch(number, Interest::Readable, device.noting(1)));
  REQUIRE(::dup2(second.get(), number) == number);
  REQUIRE(device.events().watch(number, Interest::Readable, device.noting(2, [&] { second.clear(); })));
  loop.start();
  second.set();
  REQUIRE(device.wait_for(1));
  CHECK(device.seen() == std::vector{2});
  CHECK(device.events().watch(number, Interest::Nothing, {}));
  ::close(number);
}

TEST_CASE("event loop: regular files and what is no descriptor cannot be watched, and it says so") {
  OpenLoop loop;
  Device device(loop);
  const scratch::Directory directory;
  directory.put("file", "x");
  const Descriptor file(::open(directory.name("file").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(file);
  for (const Interest interest : {Interest::Readable, Interest::Writable}) {
    CHECK_FALSE(device.events().watch(file.get(), interest, device.noting(1)));
    CHECK_FALSE(device.events().watch(-1, interest, device.noting(1)));
  }
  CHECK(device.events().watch(file.get(), Interest::Nothing, {}));
  loop.start();
  go_around(loop);
  CHECK(device.seen().empty());
}

TEST_CASE("event loop: timers come once each, in the order of their deadlines, never early") {
  OpenLoop loop;
  Device device(loop);
  const std::uint64_t now = device.events().now();
  CHECK(now != 0);
  bool early = false;
  auto arm = [&](unsigned timer, std::uint64_t in) {
    const std::uint64_t deadline = now + in;
    device.events().arm(timer, deadline, device.noting(static_cast<int>(timer), [&early, &device, deadline] {
      early |= device.events().now() < deadline;
    }));
  };
  arm(3, 30'000'000);
  arm(1, 10'000'000);
  arm(7, 40'000'000);
  arm(2, 20'000'000);
  loop.start();
  REQUIRE(device.wait_for(4));
  go_around(loop);
  CHECK(device.seen() == std::vector{1, 2, 3, 7});
  const Holding held(device.lock);
  CHECK_FALSE(early);
  CHECK(device.always_locked);
}

TEST_CASE("event loop: deadlines that have passed come at once, in their order, and do not disturb the others") {
  OpenLoop loop;
  Device device(loop);
  loop.start();
  device.events().arm(0, ~0ull, device.noting(0));  // in five centuries
  device.events().arm(1, 1, device.noting(1));
  REQUIRE(device.wait_for(1));
  {
    const Holding held(device.lock);
    device.events().arm(2, 7, device.noting(2));
    device.events().arm(3, 5, device.noting(3));
  }
  REQUIRE(device.wait_for(3));
  go_around(loop);
  const std::vector<int> seen = device.seen();
  CHECK(seen.size() == 3);
  CHECK(seen[0] == 1);
}

TEST_CASE("event loop: more timers than it serves in one go are all served") {
  OpenLoop loop;
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = 0; i < 10; ++i) {
    devices.push_back(std::make_unique<Device>(loop));
    for (unsigned timer = 0; timer < Events::max_timers; ++timer)
      devices.back()->events().arm(timer, 1 + timer, devices.back()->noting(static_cast<int>(timer)));
  }
  loop.start();
  for (auto const& device : devices) {
    REQUIRE(device->wait_for(8));
    CHECK(device->seen() == std::vector{0, 1, 2, 3, 4, 5, 6, 7});
  }
}

TEST_CASE("event loop: arming again replaces the deadline and the callback; disarming ends it") {
  OpenLoop loop;
  Device device(loop), other(loop);
  device.events().arm(0, 1, device.noting(1));
  device.events().arm(0, 2, device.noting(2));
  device.events().arm(1, 1, device.noting(3));
  device.events().disarm(1);
  device.events().disarm(5);                  // never armed
  other.events().arm(0, 3, other.noting(4));  // another device's timer of the same number
  loop.start();
  REQUIRE(device.wait_for(1));
  REQUIRE(other.wait_for(1));
  go_around(loop);
  CHECK(device.seen() == std::vector{2});
  CHECK(other.seen() == std::vector{4});
}

TEST_CASE(
    "event loop: a timer that is disarmed or armed anew, even for the same time, while its callback is under way") {
  OpenLoop loop;
  Device device(loop);
  const Callback replacement = device.noting(2);
  const Callback old = device.noting(1);
  loop.start();
  SUBCASE("disarmed") {
    {
      const Holding held(device.lock);
      const unsigned asked = device.lock.asked();
      device.events().arm(0, 1, old);
      REQUIRE(device.somebody_waits(asked));
      device.events().disarm(0);
    }
    go_around(loop);
    CHECK(device.seen().empty());
  }
  SUBCASE("armed for the same time with another callback, as by a device that was rebuilt") {
    {
      const Holding held(device.lock);
      const unsigned asked = device.lock.asked();
      device.events().arm(0, 1, old);
      REQUIRE(device.somebody_waits(asked));
      device.events().arm(0, 1, replacement);
    }
    REQUIRE(device.wait_for(1));
    go_around(loop);
    CHECK(device.seen() == std::vector{2});
  }
}

TEST_CASE("event loop: a timer may arm itself again from its callback") {
  OpenLoop loop;
  Device device(loop);
  int left = 5;
  Callback again;
  again = device.noting(1, [&] {
    if (--left != 0) device.events().arm(0, device.events().now() + 100'000, again);
  });
  device.events().arm(0, 1, again);
  loop.start();
  REQUIRE(device.wait_for(5));
  go_around(loop);
  CHECK(device.seen().size() == 5);
}

TEST_CASE(
    "event loop: a timer that is always due keeps neither descriptors from being served nor the loop from ending") {
  OpenLoop loop;
  Device busy(loop), other(loop);
  Signal signal;
  std::atomic<bool> enough{false};  // so that the test fails, and does not hang, where the loop hangs
  struct Always {
    Device& device;
    std::atomic<bool>& enough;
    static void call(void* self) {
      auto& always = *static_cast<Always*>(self);
      if (!always.enough.load(std::memory_order_relaxed)) always.device.events().arm(0, 1, {self, &call});
    }
  } always{busy, enough};
  REQUIRE(other.events().watch(signal.get(), Interest::Readable, other.noting(1, [&] { signal.clear(); })));
  loop.start();
  busy.events().arm(0, 1, {&always, &Always::call});
  signal.set();
  CHECK(other.wait_for(1));
  auto stopped = std::async(std::launch::async, [&] { loop.stop(); });
  CHECK(stopped.wait_for(patience) == std::future_status::ready);
  enough = true;
  stopped.get();
}

TEST_CASE("event loop: forget() ends everything of one owner, though it was under way, and nothing of another") {
  OpenLoop loop;
  Device gone(loop), stays(loop);
  Signal a, b, c;
  REQUIRE(gone.events().watch(a.get(), Interest::Readable, gone.noting(1)));
  REQUIRE(loop.watch_signal(gone.owner, b.get(), gone.noting(2)));
  REQUIRE(stays.events().watch(c.get(), Interest::Readable, stays.noting(4, [&] { c.clear(); })));
  loop.start();
  {
    const Holding held(gone.lock);
    const unsigned asked = gone.lock.asked();
    a.set();
    b.set();
    REQUIRE(gone.somebody_waits(asked));
    gone.events().arm(0, 1, gone.noting(3));
    stays.events().arm(0, 1, stays.noting(5));
    loop.forget(gone.owner);
  }
  c.set();
  REQUIRE(stays.wait_for(2));
  go_around(loop);
  CHECK(gone.seen().empty());
  // The owner may start anew: the descriptors are free.
  REQUIRE(gone.events().watch(a.get(), Interest::Readable, gone.noting(6, [&] { a.clear(); })));
  REQUIRE(gone.wait_for(1));
  CHECK(gone.seen() == std::vector{6});
}

TEST_CASE("event loop: a signal that is watched for edges is called back once for each, without being read") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  REQUIRE(loop.watch_signal(device.owner, signal.get(), device.noting(1)));
  loop.start();
  for (std::size_t edges = 1; edges <= 20; ++edges) {
    signal.set();
    REQUIRE(device.wait_for(edges));
    if (edges % 5 == 0) go_around(loop);  // and not again for the same edge
    CHECK(device.seen().size() == edges);
  }
}

TEST_CASE("event loop: a signal set before it is watched, or while nobody serves it, is not lost") {
  OpenLoop loop;
  Device device(loop);
  Signal signal;
  signal.set();
  REQUIRE(loop.watch_signal(device.owner, signal.get(), device.noting(1)));
  loop.start();
  REQUIRE(device.wait_for(1));
  loop.stop();
  signal.set();
  signal.set();
  loop.start();
  REQUIRE(device.wait_for(2));
  go_around(loop);
  CHECK(device.seen().size() == 2);  // two edges at once may be one callback
}

TEST_CASE("event loop: when stop() returns no callback runs, and none comes until it is started again") {
  for (int round = 0; round < 20; ++round) {
    OpenLoop loop;
    Device device(loop);
    Signal signal;
    std::promise<void> entered, gate;
    int finished = 0;  // ordinary memory: only stop() orders it
    bool first = true;
    REQUIRE(device.events().watch(signal.get(), Interest::Readable, device.noting(1, [&] {
      signal.clear();
      if (std::exchange(first, false)) {
        entered.set_value();
        gate.get_future().wait();
      }
      ++finished;
    })));
    loop.start();
    signal.set();
    entered.get_future().wait();
    std::thread opener([&] { gate.set_value(); });
    loop.stop();
    CHECK(finished == 1);
    opener.join();
    signal.set();
    device.events().arm(0, 1, device.noting(2));
    loop.stop();  // stopping twice is stopping once
    CHECK(finished == 1);
    CHECK(device.calls.size() == 1);
    loop.start();
    REQUIRE(device.wait_for(3));
  }
}

TEST_CASE("event loop: edges taken together are each served once, though a stop comes between them") {
  OpenLoop loop;
  Device device(loop);
  Signal first, second;
  std::atomic<bool> called{false};
  std::atomic<pid_t> stopper{0};
  auto in_callback = [&] {
    if (called.exchange(true)) return;
    // Goes on when stop() has nothing left to do but to wait for this callback.
    const auto end = std::chrono::steady_clock::now() + patience;
    while ((stopper == 0 || !sleeps(stopper)) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  };
  REQUIRE(loop.watch_signal(device.owner, first.get(), device.noting(1, in_callback)));
  REQUIRE(loop.watch_signal(device.owner, second.get(), device.noting(2, in_callback)));
  first.set();
  second.set();
  loop.start();
  std::async(std::launch::async, [&] {
    while (!called) std::this_thread::yield();
    stopper = ::gettid();
    loop.stop();
  }).get();
  CHECK(device.seen().size() == 1);
  loop.start();
  REQUIRE(device.wait_for(2));
  go_around(loop);
  auto seen = device.seen();
  std::sort(seen.begin(), seen.end());
  CHECK(seen == std::vector{1, 2});
}

TEST_CASE("event loop: devices that watch, arm and go from several threads while others are called back") {
  OpenLoop loop;
  loop.start();
  constexpr int threads = 3, rounds = 300;
  std::atomic<unsigned> called{0}, wrong{0};
  std::vector<std::thread> workers;
  for (int worker = 0; worker < threads; ++worker)
    workers.emplace_back([&, worker] {
      Signal level, edge;
      Place& place = loop.place();
      for (int round = 0; round < rounds; ++round) {
        Device device(place);
        const Callback noted = device.noting(worker, [&] { level.clear(); });
        const Callback timed = device.noting(worker);
        bool watched = false;
        {
          const Holding held(device.lock);
          watched = device.events().watch(level.get(), Interest::Readable, noted);
          watched &= loop.watch_signal(device.owner, edge.get(), timed);
          device.events().arm(0, round % 2 == 0 ? 1 : device.events().now() + 50'000, timed);
        }
        level.set();
        edge.set();
        if (!watched || (round % 3 == 0 && !device.wait_for(2))) wrong.fetch_add(1);
        const Holding held(device.lock);
        called.fetch_add(static_cast<unsigned>(device.calls.size()));
        for (const int number : device.calls)
          if (number != worker) wrong.fetch_add(1);
        if (!device.always_locked) wrong.fetch_add(1);
        if (round % 4 == 0) device.events().watch(level.get(), Interest::Nothing, {});
      }
    });
  for (std::thread& worker : workers) worker.join();
  loop.stop();
  CHECK(wrong == 0);
  CHECK(called >= 2u * threads * rounds / 3);
}

TEST_CASE("event loop: two loops do not know of each other") {
  OpenLoop one, two;
  Device a(one), b(two);
  Signal signal;
  REQUIRE(one.watch_signal(a.owner, signal.get(), a.noting(1)));
  REQUIRE(two.watch_signal(b.owner, signal.get(), b.noting(2)));
  one.start();
  two.start();
  signal.set();
  REQUIRE(a.wait_for(1));
  REQUIRE(b.wait_for(1));
  one.stop();
  signal.set();
  REQUIRE(b.wait_for(2));
  CHECK(a.seen() == std::vector{1});
}

TEST_CASE("event loop: without an owner nothing is called and time stands") {
  const Events none;
  CHECK(none.now() == 0);
  CHECK_FALSE(none.watch(0, Interest::Readable, {}));
  none.arm(0, 1, {});
  none.disarm(0);
}

TEST_CASE("device lock: one at a time, nothing lost, every waiter woken") {
  static_assert(sizeof(DeviceLock) == 4);
  DeviceLock lock;
  constexpr unsigned threads = 4, rounds = 20'000;
  std::uint64_t sum = 0;  // ordinary memory
  unsigned inside = 0, most = 0;
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < threads; ++i)
    workers.emplace_back([&] {
      for (unsigned round = 0; round < rounds; ++round) {
        const Holding held(lock);
        most = std::max(most, ++inside);
        sum += round;
        if (round % 512 == 0) std::this_thread::yield();  // let the others run into the lock
        --inside;
      }
    });
  for (std::thread& worker : workers) worker.join();
  CHECK(sum == std::uint64_t{threads} * rounds * (rounds - 1) / 2);
  CHECK(most == 1);
}

TEST_CASE("device lock: two threads that take turns both make progress") {
  DeviceLock lock;
  unsigned turn = 0;
  constexpr unsigned turns = 2000;
  auto play = [&](unsigned me) {
    for (bool going = true; going;) {
      {
        const Holding held(lock);
        going = turn < turns;
        if (going && turn % 2 == me) ++turn;
      }
      std::this_thread::yield();
    }
  };
  std::thread other(play, 1u);
  play(0);
  other.join();
  CHECK(turn == turns);
}
