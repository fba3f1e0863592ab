#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <axvm/core/text.hpp>

/// What tests that use the system need: a place for files, another user, a process that may die.
namespace scratch {

/// A directory of its own that any user may enter; it goes with everything in it.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "axvm-unit-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0) std::abort();
    name_ = name;
  }
  ~Directory() { std::filesystem::remove_all(name_); }
  Directory(Directory const&) = delete;
  Directory& operator=(Directory const&) = delete;

  [[nodiscard]] std::string name(std::string_view file) const { return name_ + "/" + std::string(file); }
  [[nodiscard]] axvm::Path path(std::string_view file) const { return name(file); }
  /// Makes a file.
  axvm::Path put(std::string_view file, std::string_view contents, mode_t mode = 0644) const {
    std::ofstream(name(file), std::ios::binary) << contents;
    if (::chmod(name(file).c_str(), mode) != 0) std::abort();
    return path(file);
  }
  [[nodiscard]] std::string contents(std::string_view file) const {
    std::ifstream in(name(file), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string name_;
};

/// For its lifetime the process has no more rights than any user has; `bool(*this)` says whether that could be had.
class Unprivileged {
 public:
  Unprivileged() : was_root_(::geteuid() == 0) { done_ = !was_root_ || ::seteuid(65534) == 0; }
  ~Unprivileged() {
    if (was_root_ && done_ && ::seteuid(0) != 0) std::abort();
  }
  Unprivileged(Unprivileged const&) = delete;
  Unprivileged& operator=(Unprivileged const&) = delete;
  explicit operator bool() const { return done_; }

 private:
  bool was_root_;
  bool done_ = false;
};

/// Starts a process that runs `body` and ends with status 0 if that returns. It leaves no core file, ends after half a
/// minute at the latest, and dies of SIGSEGV and SIGABRT as it would without a test's or sanitizer's handlers.
template <class Body>
pid_t start_child(Body&& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGALRM}) ::signal(signal, SIG_DFL);
  ::alarm(30);
  body();
  ::_exit(0);
}

/// How a process ended, as waitpid reports it.
inline int end_of(pid_t child) {
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

inline bool died_of(int status, int signal) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }
inline bool exited_with(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

}  // namespace scratch
