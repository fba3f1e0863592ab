#include <string>

#include <doctest/doctest.h>

#include "boot_image.hpp"

using namespace axvm;
using boot::Entry;
using boot::LowMemory;

namespace {

/// A machine and a kernel to try loading; the parts may be changed before a load.
struct Bench {
  SyntheticKernel kernel;
  std::vector<std::byte> file, initrd;
  std::string cmdline = "console=ttyS0";
  AddressMap map;
  std::array<std::byte, 32> seed{};
  Entry entry = Entry::Long64;
  TestMemory memory;

  explicit Bench(std::uint64_t low = 32_MiB, std::uint64_t base = 0, std::uint64_t size = 0) : memory(low, base, size) {
    for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<std::byte>(i + 1);
  }
  boot::Context context() { return {.memory = memory.view(), .map = map, .rsdp = 0xe'0000, .rng_seed = seed}; }
  boot::LinuxImage image() {
    file = kernel.build();
    return {.kernel = file, .initrd = initrd, .cmdline = cmdline, .entry = entry};
  }
  Result<boot::LinuxPlan> plan() { return boot::plan_linux(image(), context()); }
  Result<EntryState> load() { return boot::load_linux(image(), context()); }
  boot::BootParams params() { return memory.view().load<boot::BootParams>(LowMemory::boot_params).value(); }
  Error error() {
    auto loaded = load();
    REQUIRE_FALSE(loaded);
    CHECK(memory.untouched());
    return loaded.error();
  }
};

}  // namespace

TEST_CASE("the 64-bit entry gets the processor state of [linux/boot] 1.15") {
  Bench bench;
  auto state = bench.load();
  REQUIRE(state);
  CHECK(state->general.rip == 0x100'0200);
  CHECK(state->general.rsi == LowMemory::boot_params);
  CHECK(state->general.rflags == 2);
  auto const& system = state->system;
  CHECK(system.in_64_bit_mode());
  CHECK(system.cr0 == 0x8000'0011);
  CHECK(system.cr4 == 0x20);
  CHECK(system.efer == 0x500);
  CHECK(system.cs.selector == 0x10);
  for (auto const* data : {&system.ds, &system.es, &system.ss}) {
    CHECK(data->selector == 0x18);
    CHECK(data->limit == 0xffff'ffff);
  }
  CHECK(system.apic_base == 0xfee0'0900);
  CHECK(system.tr.type == 0xb);

  // The GDT in memory says what the hidden parts say.
  auto gdt = bench.memory.view().load<std::array<std::uint64_t, 4>>(system.gdt.base);
  REQUIRE(gdt);
  CHECK(system.gdt.limit == 31);
  CHECK((*gdt)[0] == 0);
  CHECK((*gdt)[2] == 0x00af'9b00'0000'ffff);
  CHECK((*gdt)[3] == 0x00cf'9300'0000'ffff);
}

TEST_CASE("the 32-bit entry gets the processor state of [linux/boot] 1.14") {
  Bench bench;
  bench.entry = Entry::Protected32;
  bench.kernel.header.xloadflags = 0;  // no 64-bit entry needed
  auto state = bench.load();
  REQUIRE(state);
  CHECK(state->general.rip == 0x100'0000);
  CHECK(state->general.rsi == LowMemory::boot_params);
  CHECK(state->general.rbp == 0);
  CHECK(state->general.rdi == 0);
  CHECK(state->general.rbx == 0);
  CHECK(state->system.cr0 == 0x11);
  CHECK(state->system.cr4 == 0);
  CHECK(state->system.efer == 0);
  CHECK(state->system.cs.db);
  CHECK_FALSE(state->system.cs.l);
  CHECK(bench.memory.view().load<std::uint64_t>(LowMemory::gdt + 0x10) == 0x00cf'9b00'0000'ffffull);
}

TEST_CASE("there is no 16-bit entry") {
  Bench bench;
  bench.entry = Entry::Real16;
  CHECK(bench.error().code == ErrorCode::Unsupported);
}

TEST_CASE("kernel, initrd, command line and seed arrive unchanged, and boot_params says where") {
  Bench bench;
  bench.initrd.assign(5000, std::byte{0x17});
  bench.kernel.header.loadflags |= 0x80;  // a heap for the real-mode code, which does not run
  REQUIRE(bench.load());
  auto memory = bench.memory.view();
  for (std::size_t i : {0x0u, 0x200u, 0xfffu})
    CHECK(memory.load<std::uint8_t>(0x100'0000 + i) == static_cast<std::uint8_t>(i % 251));
  CHECK(memory.load<std::uint8_t>(0x100'1000) == std::uint8_t{0});

  auto params = bench.params();
  CHECK(params.hdr.type_of_loader == 0xff);
  CHECK(params.hdr.code32_start == 0x100'0000);
  CHECK(params.hdr.vid_mode == 0xffff);
  CHECK((params.hdr.loadflags & 0x81) == 0x01);
  CHECK(params.hdr.hardware_subarch == 0);
  CHECK(params.hdr.version == 0x020f);
  CHECK(params.hdr.init_size == 0x80'0000);
  CHECK(params.sentinel == 0);
  CHECK(params.acpi_rsdp_addr == 0xe'0000);

  CHECK(params.hdr.ramdisk_image == 32_MiB - 0x2000);
  CHECK(params.hdr.ramdisk_size == 5000);
  CHECK(memory.load<std::uint8_t>(32_MiB - 0x2000) == std::uint8_t{0x17});
  CHECK(memory.load<std::uint8_t>(32_MiB - 0x2000 + 4999) == std::uint8_t{0x17});
  CHECK(memory.load<std::uint8_t>(32_MiB - 0x2000 + 5000) == std::uint8_t{0});

  std::array<char, 14> cmdline{};
  REQUIRE(memory.read(params.hdr.cmd_line_ptr, std::as_writable_bytes(std::span(cmdline))));
  CHECK(std::string_view(cmdline.data(), 14) == std::string_view("console=ttyS0\0", 14));

  auto node = memory.load<boot::SetupData>(params.hdr.setup_data);
  REQUIRE(node);
  CHECK(node->next == 0);
  CHECK(node->type == 9);
  CHECK(node->len == 32);
  CHECK(memory.load<std::uint8_t>(params.hdr.setup_data + 16) == std::uint8_t{1});
  CHECK(memory.load<std::uint8_t>(params.hdr.setup_data + 16 + 31) == std::uint8_t{32});
}

TEST_CASE("without initrd, RSDP or seed their fields are zero") {
  Bench bench;
  auto context = bench.context();
  context.rsdp.reset();
  context.rng_seed = {};
  REQUIRE(boot::load_linux(bench.image(), context));
  auto params = bench.params();
  CHECK(params.hdr.ramdisk_image == 0);
  CHECK(params.hdr.ramdisk_size == 0);
  CHECK(params.acpi_rsdp_addr == 0);
  CHECK(params.hdr.setup_data == 0);
}

TEST_CASE("a protocol before 2.09 gets no setup_data") {
  Bench bench;
  bench.entry = Entry::Protected32;
  bench.kernel.header.version = 0x0208;
  bench.kernel.end = 0x250;
  REQUIRE(bench.load());
  CHECK(bench.params().hdr.setup_data == 0);
}

TEST_CASE("an old command line leaves nothing behind a shorter new one") {
  Bench bench;
  bench.cmdline.assign(100, 'x');
  REQUIRE(bench.load());
  bench.cmdline = "ro";
  REQUIRE(bench.load());
  CHECK(bench.memory[LowMemory::cmdline + 1] == std::byte{'o'});
  CHECK(bench.memory[LowMemory::cmdline + 2] == std::byte{0});
}

TEST_CASE("boot_params holds the address map") {
  Bench bench(32_MiB, 4_GiB, 1_MiB);
  REQUIRE(bench.load());
  auto params = bench.params();
  std::vector<boot::E820Range> found;
  for (std::size_t i = 0; i < params.e820_entries; ++i) found.push_back(params.e820_table[i].range());
  using enum boot::E820Type;
  std::vector<boot::E820Range> expected{
      {0, 0x9'fc00, AddressRangeMemory},           {0x9'fc00, 0x4'0400, AddressRangeReserved},
      {0xe'0000, 0x2'0000, AddressRangeACPI},      {1_MiB, 31_MiB, AddressRangeMemory},
      {0xfeff'c000, 0x4000, AddressRangeReserved}, {4_GiB, 1_MiB, AddressRangeMemory}};
  CHECK(found == expected);
}

TEST_CASE("the first 4 GiB are mapped to themselves") {
  Bench bench;
  auto state = bench.load();
  REQUIRE(state);
  CHECK(state->system.cr3 == LowMemory::page_tables);
  auto memory = bench.memory.view();
  for (GuestAddress address : std::array<GuestAddress, 4>{0, 0x100'0200, 0xfee0'0000, 0xffff'ffff}) {
    auto table = state->system.cr3;
    for (unsigned shift : {39u, 30u}) {
      auto entry = memory.load<std::uint64_t>(table + 8 * (address >> shift & 511)).value();
      REQUIRE((entry & 1) == 1);
      table = entry & PagingEntry::address_mask;
    }
    auto entry = memory.load<std::uint64_t>(table + 8 * (address >> 21 & 511)).value();
    CHECK(entry == ((address & ~0x1f'ffffull) | 0x83));
  }
}

TEST_CASE("a kernel that no longer fits its preferred address goes higher, aligned, if it is relocatable") {
  // A hole in RAM right where it wants to be.
  Bench bench(16_MiB + 64_KiB, 17_MiB, 16_MiB);
  auto plan = bench.plan();
  REQUIRE(plan);
  CHECK(plan->kernel == 18_MiB);
  auto state = bench.load();
  REQUIRE(state);
  CHECK(state->general.rip == 18_MiB + 0x200);
  CHECK(bench.params().hdr.code32_start == 18_MiB);

  bench.kernel.header.relocatable_kernel = 0;
  CHECK(bench.plan().error().code == ErrorCode::OutOfMemory);
}

TEST_CASE("a lesser alignment is taken when only that fits, and the kernel is told") {
  Bench bench(16_MiB + 64_KiB, 17_MiB, 9_MiB);  // ends at 26 MiB: 18 + 8 MiB just fits
  CHECK(bench.plan()->kernel == 18_MiB);
  bench.kernel.header.init_size += 0x1000;
  CHECK_FALSE(bench.plan());
  bench.kernel.header.min_alignment = 16;
  auto plan = bench.plan();
  REQUIRE(plan);
  CHECK(plan->kernel == 17_MiB);
  CHECK(plan->alignment == 1_MiB);
  REQUIRE(bench.load());
  CHECK(bench.params().hdr.kernel_alignment == 1_MiB);
}

TEST_CASE("too little memory for the kernel is an error with the numbers") {
  Bench bench(23_MiB);
  Error error = bench.error();
  CHECK(error.code == ErrorCode::OutOfMemory);
  CHECK(contains(error, "8388608 bytes from 0x1000000"));
  CHECK(contains(error, "ends at 0x1700000"));
  CHECK(error.hint.view().find("24 MiB") != std::string_view::npos);
  Bench enough(24_MiB);
  CHECK(enough.load());

  Bench tiny(0x9'f000);
  CHECK(contains(tiny.error(), "first 654336 bytes"));
}

TEST_CASE("hostile addresses and sizes in the header are refused, not wrapped") {
  Bench bench;
  for (std::uint64_t preferred : {0xffff'ffff'ffff'f000ull, 0xffff'ffff'ffe0'0000ull, 1ull << 32, 1ull << 63}) {
    bench.kernel.header.pref_address = preferred;
    for (std::uint8_t relocatable : {std::uint8_t{0}, std::uint8_t{1}}) {
      bench.kernel.header.relocatable_kernel = relocatable;
      CHECK(bench.error().code == ErrorCode::OutOfMemory);
    }
  }
  Bench size;
  size.kernel.header.init_size = 0xffff'ffff;
  CHECK(size.error().code == ErrorCode::OutOfMemory);
  Bench alignment;
  alignment.kernel.header.kernel_alignment = 0x8000'0000;
  alignment.kernel.header.min_alignment = 0;
  CHECK(alignment.error().code == ErrorCode::OutOfMemory);
}

TEST_CASE("a kernel never lands in the first MiB") {
  Bench bench;
  bench.kernel.header.pref_address = 0x1000;
  CHECK(bench.plan()->kernel == 2_MiB);
  bench.kernel.header.relocatable_kernel = 0;
  CHECK(bench.error().code == ErrorCode::OutOfMemory);
}

TEST_CASE("the ACPI tables' range is kept free wherever it is") {
  Bench bench;
  bench.map.acpi_tables = 16_MiB;
  CHECK(bench.plan()->kernel == 18_MiB);
  bench.map.acpi_tables = 31_MiB;
  bench.map.acpi_tables_size = 1_MiB;
  bench.initrd.resize(4096);
  CHECK(bench.plan()->initrd == 31_MiB - 4096);
  bench.map.acpi_tables = 0x8'0000;
  CHECK(bench.error().code == ErrorCode::InvalidArgument);
  bench.map.acpi_tables = ~0ull;
  CHECK(bench.error().code == ErrorCode::InvalidArgument);
}

TEST_CASE("the initrd lies as high as the kernel allows and never in it") {
  Bench bench;
  bench.initrd.resize(4097);
  CHECK(bench.plan()->initrd == 32_MiB - 8192);

  // initrd_addr_max is the highest byte that may be used.
  bench.initrd.resize(8192);
  bench.kernel.header.initrd_addr_max = 28 * MiB - 1;
  CHECK(bench.plan()->initrd == 28_MiB - 8192);
  bench.kernel.header.initrd_addr_max = 28 * MiB - 2;
  CHECK(bench.plan()->initrd == 28_MiB - 8192 - 4096);

  // The kernel has 16 to 24 MiB: 8 MiB fit above it, 9 do not, 15 fit below.
  bench.kernel.header.initrd_addr_max = 0x7fff'ffff;
  bench.initrd.resize(8_MiB);
  CHECK(bench.plan()->initrd == 24_MiB);
  bench.initrd.resize(8_MiB + 1);
  CHECK(bench.plan()->initrd == 16_MiB - 8_MiB - 4096);
  bench.initrd.resize(15_MiB);
  CHECK(bench.plan()->initrd == 1_MiB);
  bench.initrd.resize(15_MiB + 1);
  Error error = bench.error();
  CHECK(error.code == ErrorCode::OutOfMemory);
  CHECK(contains(error, "15728641 bytes"));
  CHECK(contains(error, "0x1000000 to 0x1800000"));

  bench.initrd.resize(1);
  bench.kernel.header.initrd_addr_max = 0;
  CHECK(bench.error().code == ErrorCode::OutOfMemory);
}

TEST_CASE("an initrd does not go above the device hole, whatever the kernel allows") {
  Bench bench(32_MiB, 4_GiB, 2_MiB);
  bench.kernel.header.initrd_addr_max = 0xffff'ffff;
  bench.initrd.resize(4096);
  CHECK(bench.plan()->initrd == 32_MiB - 4096);
}

TEST_CASE("the command line is checked") {
  Bench bench;
  bench.cmdline.assign(2047, 'x');
  CHECK(bench.plan());
  bench.cmdline.push_back('x');
  Error error = bench.error();
  CHECK(error.code == ErrorCode::OutOfRange);
  CHECK(contains(error, "2048 bytes"));
  CHECK(contains(error, "at most 2047"));

  bench.cmdline = std::string("a\0b", 3);
  CHECK(bench.error().code == ErrorCode::InvalidArgument);

  // However much the kernel claims to take, it ends where the loader's memory does.
  bench.kernel.header.cmdline_size = 0xffff'ffff;
  bench.cmdline.assign(LowMemory::longest_cmdline, 'x');
  REQUIRE(bench.load());
  CHECK(bench.memory[LowMemory::end - 1] == std::byte{0});
  CHECK(bench.memory[LowMemory::end] == std::byte{0});
  bench.cmdline.push_back('x');
  CHECK_FALSE(bench.load());
}

TEST_CASE("a kernel without a 64-bit entry is refused") {
  Bench bench;
  bench.kernel.header.xloadflags = 0x7e;
  Error error = bench.error();
  CHECK(error.code == ErrorCode::Unsupported);
  CHECK(contains(error, "64-bit entry"));
  CHECK(contains(error, "2.15"));
}

TEST_CASE("too long a seed is refused, the longest fits") {
  Bench bench;
  std::vector<std::byte> seed(0x2000 - 16, std::byte{1});
  auto context = bench.context();
  context.rng_seed = seed;
  REQUIRE(boot::load_linux(bench.image(), context));
  CHECK(bench.params().hdr.type_of_loader == 0xff);  // not written over by the seed
  seed.push_back({});
  context.rng_seed = seed;
  CHECK(boot::load_linux(bench.image(), context).error().code == ErrorCode::InvalidArgument);
}

TEST_CASE("a plan is not carried out in memory it was not made for") {
  Bench big, small(2_MiB);
  auto plan = big.plan();
  REQUIRE(plan);
  CHECK(boot::load_linux(*plan, small.context()).error().code == ErrorCode::OutOfMemory);
}
