#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <axvm/boot/boot.hpp>

/// What a bzImage unpacks to, made up for a test: two segments, with three virtual addresses in them and relocations
/// for these. Change a part, then build().
struct SyntheticElf {
  static constexpr std::uint64_t linked = 0x100'0000;
  static constexpr std::uint64_t pointer64 = 0xffff'ffff'8100'0123;
  static constexpr std::uint32_t inverse32 = 0x7f00'0000;
  static constexpr std::uint32_t pointer32 = 0x8120'0456;

  axvm::boot::ElfHeader header;
  std::vector<axvm::boot::ElfSegment> segments;
  std::vector<std::uint32_t> relocations = {0, 0x8100'0010, 0, 0x8100'0020, 0, 0x8120'0030};

  SyntheticElf() {
    using axvm::boot::ElfHeader, axvm::boot::ElfSegment;
    header.ident_magic = ElfHeader::magic;
    header.ident_class = ElfHeader::ELFCLASS64;
    header.ident_data = ElfHeader::ELFDATA2LSB;
    header.type = ElfHeader::ET_EXEC;
    header.machine = ElfHeader::EM_X86_64;
    header.entry = linked + 0x40;
    header.phoff = sizeof(ElfHeader);
    header.phentsize = sizeof(ElfSegment);
    header.shentsize = 64;
    for (std::uint64_t i : {0u, 1u}) {
      ElfSegment segment;
      segment.type = ElfSegment::PT_LOAD;
      segment.offset = 0x1000 * (i + 1);
      segment.paddr = linked + 0x20'0000 * i;
      segment.filesz = 0x1000;
      segment.memsz = 0x1000 + 0x1000 * i;
      segments.push_back(segment);
    }
  }

  /// The file: the bytes of segment n are n + 1 but for the three addresses.
  [[nodiscard]] std::vector<std::byte> build() const {
    constexpr std::size_t end = 0x3000;
    std::vector<std::byte> file(end + 4 * relocations.size());
    auto put = [&file](std::size_t at, auto const& value) { std::memcpy(file.data() + at, &value, sizeof value); };
    auto copy = header;
    copy.phnum = static_cast<std::uint16_t>(segments.size());
    put(0, copy);
    for (std::size_t i = 0; i < segments.size(); ++i) put(sizeof copy + sizeof segments[i] * i, segments[i]);
    std::memset(file.data() + 0x1000, 1, 0x1000);
    std::memset(file.data() + 0x2000, 2, 0x1000);
    put(0x1010, pointer64);
    put(0x1020, inverse32);
    put(0x2030, pointer32);
    for (std::size_t i = 0; i < relocations.size(); ++i) put(end + 4 * i, relocations[i]);
    return file;
  }
};
