#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include "boot_image.hpp"

using namespace axvm;
using boot::BzImage;

namespace {
Result<BzImage> parse(std::vector<std::byte> const& file) { return BzImage::parse(file); }

Error error_of(SyntheticKernel const& kernel) {
  auto file = kernel.build();
  auto image = parse(file);
  REQUIRE_FALSE(image);
  return image.error();
}
}  // namespace

TEST_CASE("a bzImage is taken apart") {
  SyntheticKernel kernel;
  kernel.header.setup_sects = 5;
  kernel.header.kernel_version = 0x200;
  auto file = kernel.build();
  std::memcpy(file.data() + 0x400, "6.1.0-test\n", 12);
  auto image = parse(file);
  REQUIRE(image);
  CHECK(image->version() == 0x020f);
  CHECK(image->has_64_bit_entry());
  CHECK(image->relocatable());
  CHECK(image->preferred_address() == 0x100'0000);
  CHECK(image->footprint() == 0x80'0000);
  CHECK(image->protected_mode().size() == 0x1000);
  CHECK(image->protected_mode().data() == file.data() + 6 * 512);
  CHECK(image->kernel_version() == "6.1.0-test");
}

TEST_CASE("setup_sects 0 means 4") {
  SyntheticKernel kernel;
  kernel.header.setup_sects = 0;
  auto file = kernel.build();
  auto image = parse(file);
  REQUIRE(image);
  CHECK(image->protected_mode().data() == file.data() + 5 * 512);
}

TEST_CASE("bytes after the code are not loaded") {
  auto file = SyntheticKernel().build();
  file.resize(file.size() + 1000);
  auto image = parse(file);
  REQUIRE(image);
  CHECK(image->protected_mode().size() == 0x1000);
}

TEST_CASE("the memory a kernel needs is at least what is loaded") {
  SyntheticKernel kernel;
  kernel.header.init_size = 16;
  auto file = kernel.build();
  CHECK(parse(file)->footprint() == 0x1000);
  kernel.header.init_size = 0;
  file = kernel.build();
  CHECK(parse(file)->footprint() == 4 * 0x1000 + 8_MiB);
}

TEST_CASE("fields that a protocol version does not define are not believed") {
  SyntheticKernel kernel;  // with all the newer fields' bytes in place
  kernel.header.version = 0x0206;
  kernel.header.payload_offset = 0xffff'ffff;
  kernel.header.payload_length = 0xffff'ffff;
  auto file = kernel.build();
  auto image = parse(file);
  REQUIRE(image);
  CHECK_FALSE(image->has_64_bit_entry());
  CHECK(image->preferred_address() == 1_MiB);
  CHECK(image->footprint() == 4 * 0x1000 + 8_MiB);
  CHECK(image->least_alignment() == 0x20'0000);
  kernel.header.version = 0x020b;
  kernel.header.payload_offset = kernel.header.payload_length = 0;
  kernel.header.min_alignment = 12;
  file = kernel.build();
  image = parse(file);
  REQUIRE(image);
  CHECK_FALSE(image->has_64_bit_entry());
  CHECK(image->preferred_address() == 0x100'0000);
  CHECK(image->least_alignment() == 0x1000);
}

TEST_CASE("the code behind the header is not taken for fields") {
  SyntheticKernel kernel;
  kernel.header.version = 0x020a;
  kernel.end = 0x264;
  kernel.header.later_fields.fill(0x77);
  auto file = kernel.build();  // what follows the header is 0xee
  auto image = parse(file);
  REQUIRE(image);
  CHECK(image->header().init_size == 0x80'0000);
  CHECK(image->header().handover_offset == 0);
  CHECK(image->header().later_fields[0] == 0);
}

TEST_CASE("newer minor versions load, with their longer header") {
  SyntheticKernel kernel;
  kernel.header.version = 0x0211;
  kernel.header.later_fields[0] = 0x5a;
  kernel.end = 0x270;
  auto file = kernel.build();
  auto image = parse(file);
  REQUIRE(image);
  CHECK(image->header().later_fields[0] == 0x5a);
}

TEST_CASE("files that are no bzImage are refused, with what was found") {
  auto empty = parse({});
  REQUIRE_FALSE(empty);
  CHECK(empty.error().code == ErrorCode::BadImage);
  CHECK(contains(empty.error(), "not a bzImage"));
  CHECK(contains(empty.error(), "0 bytes, at least 1024"));

  std::vector<std::byte> elf(4096);
  std::memcpy(elf.data(),
              "\x7f"
              "ELF",
              4);
  auto refused = parse(elf);
  REQUIRE_FALSE(refused);
  CHECK(contains(refused.error(), "boot flag at 0x1fe is 0x0"));
  CHECK(refused.error().hint.view().find("vmlinux") != std::string_view::npos);

  SyntheticKernel kernel;
  kernel.header.header = {'H', 'd', 'r', 's'};
  CHECK(contains(error_of(kernel), "HdrS"));
}

TEST_CASE("protocol versions that are too old or of another kind are refused with both numbers") {
  SyntheticKernel kernel;
  kernel.header.version = 0x0205;
  Error old = error_of(kernel);
  CHECK(old.code == ErrorCode::Unsupported);
  CHECK(contains(old, "2.05"));
  CHECK(contains(old, "2.06"));
  kernel.header.version = 0x0300;
  CHECK(contains(error_of(kernel), "3.00"));
  kernel.header.version = 0x020f;
  CHECK(boot::protocol_text(0x020f) == "2.15");
}

TEST_CASE("a header that ends too early, or whose jump is none, is refused") {
  SyntheticKernel kernel;
  kernel.end = 0x268;
  CHECK(error_of(kernel).code == ErrorCode::BadImage);
  kernel.header.version = 0x020e;  // ends there
  CHECK(parse(kernel.build()));
  kernel.header.jump = {0xe9, 0x6a};
  CHECK(error_of(kernel).code == ErrorCode::BadImage);
  kernel.header.jump = {0xeb, 0x80};  // backwards
  CHECK(error_of(kernel).code == ErrorCode::BadImage);
}

TEST_CASE("a zImage is refused") {
  SyntheticKernel kernel;
  kernel.header.loadflags = 0;
  CHECK(contains(error_of(kernel), "zImage"));
}

TEST_CASE("a truncated file is refused with what is missing") {
  auto file = SyntheticKernel().build();
  file.resize(file.size() - 100);
  auto image = parse(file);
  REQUIRE_FALSE(image);
  CHECK(image.error().code == ErrorCode::BadImage);
  CHECK(contains(image.error(), "6144 bytes are needed"));
  CHECK(contains(image.error(), "6044 are there, 100 are missing"));

  SyntheticKernel kernel;
  kernel.header.syssize = 0xffff'ffff;
  CHECK(contains(error_of(kernel), "68719478768 bytes are needed"));
  kernel.header.syssize = 0x20;  // 0x200 bytes: the 64-bit entry lies behind them
  CHECK(contains(error_of(kernel), "claims 512 bytes"));
}

TEST_CASE("a payload outside the code is refused") {
  SyntheticKernel kernel;
  kernel.header.payload_offset = 0xf00;
  kernel.header.payload_length = 0x100;
  CHECK(parse(kernel.build()));
  kernel.header.payload_length = 0x101;
  CHECK(contains(error_of(kernel), "payload"));
  kernel.header.payload_offset = 0xffff'ffff;
  kernel.header.payload_length = 0xffff'ffff;
  CHECK(contains(error_of(kernel), "payload"));
}

TEST_CASE("a relocatable kernel with an impossible alignment is refused") {
  SyntheticKernel kernel;
  for (std::uint32_t alignment : {0u, 0x30'0000u}) {
    kernel.header.kernel_alignment = alignment;
    CHECK(contains(error_of(kernel), "power of two"));
  }
  kernel.header.relocatable_kernel = 0;
  CHECK(parse(kernel.build()));
}

TEST_CASE("a version text outside the setup code or without an end is cut") {
  SyntheticKernel kernel;
  kernel.header.kernel_version = 3 * 512;
  auto file = kernel.build();
  CHECK(parse(file)->kernel_version().empty());
  kernel.header.kernel_version = 3 * 512 - 2;
  file = kernel.build();
  file[4 * 512 - 2] = file[4 * 512 - 1] = std::byte{'x'};
  file[4 * 512] = std::byte{'y'};
  CHECK(parse(file)->kernel_version() == "xx");
}

TEST_CASE("a real kernel, where AXVM_TEST_KERNEL names one, is a bzImage with a 64-bit entry and fits 128 MiB") {
  char const* path = std::getenv("AXVM_TEST_KERNEL");
  if (path == nullptr || *path == '\0') return;
  std::ifstream stream(path, std::ios::binary);
  REQUIRE(stream);
  std::string const bytes{std::istreambuf_iterator<char>(stream), {}};
  auto image = BzImage::parse(std::as_bytes(std::span(bytes)));
  REQUIRE(image);
  CHECK(image->has_64_bit_entry());
  CHECK_FALSE(image->kernel_version().empty());
  TestMemory memory(128_MiB);
  auto plan = boot::plan_linux({.kernel = std::as_bytes(std::span(bytes)), .initrd = {}, .cmdline = "quiet"},
                               {.memory = memory.view(), .map = {}, .rsdp = {}, .rng_seed = {}});
  REQUIRE(plan);
  CHECK(plan->kernel == image->preferred_address());
}
