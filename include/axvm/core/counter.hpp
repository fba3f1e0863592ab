#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// A number that one thread (or the holder of one lock) increases and any thread reads. No locked instruction.
class Counter {
 public:
  /// Adds to the counter. Only one thread at a time may call it.
  void add(std::uint64_t amount = 1) { __atomic_store_n(&value_, value_ + amount, __ATOMIC_RELAXED); }
  /// Back to zero; by whoever may add.
  void reset() { __atomic_store_n(&value_, 0, __ATOMIC_RELAXED); }
  /// The value; any thread may ask.
  [[nodiscard]] std::uint64_t value() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }

 private:
  std::uint64_t value_ = 0;
};

}  // namespace axvm::inline v1
