#pragma once

#include <cstdint>

#include <axvm/core/bytes.hpp>

namespace axvm::inline v1 {

/// A window's bytes where the guest reads them as memory: its loads are plain loads, of any width, and the device hears
/// nothing of them. Its stores arrive at the device as ever. For windows whose reads change nothing, and a device that
/// brings the bytes into step before it lets go of its lock.
///
/// A small value; without a page under it every read arrives at the device. Used under the device's own lock.
class RegisterPage {
 public:
  constexpr RegisterPage() = default;
  /// `bytes` are what the guest sees now, all-ones at first; `replace(self, content)` puts others in their place.
  constexpr RegisterPage(Bytes bytes, void* self, void (*replace)(void* self, ConstBytes content))
      : bytes_(bytes), self_(self), swap_(replace) {}

  /// Whether the guest reads here without the device.
  explicit constexpr operator bool() const { return !bytes_.empty(); }
  /// As large as the window.
  [[nodiscard]] constexpr Bytes bytes() const { return bytes_; }

  /// 32 bits at a multiple of 4 within the window.
  [[nodiscard]] std::uint32_t load(std::uint64_t offset) const {
    return __atomic_load_n(reinterpret_cast<std::uint32_t const*>(bytes_.data() + offset), __ATOMIC_RELAXED);
  }
  /// Changes 32 bits at a multiple of 4 within the window. A guest that sees them sees everything that was stored
  /// before, but several such stores one after the other: swap() is for what belongs together.
  void store(std::uint64_t offset, std::uint32_t value) const {
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(bytes_.data() + offset), value, __ATOMIC_RELEASE);
  }
  /// Replaces all bytes at one stroke: of two loads, one after the other, the second never sees older bytes than the
  /// first. What `content` does not cover reads all-ones.
  void swap(ConstBytes content) const { swap_(self_, content); }

 private:
  Bytes bytes_;
  void* self_ = nullptr;
  void (*swap_)(void*, ConstBytes) = nullptr;
};

}  // namespace axvm::inline v1
