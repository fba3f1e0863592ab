#pragma once

#include <pthread.h>
#include <signal.h>

#include <cerrno>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1 {

/// The signal that brings a vCPU thread out of the kernel; a program that uses it for something else sets another one
/// (a real-time signal) in the machine's configuration.
inline int default_kick_signal() { return SIGRTMIN; }

/// Makes `signal` interrupt system calls and do nothing else. May be called any number of times.
[[AXVM_ONCE]] inline Result<> install_kick_signal(int signal) {
  if (signal < SIGRTMIN || signal > SIGRTMAX)
    return failure(ErrorCode::InvalidArgument, text<1023>("use signal ", signal, " to interrupt vCPUs"),
                   text<511>("choose a real-time signal, ", SIGRTMIN, " to ", SIGRTMAX));
  struct sigaction action{};
  action.sa_handler = [](int) {};
  sigemptyset(&action.sa_mask);  // no SA_RESTART: the system call must return
  if (::sigaction(signal, &action, nullptr) == 0) return {};
  return failure(ErrorCode::InvalidArgument, text<1023>("use signal ", signal, " to interrupt vCPUs"), {}, errno);
}

/// Lets the calling thread receive the kick, whatever mask it inherited.
inline void unblock_kick_signal(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace axvm::inline v1
