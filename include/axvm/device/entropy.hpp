#pragma once

#include <cstddef>

#include <axvm/core/bytes.hpp>

namespace axvm::inline v1 {

/// Where random numbers come from, good enough for keys. A small value; no call blocks.
class EntropySource {
 public:
  /// Fills as much as it can from the front on and returns how many bytes that were.
  using Fill = std::size_t (*)(void* self, Bytes into);

  constexpr EntropySource() = default;
  constexpr EntropySource(void* self, Fill function) : self_(self), fill_(function) {}

  /// Fills `into` with random bytes and returns how many it was; fewer only when the host fails. A source without a
  /// function gives none.
  std::size_t fill(Bytes into) const { return fill_ != nullptr ? fill_(self_, into) : 0; }

 private:
  void* self_ = nullptr;
  Fill fill_ = nullptr;
};

}  // namespace axvm::inline v1
