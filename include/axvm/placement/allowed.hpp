#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include <axvm/core/cpu_set.hpp>
#include <axvm/core/result.hpp>
#include <axvm/placement/kernel_files.hpp>

namespace axvm::inline v1 {

/// What of the host this process may use.
struct AllowedHost {
  CpuSet cpus;   ///< it may run on
  CpuSet nodes;  ///< NUMA nodes it may have memory from
};

namespace detail {

/// What the cpuset controllers of a process's cgroups say, of version 1 and of version 2.
class CpusetReader {
 public:
  explicit CpusetReader(HostPaths const& paths) : proc_(paths.proc), mount_(std::string(paths.sys) + "/fs/cgroup") {}

  Result<AllowedHost> limit(AllowedHost allowed) {
    if (const auto status = files_.text(proc_ + "/self/status")) {
      constexpr std::string_view name = "Mems_allowed_list:\t";
      if (const std::size_t at = status->find(name); at != std::string::npos) {
        const std::string_view rest = std::string_view(*status).substr(at + name.size());
        if (const auto nodes = CpuSet::parse(rest.substr(0, rest.find('\n')))) allowed.nodes = allowed.nodes & *nodes;
        else files_.refuse(proc_ + "/self/status", text<511>(nodes.error().operation));
      }
    }
    if (const auto cgroups = files_.text(proc_ + "/self/cgroup")) {
      std::string_view rest = *cgroups;
      while (!rest.empty()) {  // "hierarchy:controllers:path"; version 2 has hierarchy 0 and no controllers
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : rest.size());
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string_view::npos || second == std::string_view::npos) continue;
        const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
        const std::string_view path = line.substr(second + 1);
        if (line.starts_with("0::"))
          for (char const* hierarchy : {"", "/unified"})
            narrow(allowed, mount_ + hierarchy, path, {"cpuset.cpus.effective"}, {"cpuset.mems.effective"});
        else if (controllers.find(",cpuset,") != std::string::npos)
          narrow(allowed, mount_ + "/cpuset", path, {"cpuset.effective_cpus", "cpuset.cpus"},
                 {"cpuset.effective_mems", "cpuset.mems"});
      }
    }
    if (files_.error()) return std::unexpected(*files_.error());
    return allowed;
  }

 private:
  using Names = std::initializer_list<char const*>;

  /// A cgroup without files of this controller has the limits of the nearest one above it that has. In a container, the
  /// path may be that of another mount: then what is at the top of this one counts.
  void narrow(AllowedHost& allowed, std::string const& hierarchy, std::string_view path, Names cpus, Names nodes) {
    if (path.find("..") != std::string_view::npos) path = "/";
    auto apply = [&](CpuSet& to, Names names) {
      for (std::string_view at = path;; at = at.substr(0, at.rfind('/'))) {
        while (at.ends_with('/')) at.remove_suffix(1);
        for (char const* name : names) {
          const auto set = files_.set(hierarchy + std::string(at) + "/" + name);
          if (!set || set->empty()) continue;  // version 1 leaves it empty where nobody set it
          to = to & *set;
          return;
        }
        if (at.find('/') == std::string_view::npos) return;
      }
    };
    apply(allowed.cpus, cpus);
    apply(allowed.nodes, nodes);
  }

  KernelFiles files_;
  std::string proc_, mount_;
};

}  // namespace detail

/// The CPUs that the kernel lets the calling thread run on.
[[nodiscard]] inline Result<CpuSet> current_affinity() {
  CpuSet set;
  // The C library's function is for its own type of 1024 CPUs.
  if (::syscall(SYS_sched_getaffinity, 0, sizeof set.words()[0] * set.words().size(), set.words().data()) < 0)
    return failure(ErrorCode::HostIo, "ask which CPUs this process may run on", {}, errno);
  return set;
}

/// Narrows an affinity to what the cpusets of this process's cgroups allow, and finds the nodes it may have memory
/// from. Errors: a file that makes no sense; nothing left.
[[nodiscard]] inline Result<AllowedHost> allowed_host(CpuSet const& affinity, HostPaths const& paths = {}) {
  auto allowed = detail::CpusetReader(paths).limit({.cpus = affinity, .nodes = CpuSet::range(0, CpuSet::capacity - 1)});
  if (allowed && allowed->cpus.empty())
    return failure(ErrorCode::InvalidState,
                   text<1023>("find CPUs to run on: of CPUs ", affinity.list().view(), " the cpuset allows none"),
                   "start it with an affinity (taskset) inside of its cgroup's cpuset.cpus");
  return allowed;
}

/// What this process may use: the calling thread's affinity, and its cgroups' cpusets.
[[nodiscard]] inline Result<AllowedHost> allowed_host() {
  auto affinity = current_affinity();
  if (!affinity) return std::unexpected(affinity.error());
  return allowed_host(*affinity);
}

}  // namespace axvm::inline v1
