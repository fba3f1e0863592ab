#pragma once

#include <cstring>
#include <string>

#include <axvm/core/error.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1 {

/// An error as a program prints it: what failed, the system's reason, and what to do.
[[gnu::cold, AXVM_ONCE]] inline std::string describe(Error const& error) {
  std::string out(error.operation.view());
  if (error.os_error != 0) {
    // KVM can return numbers that the C library has no words for, such as ENOTSUPP (524).
    char const* reason = ::strerrordesc_np(error.os_error);
    out.append(": ").append(reason != nullptr ? reason : "error " + std::to_string(error.os_error));
  }
  if (!error.hint.empty()) out.append("; ").append(error.hint.view());
  return out;
}

}  // namespace axvm::inline v1
