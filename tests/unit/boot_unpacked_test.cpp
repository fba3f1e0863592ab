#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "boot_image.hpp"
#include "unpacked_kernel.hpp"

using namespace axvm;
using boot::ElfHeader;
using boot::ElfKernel;
using boot::ElfSegment;
using boot::KernelRelocations;

namespace {

constexpr std::uint64_t room = 8_MiB;

Error refused(std::vector<std::byte> const& file) {
  const auto kernel = ElfKernel::parse(file, SyntheticElf::linked, room);
  REQUIRE_FALSE(kernel);
  CHECK(kernel.error().code == ErrorCode::BadImage);
  return kernel.error();
}

/// The synthetic kernel in a guest of 64 MiB.
struct Boot {
  SyntheticKernel kernel;
  SyntheticElf elf;
  std::vector<std::byte> file, unpacked;
  std::string cmdline = "console=ttyS0";
  std::uint64_t random = 0;
  TestMemory memory{64_MiB};

  Result<EntryState> load(boot::Entry entry = boot::Entry::Long64) {
    file = kernel.build();
    unpacked = elf.build();
    return boot::load_linux({.kernel = file, .initrd = {}, .cmdline = cmdline, .entry = entry, .unpacked = unpacked},
                            {.memory = memory.view(), .map = {}, .rsdp = {}, .rng_seed = {}, .random = random});
  }
  template <class T>
  T at(std::uint64_t offset) const {
    return *memory.view().load<T>(SyntheticElf::linked + offset);
  }
};

}  // namespace

TEST_CASE("unpacked kernel: segments, entry and what is appended are found") {
  const auto file = SyntheticElf{}.build();
  const auto kernel = ElfKernel::parse(file, SyntheticElf::linked, room);
  REQUIRE(kernel);
  REQUIRE(kernel->segments().size() == 2);
  CHECK(kernel->segments()[0].offset == 0);
  CHECK(kernel->segments()[0].bytes.size() == 0x1000);
  CHECK(kernel->segments()[1].offset == 0x20'0000);
  CHECK(kernel->entry() == 0x40);
  CHECK(kernel->trailer().size() == 6 * sizeof(std::uint32_t));
}

TEST_CASE("unpacked kernel: every way in which it can be wrong is an error") {
  SyntheticElf elf;
  SUBCASE("not ELF") { elf.header.ident_magic = 0; }
  SUBCASE("32-bit") { elf.header.ident_class = 1; }
  SUBCASE("another machine") { elf.header.machine = 183; }
  SUBCASE("an object file") { elf.header.type = 1; }
  SUBCASE("program headers of another size") { elf.header.phentsize = 32; }
  SUBCASE("program headers behind the end") { elf.header.phoff = 1ull << 40; }
  SUBCASE("program headers that wrap") { elf.header.phoff = ~0ull - 8; }
  SUBCASE("section headers behind the end") { elf.header.shnum = 0xffff; }
  SUBCASE("a segment that wraps") { elf.segments[1].offset = ~0ull - 8; }
  SUBCASE("more in the file than in memory") { elf.segments[1].memsz = 8; }
  SUBCASE("below where it was linked") { elf.segments[1].paddr = SyntheticElf::linked - 1; }
  SUBCASE("beyond its room") { elf.segments[1].paddr = SyntheticElf::linked + room - 0xfff; }
  SUBCASE("memory that wraps") { elf.segments[1].memsz = ~0ull; }
  SUBCASE("an entry outside") { elf.header.entry = SyntheticElf::linked + 0x1000; }
  SUBCASE("nothing to load") { elf.segments[0].type = elf.segments[1].type = 4; }
  SUBCASE("too many segments") {
    elf.segments.resize(ElfKernel::max_segments + 1, elf.segments[0]);
    CHECK(contains(refused(elf.build()), "more than 8 segments"));
    return;
  }
  (void)refused(elf.build());
}

TEST_CASE("unpacked kernel: cut off anywhere, it is refused or whole") {
  const auto whole = SyntheticElf{}.build();
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto kernel = ElfKernel::parse(part, SyntheticElf::linked, room);
    if (!kernel) continue;
    for (auto const& segment : kernel->segments()) CHECK(segment.bytes.size() == 0x1000);
  }
}

