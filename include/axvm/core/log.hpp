#pragma once

#include <string_view>

#include <axvm/core/error.hpp>

namespace axvm::inline v1 {

/// Where messages go: a small value that anyone can hold. Without a function it drops them.
struct Log {
  void* self = nullptr;
  void (*put)(void* self, Severity severity, std::string_view message) = nullptr;

  void operator()(Severity severity, std::string_view message) const {
    if (put != nullptr) put(self, severity, message);
  }
};

}  // namespace axvm::inline v1
