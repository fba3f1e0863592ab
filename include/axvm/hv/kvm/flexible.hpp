#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace axvm::kvm::inline v1 {

/// A structure of the kernel's interface that ends in a variable number of entries, with room for `N` of them; all zero
/// at first.
template <class Head, class Entry, std::size_t N>
class Flexible {
 public:
  [[nodiscard]] Head& head() { return *reinterpret_cast<Head*>(bytes_.data()); }
  /// `i` must be below `N`.
  [[nodiscard]] Entry& entry(std::size_t i) {
    return *reinterpret_cast<Entry*>(bytes_.data() + sizeof(Head) + i * sizeof(Entry));
  }

 private:
  static_assert(sizeof(Head) % alignof(Entry) == 0);
  alignas(Head) alignas(Entry) std::array<std::byte, sizeof(Head) + N * sizeof(Entry)> bytes_{};
};

}  // namespace axvm::kvm::inline v1
