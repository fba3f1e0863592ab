#pragma once

#include <cpuid.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>

#include <axvm/cpu/cpuid.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// Where facts about a host come from: the machine itself, or what was recorded of another one.
struct HostSource {
  void* self = nullptr;
  /// What CPUID answers; anything where the processor has no such leaf.
  CpuidEntry (*cpuid)(void* self, std::uint32_t leaf, std::uint32_t subleaf) = nullptr;
  /// A model-specific register of the first processor; nothing where it is not there or may not be read.
  std::optional<std::uint64_t> (*msr)(void* self, std::uint32_t index) = nullptr;
  /// A file's text, or its first 16 KiB; nothing where it is not there or may not be read.
  std::optional<std::string> (*file)(void* self, char const* path) = nullptr;
};

/// The machine itself. Registers need root and the kernel's module msr.
inline constexpr HostSource this_host{
    .self = nullptr,
    .cpuid =
        [](void*, std::uint32_t leaf, std::uint32_t subleaf) {
          CpuidEntry entry{.function = leaf, .index = subleaf};
          __cpuid_count(leaf, subleaf, entry.eax, entry.ebx, entry.ecx, entry.edx);
          return entry;
        },
    .msr = [](void*, std::uint32_t index) -> std::optional<std::uint64_t> {
      const Descriptor registers(::open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC));
      std::uint64_t value = 0;
      if (!registers || ::pread(registers.get(), &value, sizeof value, index) != sizeof value) return std::nullopt;
      return value;
    },
    .file = [](void*, char const* path) -> std::optional<std::string> {
      const Descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
      if (!file) return std::nullopt;
      std::string text(16 << 10, '\0');
      std::size_t size = 0;
      while (size < text.size()) {
        const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
        if (got < 0) return std::nullopt;
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
      }
      text.resize(size);
      return text;
    }};

}  // namespace axvm::inline v1
