#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

namespace axvm::inline v1 {

/// Owns a mapping of memory and unmaps exactly it. Move-only.
class Mapping {
 public:
  constexpr Mapping() = default;
  /// Takes over `[address, address + size)`.
  constexpr Mapping(void* address, std::size_t size) : address_(static_cast<std::byte*>(address)), size_(size) {}
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
    if (address_ != nullptr) ::munmap(address_, size_);
  }

  [[nodiscard]] std::byte* data() const { return address_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  explicit operator bool() const { return address_ != nullptr; }

  /// Gives it up without unmapping it.
  void release() {
    address_ = nullptr;
    size_ = 0;
  }

 private:
  std::byte* address_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace axvm::inline v1
