#pragma once

#include <cstddef>

namespace axvm::inline v1 {

/// A stretch of the monitor's memory to transfer to or from (guest memory, already checked).
struct Segment {
  std::byte* data = nullptr;
  std::size_t size = 0;
};

}  // namespace axvm::inline v1
