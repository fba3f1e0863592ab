#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/bytes.hpp>

namespace axvm::inline v1 {

/// A queue of at most `Size` bytes (1 to 65535) as a plain aggregate, so that it can be part of a device's State.
template <std::size_t Size>
struct ByteRing {
  static_assert(Size > 0 && Size <= 0xffff);

  std::uint16_t head = 0;   ///< index of the oldest byte
  std::uint16_t count = 0;  ///< bytes waiting
  std::array<std::uint8_t, Size> bytes{};

  [[nodiscard]] static constexpr std::size_t capacity() { return Size; }
  [[nodiscard]] constexpr bool empty() const { return count == 0; }
  [[nodiscard]] constexpr std::size_t room() const { return Size - count; }

  /// Appends a byte; the ring has room.
  constexpr void push(std::uint8_t value) {
    bytes[tail()] = value;
    ++count;
  }
  /// Removes the oldest byte; the ring is not empty.
  constexpr std::uint8_t pop() {
    const std::uint8_t value = bytes[head];
    drop(1);
    return value;
  }

  /// The oldest bytes, as many as lie in one piece: all, or those up to the end of the array.
  [[nodiscard]] ConstBytes front() const {
    const std::size_t to_end = Size - head;
    return std::as_bytes(std::span(bytes)).subspan(head, count < to_end ? count : to_end);
  }
  /// Removes the `n` oldest bytes, at most `count`.
  constexpr void drop(std::size_t n) {
    head = static_cast<std::uint16_t>((head + n) % Size);
    count = static_cast<std::uint16_t>(count - n);
  }

  /// Where the next bytes go, as many as lie in one piece.
  [[nodiscard]] Bytes space() {
    const std::size_t to_end = Size - tail();
    return std::as_writable_bytes(std::span(bytes)).subspan(tail(), room() < to_end ? room() : to_end);
  }
  /// Says that `n` bytes were put into space(), at most its size.
  constexpr void added(std::size_t n) { count = static_cast<std::uint16_t>(count + n); }

  /// Makes the numbers of a ring that came from elsewhere safe to use.
  constexpr void make_valid() {
    head = static_cast<std::uint16_t>(head % Size);
    if (count > Size) count = Size;
  }

 private:
  [[nodiscard]] constexpr std::size_t tail() const { return (std::size_t{head} + count) % Size; }
};

}  // namespace axvm::inline v1
