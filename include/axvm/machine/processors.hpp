#pragma once

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>

namespace axvm::inline v1 {

/// A virtual CPU, what it counted, and its thread while it runs.
template <class Vcpu>
struct Processor {
  Processor(Vcpu&& taken, unsigned number, VcpuCounters& counted)
      : vcpu(std::move(taken)), index(number), counters(counted) {}

  Vcpu vcpu;
  unsigned index;
  VcpuCounters& counters;  ///< the machine's, which outlive the processor
  std::thread thread;
};

/// The processors of a machine: starts a thread for each, calls all of them out of the guest, waits for the last.
template <class Vcpu>
class Processors {
 public:
  void add(Vcpu&& vcpu, unsigned index, VcpuCounters& counters) {
    const std::lock_guard guard(mutex_);
    all_.push_back(std::make_unique<Processor<Vcpu>>(std::move(vcpu), index, counters));
  }
  void clear() {
    const std::lock_guard guard(mutex_);
    all_.clear();
  }
  [[nodiscard]] Processor<Vcpu>& operator[](unsigned index) { return *all_[index]; }
  [[nodiscard]] Processor<Vcpu> const& operator[](unsigned index) const { return *all_[index]; }
  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(all_.size()); }

  /// Calls `body(processor)` on one thread per processor and returns when all of them have returned. Where the host
  /// allows no more threads, `give_up()` is called, must make every body return, and those that run are called out.
  template <class Body, class GiveUp>
  [[nodiscard]] Result<> run(int signal, Body const& body, GiveUp const& give_up) {
    std::unique_lock lock(mutex_);
    Result<> started;
    running_ = 0;
    for (auto& processor : all_) {
      ++running_;
      try {
        processor->thread = std::thread([this, &body, &processor = *processor] {
          body(processor);
          const std::lock_guard guard(mutex_);
          if (--running_ == 0) done_.notify_one();
        });
      } catch (std::system_error const& error) {
        --running_;
        started = failure(ErrorCode::HostIo, text<1023>("start the thread of vCPU ", processor->index),
                          "raise the limit on processes (ulimit -u), or use fewer vCPUs", error.code().value());
        give_up();
        kick_locked(signal);
        break;
      }
      ::pthread_setname_np(processor->thread.native_handle(), text<15>("vcpu ", processor->index).c_str());
    }
    // Threads stay joinable, and so may be signalled, until all of them are done.
    done_.wait(lock, [this] { return running_ == 0; });
    std::vector<std::thread> finished;
    for (auto& processor : all_) finished.push_back(std::move(processor->thread));
    lock.unlock();
    for (std::thread& thread : finished)
      if (thread.joinable()) thread.join();
    return started;
  }

  /// Gets every processor out of the guest now, and out of its next entry; any thread.
  void kick(int signal) {
    const std::lock_guard guard(mutex_);
    kick_locked(signal);
  }

 private:
  void kick_locked(int signal) {
    for (auto& processor : all_) {
      processor->vcpu.interrupt();
      if (processor->thread.joinable()) ::pthread_kill(processor->thread.native_handle(), signal);
    }
  }

  std::mutex mutex_;
  std::condition_variable done_;
  unsigned running_ = 0;
  std::vector<std::unique_ptr<Processor<Vcpu>>> all_;
};

}  // namespace axvm::inline v1