TEST_CASE("unpacked kernel: pages of zeros at a segment's end are left out of the file, and nothing else is") {
  SyntheticElf elf;
  elf.header.shoff = 0x2fc0;
  elf.header.shnum = 1;
  elf.segments.pop_back();
  elf.segments[0].memsz = 0x3000;
  auto size_after = [&elf](std::uint64_t filesz, std::size_t last_byte) {
    elf.segments[0].filesz = filesz;
    auto file = elf.build();
    std::memset(file.data() + 0x2000, 0, 0x1000);
    if (last_byte != 0) file[last_byte] = std::byte{7};
    boot::leave_out_zeros(file);
    const auto kernel = ElfKernel::parse(file, SyntheticElf::linked, room);
    REQUIRE(kernel);
    CHECK(kernel->trailer().size() == 6 * sizeof(std::uint32_t));
    return kernel->segments()[0].bytes.size();
  };
  CHECK(size_after(0x2000, 0) == 0x1000);
  CHECK(size_after(0x1801, 0) == 0x1000);
  CHECK(size_after(0x2000, 0x2000) == 0x2000);
  CHECK(size_after(0x2000, 0x2fff) == 0x2000);
  CHECK(size_after(0x1000, 0) == 0x1000);

  SUBCASE("without section headers what is appended begins at its end") {
    elf.header.shnum = 0;
    CHECK(size_after(0x2000, 0) == 0x2000);
  }
  SUBCASE("damaged files") {
    elf.segments[0].filesz = 0x2000;
    const auto whole = elf.build();
    for (std::size_t size = 1; size < whole.size(); ++size) {
      std::vector<std::byte> file(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      boot::leave_out_zeros(file);
      constexpr std::size_t headers = sizeof elf.header + sizeof elf.segments[0];
      const std::size_t from = size < headers ? 0 : headers;  // the program header itself may be another one
      CHECK(std::memcmp(file.data() + from, whole.data() + from, size - from) == 0);
    }
    elf.header.phoff = ~std::uint64_t{0} - 55;
    auto file = elf.build();
    const auto before = file;
    boot::leave_out_zeros(file);
    CHECK(file == before);
  }
}

TEST_CASE("unpacked kernel: it is loaded in place of the packed code and entered at its own entry") {
  Boot guest;
  const auto state = guest.load();
  REQUIRE(state);
  CHECK(state->general.rip == SyntheticElf::linked + 0x40);
  CHECK(state->general.rsi == boot::LowMemory::boot_params);
  CHECK(guest.at<std::uint8_t>(0x100) == 1);              // of the first segment
  CHECK(guest.at<std::uint8_t>(0x20'0000 + 0x100) == 2);  // of the second
  CHECK(guest.at<std::uint64_t>(0x10) == SyntheticElf::pointer64);
  const auto params = *guest.memory.view().load<boot::BootParams>(boot::LowMemory::boot_params);
  CHECK((params.hdr.loadflags & boot::SetupHeader::KASLR_FLAG) == 0);
}

TEST_CASE("unpacked kernel: its virtual addresses are moved, and the kernel is told so") {
  Boot guest;
  guest.random = 5;
  REQUIRE(guest.load());
  const std::uint64_t slide = 5 * 2_MiB;
  CHECK(guest.at<std::uint64_t>(0x10) == SyntheticElf::pointer64 + slide);
  CHECK(guest.at<std::uint32_t>(0x20) == static_cast<std::uint32_t>(SyntheticElf::inverse32 - slide));
  CHECK(guest.at<std::uint32_t>(0x20'0030) == static_cast<std::uint32_t>(SyntheticElf::pointer32 + slide));
  const auto params = *guest.memory.view().load<boot::BootParams>(boot::LowMemory::boot_params);
  CHECK((params.hdr.loadflags & boot::SetupHeader::KASLR_FLAG) != 0);
}

TEST_CASE("unpacked kernel: nokaslr keeps it where it was linked, and only the whole word does") {
  Boot guest;
  guest.random = 5;
  bool moved = false;
  SUBCASE("alone") { guest.cmdline = "nokaslr"; }
  SUBCASE("among others") { guest.cmdline = "quiet nokaslr panic=1"; }
  SUBCASE("part of a word") {
    guest.cmdline = "xnokaslr nokaslr=1 nokaslrx";
    moved = true;
  }
  REQUIRE(guest.load());
  CHECK((guest.at<std::uint64_t>(0x10) != SyntheticElf::pointer64) == moved);
}

TEST_CASE("unpacked kernel: relocations that make no sense move nothing") {
  Boot guest;
  guest.random = 5;
  SUBCASE("none") { guest.elf.relocations.clear(); }
  SUBCASE("no list at the beginning") { guest.elf.relocations.front() = 0x8100'0010; }
  SUBCASE("one list") { guest.elf.relocations = {0, 0x8100'0010}; }
  SUBCASE("four lists") { guest.elf.relocations = {0, 0, 0, 0, 0x8100'0010}; }
  SUBCASE("below the kernel") { guest.elf.relocations[1] = 0x80ff'fff8; }
  SUBCASE("beyond the kernel") { guest.elf.relocations[1] = 0x8180'0000 - 7; }
  SUBCASE("a positive address") { guest.elf.relocations[1] = 0x0100'0010; }
  REQUIRE(guest.load());
  CHECK(guest.at<std::uint64_t>(0x10) == SyntheticElf::pointer64);
}

TEST_CASE("unpacked kernel: newer kernels have two lists") {
  Boot guest;
  guest.random = 1;
  guest.elf.relocations = {0, 0x8100'0010, 0, 0x8120'0030};
  REQUIRE(guest.load());
  CHECK(guest.at<std::uint64_t>(0x10) == SyntheticElf::pointer64 + 2_MiB);
  CHECK(guest.at<std::uint32_t>(0x20) == SyntheticElf::inverse32);
  CHECK(guest.at<std::uint32_t>(0x20'0030) == static_cast<std::uint32_t>(SyntheticElf::pointer32 + 2_MiB));
}

TEST_CASE("unpacked kernel: a slide keeps the kernel within its gigabyte, whatever the random number") {
  for (const std::uint64_t random : {0ull, 1ull, 12345ull, ~0ull, 1ull << 63}) {
    const std::uint64_t slide = boot::kernel_slide(random, 16_MiB, 50_MiB, 2_MiB);
    CHECK(slide % 2_MiB == 0);
    CHECK(16_MiB + slide + 50_MiB <= boot::linux_kernel_image_size);
  }
  CHECK(boot::kernel_slide(~0ull, 16_MiB, 2_GiB, 2_MiB) == 0);
  CHECK(boot::kernel_slide(7, 16_MiB, 50_MiB, 0) == 0);
}

TEST_CASE("unpacked kernel: it has no 32-bit entry") {
  Boot guest;
  const auto state = guest.load(boot::Entry::Protected32);
  REQUIRE_FALSE(state);
  CHECK(state.error().code == ErrorCode::Unsupported);
}
