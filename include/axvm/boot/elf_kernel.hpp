#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/address_map.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1::boot {

/// Elf64_Ehdr ([elf] Object Files, ELF Header). Field names are the specification's without the prefix e_.
struct ElfHeader {
  static constexpr std::uint32_t magic = 0x464c'457f;  ///< "\x7fELF"
  static constexpr std::uint8_t ELFCLASS64 = 2, ELFDATA2LSB = 1;
  static constexpr std::uint16_t ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62;

  std::uint32_t ident_magic = 0;
  std::uint8_t ident_class = 0;
  std::uint8_t ident_data = 0;
  std::array<std::uint8_t, 10> ident_rest{};
  std::uint16_t type = 0;
  std::uint16_t machine = 0;
  std::uint32_t version = 0;
  std::uint64_t entry = 0;
  std::uint64_t phoff = 0;
  std::uint64_t shoff = 0;
  std::uint32_t flags = 0;
  std::uint16_t ehsize = 0;
  std::uint16_t phentsize = 0;
  std::uint16_t phnum = 0;
  std::uint16_t shentsize = 0;
  std::uint16_t shnum = 0;
  std::uint16_t shstrndx = 0;
};
static_assert(sizeof(ElfHeader) == 64 && offsetof(ElfHeader, entry) == 24 && offsetof(ElfHeader, phnum) == 56);

/// Elf64_Phdr ([elf] Program Loading, Program Header). Field names are the specification's without the prefix p_.
struct ElfSegment {
  static constexpr std::uint32_t PT_LOAD = 1;

  std::uint32_t type = 0;
  std::uint32_t flags = 0;
  std::uint64_t offset = 0;
  std::uint64_t vaddr = 0;
  std::uint64_t paddr = 0;
  std::uint64_t filesz = 0;
  std::uint64_t memsz = 0;
  std::uint64_t align = 0;
};
static_assert(sizeof(ElfSegment) == 56 && offsetof(ElfSegment, paddr) == 24);

/// The kernel that comes out of a bzImage: an x86-64 ELF file, checked. A view: its bytes must outlive it.
class ElfKernel {
 public:
  static constexpr std::size_t max_segments = 8;  ///< of PT_LOAD; Linux has four

  /// One stretch of the kernel.
  struct Segment {
    std::uint64_t offset = 0;  ///< from the kernel's beginning in guest memory
    ConstBytes bytes;          ///< what goes there
  };

  /// Takes the file apart. `linked` is the physical address it was linked for (a bzImage's pref_address), `room` how
  /// many bytes from there on it may occupy. Nothing in the file is believed. Fails with BadImage.
  static Result<ElfKernel> parse(ConstBytes file, GuestAddress linked, std::uint64_t room);

  [[nodiscard]] std::span<const Segment> segments() const { return {segments_.data(), count_}; }
  /// Where its 64-bit code begins, from the kernel's beginning.
  [[nodiscard]] std::uint64_t entry() const { return entry_; }
  /// What lies behind the ELF file's own parts: the kernel's relocations, if it has them.
  [[nodiscard]] ConstBytes trailer() const { return trailer_; }

 private:
  std::array<Segment, max_segments> segments_{};
  std::size_t count_ = 0;
  std::uint64_t entry_ = 0;
  ConstBytes trailer_;
};

