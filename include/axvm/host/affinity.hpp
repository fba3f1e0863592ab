#pragma once

#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <axvm/core/cpu_set.hpp>
#include <axvm/core/placement_plan.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// Lets a thread run on these host CPUs only. `who` names it in errors: "vCPU 3". Errors: none of the CPUs is online
/// and allowed by the cpuset.
inline Result<> set_affinity(pthread_t thread, std::string_view who, CpuSet const& cpus) {
  const auto words = cpus.words();
  const int number =
      ::pthread_setaffinity_np(thread, words.size_bytes(), reinterpret_cast<cpu_set_t const*>(words.data()));
  if (number == 0) return {};
  return failure(ErrorCode::HostIo, text<1023>("run ", who, " on host CPUs ", cpus.list()),
                 number == EINVAL ? "none of them is online and in this process's cpuset: choose others with --pin, or "
                                    "use --pin none"
                                  : "",
                 number);
}

/// Makes the kernel take the pages of a range from one host node when they are first touched; those that exist already
/// are not moved. `memory` must begin at a page. With MemoryBinding::None the range goes back to the kernel's own
/// policy. Errors: the node is not there or not in the cpuset; the kernel has no NUMA.
inline Result<> bind_memory(std::span<std::byte> memory, unsigned node, MemoryBinding binding) {
  constexpr std::size_t bits = 1024;  // as many nodes as Linux can be built for on x86
  std::uint64_t mask[bits / 64]{};
  auto failed = [&](ErrorCode code, std::string_view hint, int number) {
    return failure(code, text<1023>("bind ", memory.size() / MiB, " MiB of memory to host node ", node), hint, number);
  };
  if (node >= bits) return failed(ErrorCode::OutOfRange, "choose a node that the host has", 0);
  mask[node / 64] = 1ull << node % 64;
  const bool bind = binding != MemoryBinding::None;
  const int mode = !bind ? MPOL_DEFAULT : binding == MemoryBinding::Strict ? MPOL_BIND : MPOL_PREFERRED;
  // The kernel reads one bit less than it is told of.
  if (::syscall(SYS_mbind, memory.data(), memory.size(), mode, bind ? mask : nullptr, bind ? bits + 1 : 0, 0) == 0)
    return {};
  switch (const int number = errno) {
    case EINVAL:
      return failed(ErrorCode::InvalidArgument,
                    "the node must have memory and be in this process's cpuset (cpuset.mems): choose another one with "
                    "--numa, or use --numa off",
                    number);
    case ENOSYS: return failed(ErrorCode::Unsupported, "the kernel has no NUMA: use --numa off", number);
    case EPERM:
      return failed(ErrorCode::PermissionDenied, "a seccomp filter, as containers have, forbids mbind: use --numa off",
                    number);
    default: return failed(ErrorCode::HostIo, {}, number);
  }
}

/// Gives a thread a real-time priority (SCHED_FIFO), 1 to 99: it then runs before every ordinary thread of its CPU,
/// those of the kernel included, for as long as it wants. Errors: which right is missing.
inline Result<> make_realtime(pthread_t thread, std::string_view who, int priority) {
  auto failed = [&](ErrorCode code, Text<511> const& hint, int number) {
    return failure(code, text<1023>("give ", who, " the real-time priority ", priority), hint, number);
  };
  if (priority < ::sched_get_priority_min(SCHED_FIFO) || priority > ::sched_get_priority_max(SCHED_FIFO))
    return failed(
        ErrorCode::OutOfRange,
        text<511>("choose ", ::sched_get_priority_min(SCHED_FIFO), " to ", ::sched_get_priority_max(SCHED_FIFO)), 0);
  const sched_param parameters{.sched_priority = priority};
  const int number = ::pthread_setschedparam(thread, SCHED_FIFO, &parameters);
  if (number == 0) return {};
  if (number != EPERM) return failed(ErrorCode::HostIo, {}, number);
  rlimit limit{};
  ::getrlimit(RLIMIT_RTPRIO, &limit);
  return failed(ErrorCode::PermissionDenied,
                limit.rlim_cur >= static_cast<rlim_t>(priority)
                    ? text<511>("the rights are there (ulimit -r is ", limit.rlim_cur,
                                "), but not the time: raise the cgroup's cpu.rt_runtime_us")
                    : text<511>("it takes the capability CAP_SYS_NICE, or a limit on real-time priorities of at least ",
                                priority, " (ulimit -r is ", limit.rlim_cur, ")"),
                number);
}

}  // namespace axvm::inline v1
