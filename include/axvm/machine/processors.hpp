#pragma once

#include <utility>

#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/io/event_loop.hpp>

namespace axvm::inline v1 {

/// A virtual CPU, what it counted, and its thread while it runs.
template <class Vcpu>
struct Processor {
  Vcpu vcpu;
  unsigned index;
  VcpuCounters& counters;  ///< the machine's, which outlive the processor
  Thread thread{};
  void* job = nullptr;  ///< of the run it is in
};

/// The processors of a machine: starts a thread for each, calls all of them out of the guest, waits for the last.
template <class Vcpu>
class Processors {
 public:
  void add(Vcpu&& vcpu, unsigned index, VcpuCounters& counters) {
    const Holding holding(mutex_);
    all_.add(std::move(vcpu), index, counters);
  }
  void clear() {
    const Holding holding(mutex_);
    all_.clear();
  }
  /// The processor with this number, of those that were added.
  [[nodiscard]] Processor<Vcpu>& operator[](unsigned index) {
    return *all_.find([index](Processor<Vcpu> const& processor) { return processor.index == index; });
  }

  /// Calls `body(processor)` on one thread per processor and returns when all of them have returned. Where the host
  /// allows no more threads, `give_up()` is called, must make every body return, and those that run are called out.
  template <class Body, class GiveUp>
  [[nodiscard]] Result<> run(int signal, Body const& body, GiveUp const& give_up) {
    Job<Body> job{this, &body};
    Result<> started;
    const Holding holding(mutex_);
    all_.find([&](Processor<Vcpu>& processor) {
      processor.job = &job;
      const int error = processor.thread.start(&Job<Body>::run, &processor);
      if (error == 0) {
        ++running_;
        processor.thread.set_name(text<15>("vcpu ", processor.index).c_str());
        return false;
      }
      started = failure(ErrorCode::HostIo, text<1023>("start the thread of vCPU ", processor.index),
                        "raise the limit on processes (ulimit -u), or use fewer vCPUs", error);
      give_up();
      kick_locked(signal);
      return true;
    });
    // Threads stay joinable, and so may be signalled, until all of them are done and want the mutex no more.
    while (running_ != 0) done_.wait(mutex_);
    all_.for_each([](Processor<Vcpu>& processor) {
      if (processor.thread.joinable()) processor.thread.join();
    });
    return started;
  }

  /// Gets every processor out of the guest now, and out of its next entry; any thread.
  void kick(int signal) {
    const Holding holding(mutex_);
    kick_locked(signal);
  }

 private:
  /// What the threads of one run have in common.
  template <class Body>
  struct Job {
    Processors* processors;
    Body const* body;

    static void* run(void* argument) {
      auto& processor = *static_cast<Processor<Vcpu>*>(argument);
      auto const& [processors, body] = *static_cast<Job*>(processor.job);
      (*body)(processor);
      const Holding holding(processors->mutex_);
      if (--processors->running_ == 0) processors->done_.notify();
      return nullptr;
    }
  };

  void kick_locked(int signal) {
    all_.for_each([signal](Processor<Vcpu>& processor) {
      processor.vcpu.interrupt();
      if (processor.thread.joinable()) processor.thread.signal(signal);
    });
  }

  Mutex mutex_;
  Condition done_;
  unsigned running_ = 0;
  List<Processor<Vcpu>> all_;
};

}  // namespace axvm::inline v1
