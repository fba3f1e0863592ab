#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <axvm/core/bytes.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::acpi {

/// Appends little-endian bytes to a stretch of memory that the caller gives, at compile time or at run time. It never
/// writes outside: what does not fit is only counted, so that size() tells how much room there should have been.
class ByteWriter {
 public:
  /// Writes to `storage`, which the guest sees at `origin`.
  constexpr explicit ByteWriter(Bytes storage, GuestAddress origin = 0) : storage_(storage), origin_(origin) {}

  /// Bytes written so far, those that found no room included.
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  /// Bytes there is room for.
  [[nodiscard]] constexpr std::size_t capacity() const { return storage_.size(); }
  /// Whether something found no room; the contents are worthless then.
  [[nodiscard]] constexpr bool overflowed() const { return size_ > storage_.size(); }
  /// The guest's address of the next byte.
  [[nodiscard]] constexpr GuestAddress address() const { return origin_ + size_; }
  /// What has been written.
  [[nodiscard]] constexpr ConstBytes written() const { return storage_.first(size_ < capacity() ? size_ : capacity()); }
  /// The room that is left.
  [[nodiscard]] constexpr Bytes room() const { return storage_.subspan(size_ < capacity() ? size_ : capacity()); }

  /// Appends an integer or a packed structure. The type is named, `put<std::uint8_t>(1)`, or that of a structure.
  template <PlainBytes T>
  constexpr void put(std::type_identity_t<T> const& value) {
    append(value);
  }
  template <PlainBytes T>
    requires std::is_class_v<T>
  constexpr void put(T const& value) {
    append(value);
  }

  /// Appends bytes as they are. Tables are written once, long before anything is fast: a call for each field is enough.
  [[gnu::noinline, gnu::cold]] constexpr void put_bytes(ConstBytes bytes) {
    for (std::byte byte : bytes) push(byte);
  }

  /// Appends zeros until address() is a multiple of `alignment`, a power of two.
  constexpr void align(std::uint64_t alignment) {
    while (!is_aligned(address(), alignment)) push(std::byte{0});
  }

  /// Counts `count` bytes as written that someone else has put into room().
  constexpr void skip(std::size_t count) { size_ += count; }

  /// Replaces bytes written earlier, from `offset` on.
  template <PlainBytes T>
  constexpr void overwrite(std::size_t offset, T const& value) {
    auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      if (offset + i < capacity()) storage_[offset + i] = bytes[i];
  }

  /// Makes `count` bytes of room at `offset`, moving everything behind it up. What the gap holds is not defined.
  constexpr void insert(std::size_t offset, std::size_t count) {
    for (std::size_t i = size_; i-- > offset;)
      if (i < capacity() && count < capacity() - i) storage_[i + count] = storage_[i];
    size_ += count;
  }

 private:
  template <class T>
  constexpr void append(T const& value) {
    static_assert(std::endian::native == std::endian::little);
    static_assert(std::has_unique_object_representations_v<T>, "axvm: a structure with padding is not a table format");
    put_bytes(std::bit_cast<std::array<std::byte, sizeof(T)>>(value));
  }
  constexpr void push(std::byte byte) {
    if (size_ < capacity()) storage_[size_] = byte;
    ++size_;
  }

  Bytes storage_;
  GuestAddress origin_;
  std::size_t size_ = 0;
};

}  // namespace axvm::inline v1::acpi
