#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace axvm::inline v1 {

/// Bytes that may not be changed.
using ConstBytes = std::span<const std::byte>;
/// Bytes that may be changed.
using Bytes = std::span<std::byte>;

/// A type whose bytes are its value: it may be copied out of and into guest memory.
template <class T>
concept PlainBytes = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

/// Whether `[offset, offset + length)` lies within `[0, size)`; true for an empty range at the end. Cannot wrap.
constexpr bool range_fits(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
  return offset <= size && length <= size - offset;
}

/// Reads a `T` at `offset` in the machine's (little-endian) byte order; nothing when it does not lie within `bytes`.
template <PlainBytes T>
std::optional<T> load(ConstBytes bytes, std::uint64_t offset) {
  static_assert(std::endian::native == std::endian::little);
  if (!range_fits(offset, sizeof(T), bytes.size())) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// Writes a `T` at `offset`; false, and nothing written, when it does not lie within `bytes`.
template <PlainBytes T>
[[nodiscard]] bool store(Bytes bytes, std::uint64_t offset, T const& value) {
  if (!range_fits(offset, sizeof(T), bytes.size())) return false;
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
  return true;
}

/// Copies many bytes to where they do not overlap with themselves. In pieces for which a C library uses vector
/// registers: larger ones it copies with REP MOVSB, which under an emulator goes byte by byte; and hot, or a compiler
/// puts that very instruction in place of the call where the caller is cold.
[[gnu::noinline, gnu::hot]] inline void copy_many(std::byte* to, ConstBytes from) {
  constexpr std::size_t piece = 1024;
  while (!from.empty()) {
    const std::size_t count = from.size() < piece ? from.size() : piece;
    std::memcpy(to, from.data(), count);
    to += count;
    from = from.subspan(count);
  }
}

/// The bytes of a plain object, to copy it somewhere.
template <PlainBytes T>
ConstBytes bytes_of(T const& object) {
  return {reinterpret_cast<std::byte const*>(&object), sizeof object};
}

/// Whether there is no byte but zeros.
inline bool is_zero(ConstBytes bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// All bits of an access `width` bytes wide (1 to 8): what an absent device reads as.
constexpr std::uint64_t all_ones(unsigned width) { return width >= 8 ? ~0ull : (1ull << (8 * width)) - 1; }

}  // namespace axvm::inline v1