[[gnu::cold]] inline Result<ElfKernel> ElfKernel::parse(ConstBytes file, GuestAddress linked, std::uint64_t room) {
  auto bad = [](auto const&... why) {
    return failure(ErrorCode::BadImage, text<1023>("load unpacked kernel: ", why...),
                   "the file is damaged; fetch the kernel again");
  };
  const auto header = load<ElfHeader>(file, 0);
  if (!header || header->ident_magic != ElfHeader::magic) return bad("it is no ELF file");
  if (header->ident_class != ElfHeader::ELFCLASS64 || header->ident_data != ElfHeader::ELFDATA2LSB ||
      header->machine != ElfHeader::EM_X86_64 ||
      (header->type != ElfHeader::ET_EXEC && header->type != ElfHeader::ET_DYN))
    return bad("it is not a program for 64-bit x86");
  if (header->phentsize != sizeof(ElfSegment)) return bad("its program headers have ", header->phentsize, " bytes");

  ElfKernel kernel;
  // Everything up to here is the ELF file; what is appended to it comes behind.
  std::uint64_t end = sizeof(ElfHeader);
  auto covers = [&](std::uint64_t offset, std::uint64_t size) {
    if (!range_fits(offset, size, file.size())) return false;
    if (offset + size > end) end = offset + size;
    return true;
  };
  if (!covers(header->phoff, std::uint64_t{sizeof(ElfSegment)} * header->phnum))
    return bad("its program headers lie outside it");
  if (header->shnum != 0 && !covers(header->shoff, std::uint64_t{header->shentsize} * header->shnum))
    return bad("its section headers lie outside it");
  bool entered = false;
  for (std::uint64_t i = 0; i < header->phnum; ++i) {
    const ElfSegment segment = *load<ElfSegment>(file, header->phoff + sizeof(ElfSegment) * i);
    if (segment.type != ElfSegment::PT_LOAD || segment.memsz == 0) continue;
    if (kernel.count_ == max_segments) return bad("it has more than ", max_segments, " segments");
    if (segment.filesz > segment.memsz || !covers(segment.offset, segment.filesz))
      return bad("segment ", i, " lies outside the file");
    if (segment.paddr < linked || !range_fits(segment.paddr - linked, segment.memsz, room))
      return bad("segment ", i, ", ", segment.memsz, " bytes at ", Hex{segment.paddr}, ", does not lie within the ",
                 room, " bytes from ", Hex{linked}, " on");
    const std::uint64_t offset = segment.paddr - linked;
    kernel.segments_[kernel.count_++] = {offset, file.subspan(segment.offset, segment.filesz)};
    if (header->entry >= segment.paddr && header->entry - segment.paddr < segment.filesz) entered = true;
  }
  if (!entered) return bad("its entry ", Hex{header->entry}, " is in no segment");
  kernel.entry_ = header->entry - linked;
  kernel.trailer_ = file.subspan(end);
  return kernel;
}

/// Shortens the segments of an unpacked kernel that end in pages of zeros, in the file's program headers: memory is
/// zero already, so nobody needs to read these pages or to write them. What is no such file, or makes no sense, stays
/// as it is; so does a segment behind which no section headers come, for what is appended to the file begins at its
/// end.
[[gnu::cold]] inline void leave_out_zeros(Bytes file) {
  constexpr std::uint64_t page = 4096;
  const auto header = load<ElfHeader>(file, 0);
  if (!header || header->ident_magic != ElfHeader::magic || header->phentsize != sizeof(ElfSegment)) return;
  const std::uint64_t sections = std::uint64_t{header->shentsize} * header->shnum;
  if (!range_fits(header->shoff, sections, file.size())) return;
  for (std::uint64_t i = 0; i < header->phnum; ++i) {
    const std::uint64_t at = header->phoff + sizeof(ElfSegment) * i;
    auto segment = load<ElfSegment>(file, at);
    if (!segment || at < header->phoff) return;
    if (segment->type != ElfSegment::PT_LOAD || !range_fits(segment->offset, segment->filesz, file.size()) ||
        segment->offset + segment->filesz > header->shoff + sections)
      continue;
    while (segment->filesz != 0) {
      const std::uint64_t last = (segment->filesz - 1) % page + 1;
      if (!is_zero(file.subspan(segment->offset + segment->filesz - last, last))) break;
      segment->filesz -= last;
    }
    (void)store(file, at, *segment);
  }
}

}  // namespace axvm::inline v1::boot
