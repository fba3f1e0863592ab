#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <axvm/boot/boot.hpp>

/// A bzImage made up for a test: as the Debian kernel's header is, but with a few bytes of code. Change `header`, then
/// build().
struct SyntheticKernel {
  axvm::boot::SetupHeader header;
  std::size_t code_size = 0x1000;
  std::size_t end = 0x26c;  ///< where the jump says that the header ends

  SyntheticKernel() {
    header.setup_sects = 3;
    header.boot_flag = 0xaa55;
    header.header = {'H', 'd', 'r', 'S'};
    header.version = 0x020f;
    header.loadflags = 0x01;
    header.initrd_addr_max = 0x7fff'ffff;
    header.kernel_alignment = 0x20'0000;
    header.min_alignment = 21;
    header.relocatable_kernel = 1;
    header.xloadflags = 0x7f;
    header.cmdline_size = 2047;
    header.pref_address = 0x100'0000;
    header.init_size = 0x80'0000;
    header.vid_mode = 0xffff;
    header.heap_end_ptr = 0x5be0;
    header.syssize = static_cast<std::uint32_t>(code_size / 16);
  }

  /// The file: the n-th byte of the protected-mode code is n % 251.
  [[nodiscard]] std::vector<std::byte> build() const {
    std::size_t setup = 512 * (1u + (header.setup_sects == 0 ? 4u : header.setup_sects));
    std::vector<std::byte> file(setup + code_size, std::byte{0xee});
    axvm::boot::SetupHeader raw = header;
    if (raw.jump[0] == 0) raw.jump = {0xeb, static_cast<std::uint8_t>(end - 0x202)};
    std::memcpy(file.data() + 0x1f1, reinterpret_cast<std::byte const*>(&raw) + 1, end - 0x1f1);
    for (std::size_t i = 0; i < code_size; ++i) file[setup + i] = static_cast<std::byte>(i % 251);
    return file;
  }
};

/// Guest memory of one or two regions, backed by the test's own.
class TestMemory {
 public:
  explicit TestMemory(std::uint64_t low, std::uint64_t second_base = 0, std::uint64_t second_size = 0)
      : low_(low), second_(second_size) {
    regions_[0] = {0, low, low_.data()};
    regions_[1] = {second_base, second_size, second_.data()};
  }
  [[nodiscard]] axvm::GuestMemory view() const {
    return axvm::GuestMemory(std::span<const axvm::GuestRegion>(regions_.data(), second_.empty() ? 1u : 2u));
  }
  std::byte& operator[](std::size_t at) { return low_[at]; }
  [[nodiscard]] bool untouched() const {
    for (std::byte b : low_)
      if (b != std::byte{}) return false;
    return true;
  }

 private:
  std::vector<std::byte> low_, second_;
  std::array<axvm::GuestRegion, 2> regions_;
};

inline bool contains(axvm::Error const& error, std::string_view part) {
  return error.operation.view().find(part) != std::string_view::npos;
}
