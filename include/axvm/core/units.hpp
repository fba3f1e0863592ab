#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace axvm::inline v1 {

/// An address in the guest's physical address space.
using GuestAddress = std::uint64_t;

inline constexpr std::uint64_t KiB = 1ull << 10;
inline constexpr std::uint64_t MiB = 1ull << 20;
inline constexpr std::uint64_t GiB = 1ull << 30;
inline constexpr std::uint64_t TiB = 1ull << 40;

inline namespace literals {
constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n * KiB; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n * MiB; }
constexpr std::uint64_t operator""_GiB(unsigned long long n) { return n * GiB; }
constexpr std::uint64_t operator""_TiB(unsigned long long n) { return n * TiB; }
}  // namespace literals

/// `a + b`, or nothing when the sum does not fit 64 bits.
constexpr std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

/// The multiple of `alignment` (a power of two) at or below `value`.
constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t alignment) { return value & ~(alignment - 1); }

/// The multiple of `alignment` (a power of two) at or above `value`, or nothing when that does not fit 64 bits.
constexpr std::optional<std::uint64_t> align_up(std::uint64_t value, std::uint64_t alignment) {
  auto sum = checked_add(value, alignment - 1);
  if (!sum) return std::nullopt;
  return align_down(*sum, alignment);
}

/// Whether `value` is a multiple of `alignment` (a power of two).
constexpr bool is_aligned(std::uint64_t value, std::uint64_t alignment) { return (value & (alignment - 1)) == 0; }

}  // namespace axvm::inline v1
