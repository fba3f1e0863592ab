#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/core/units.hpp>

// Address space layout randomisation of an unpacked x86-64 Linux kernel, as the code that unpacks a bzImage does it:
// the kernel keeps its physical place, its virtual addresses move up by a random number of bytes. The relocations say
// which places hold a virtual address. They stand behind the kernel's ELF file, 32-bit numbers, each the sign-extended
// virtual address of such a place, in lists that begin with a zero: 64-bit addresses, then (kernels before 6.15 or so)
// 32-bit ones that count down, then 32-bit ones.

namespace axvm::inline v1::boot {

/// Where Linux's image is mapped, and the most it and its slide may take (KERNEL_IMAGE_SIZE with RANDOMIZE_BASE).
inline constexpr std::uint64_t linux_start_kernel_map = 0xffff'ffff'8000'0000;
inline constexpr std::uint64_t linux_kernel_image_size = 1_GiB;

/// The relocations of an unpacked kernel, checked for its shape and its size in memory. A view.
class KernelRelocations {
 public:
  /// `linked` is the physical address the kernel was linked for, `size` what it may occupy from there. Nothing when the
  /// bytes are not such lists, or name a place outside the kernel.
  [[nodiscard, gnu::cold]] static std::optional<KernelRelocations> parse(ConstBytes bytes, std::uint64_t linked,
                                                                         std::uint64_t size) {
    if (bytes.empty() || bytes.size() % entry_size != 0) return std::nullopt;
    KernelRelocations relocations(bytes, linked);
    if (relocations.at(0) != 0) return std::nullopt;
    unsigned lists = 0;
    for (std::size_t i = 0; i < relocations.count(); ++i) {
      const std::int32_t entry = relocations.at(i);
      if (entry == 0) {
        if (++lists > 3) return std::nullopt;
      } else if (!range_fits(relocations.place(entry), lists == 1 ? 8 : 4, size)) return std::nullopt;
    }
    if (lists < 2) return std::nullopt;
    relocations.lists_ = lists;
    return relocations;
  }

  /// Adds `slide` to every virtual address in `kernel`, the kernel as it lies in memory, at least the size that was
  /// checked.
  [[gnu::cold]] void apply(std::byte* kernel, std::uint64_t slide) const {
    unsigned list = 0;
    for (std::size_t i = 0; i < count(); ++i) {
      const std::int32_t entry = at(i);
      if (entry == 0) ++list;
      else if (std::byte* where = kernel + place(entry); list == 1) add<std::uint64_t>(where, slide);
      else if (list == 2 && lists_ == 3) add<std::uint32_t>(where, -slide);
      else add<std::uint32_t>(where, slide);
    }
  }

 private:
  static constexpr std::size_t entry_size = sizeof(std::int32_t);

  KernelRelocations(ConstBytes bytes, std::uint64_t linked) : bytes_(bytes), linked_(linked) {}

  [[nodiscard]] std::size_t count() const { return bytes_.size() / entry_size; }
  [[nodiscard]] std::int32_t at(std::size_t index) const {
    std::int32_t entry;
    std::memcpy(&entry, bytes_.data() + entry_size * index, sizeof entry);
    return entry;
  }
  /// From the kernel's beginning; a large number for what lies before it.
  [[nodiscard]] std::uint64_t place(std::int32_t entry) const {
    return static_cast<std::uint64_t>(std::int64_t{entry}) - linux_start_kernel_map - linked_;
  }

  template <class T>
  static void add(std::byte* where, std::uint64_t slide) {
    T value;
    std::memcpy(&value, where, sizeof value);
    value = static_cast<T>(value + slide);
    std::memcpy(where, &value, sizeof value);
  }

  ConstBytes bytes_;
  std::uint64_t linked_ = 0;
  unsigned lists_ = 0;
};

/// How far to move a kernel's virtual addresses: a multiple of `alignment`, chosen by `random`, so that a kernel linked
/// for `linked` ends within the image's room. 0 when there is no choice.
[[nodiscard]] constexpr std::uint64_t kernel_slide(std::uint64_t random, std::uint64_t linked, std::uint64_t size,
                                                   std::uint64_t alignment) {
  if (alignment == 0 || !range_fits(linked, size, linux_kernel_image_size)) return 0;
  const std::uint64_t choices = (linux_kernel_image_size - linked - size) / alignment + 1;
  return random % choices * alignment;
}

/// Whether the word stands on the command line by itself, as the kernel looks for options without a value.
[[nodiscard]] constexpr bool has_option(std::string_view cmdline, std::string_view option) {
  while (!cmdline.empty()) {
    std::size_t end = 0;
    while (end < cmdline.size() && cmdline[end] != ' ') ++end;
    if (cmdline.substr(0, end) == option) return true;
    cmdline.remove_prefix(end < cmdline.size() ? end + 1 : end);
  }
  return false;
}

}  // namespace axvm::inline v1::boot
