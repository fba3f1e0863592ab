#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace axvm::inline v1 {

/// A list of at most `Capacity` plain values, stored in place: no allocation, usable in constant expressions.
template <class T, std::size_t Capacity>
class BoundedList {
 public:
  /// Appends a value; false, and nothing changed, when the list is full.
  constexpr bool add(T const& value) {
    if (size_ == Capacity) return false;
    values_[size_++] = value;
    return true;
  }

  [[nodiscard]] static constexpr std::size_t capacity() { return Capacity; }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  [[nodiscard]] constexpr bool empty() const { return size_ == 0; }
  /// The value at `index`, which must be below size().
  [[nodiscard]] constexpr T& operator[](std::size_t index) { return values_[index]; }
  [[nodiscard]] constexpr T const& operator[](std::size_t index) const { return values_[index]; }
  [[nodiscard]] constexpr T* begin() { return values_.data(); }
  [[nodiscard]] constexpr T* end() { return values_.data() + size_; }
  [[nodiscard]] constexpr T const* begin() const { return values_.data(); }
  [[nodiscard]] constexpr T const* end() const { return values_.data() + size_; }
  /// The values; valid while the list lives.
  [[nodiscard]] constexpr std::span<const T> span() const { return {values_.data(), size_}; }

 private:
  std::array<T, Capacity> values_{};
  std::size_t size_ = 0;
};

}  // namespace axvm::inline v1
