#include <lz4.h>
#include <lzma.h>
#include <sys/stat.h>
#include <utime.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/bind/unpack.hpp>

#include "boot_image.hpp"
#include "scratch.hpp"
#include "unpacked_kernel.hpp"

using namespace axvm;
using boot::Compression;

namespace {

using Buffer = std::vector<std::byte>;

/// Something to pack that is larger than one of LZ4's blocks.
Buffer sample() {
  Buffer bytes(9_MiB + 12345);
  std::uint32_t value = 1;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) value = value * 1664525 + 1013904223;
    bytes[i] = static_cast<std::byte>(value >> 24);
  }
  return bytes;
}

template <class T>
T* as(Buffer& bytes, std::size_t at = 0) {
  return reinterpret_cast<T*>(bytes.data() + at);
}

Buffer gzip(Buffer from) {
  Buffer out(from.size() + 4096);
  z_stream stream{};
  REQUIRE(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = as<Bytef>(from);
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = as<Bytef>(out);
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

Buffer xz(Buffer from) {
  Buffer out(::lzma_stream_buffer_bound(from.size()));
  std::size_t size = 0;
  REQUIRE(::lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr, as<std::uint8_t>(from), from.size(),
                                    as<std::uint8_t>(out), &size, out.size()) == LZMA_OK);
  out.resize(size);
  return out;
}

Buffer lz4(Buffer from) {
  Buffer out(4);
  const std::uint32_t magic = 0x184c'2102;
  std::memcpy(out.data(), &magic, 4);
  for (std::size_t at = 0; at < from.size(); at += 8_MiB) {
    const std::size_t part = std::min<std::size_t>(8_MiB, from.size() - at);
    Buffer block(static_cast<std::size_t>(LZ4_COMPRESSBOUND(8_MiB)));
    const int size = ::LZ4_compress_default(as<char>(from, at), as<char>(block), static_cast<int>(part),
                                            static_cast<int>(block.size()));
    REQUIRE(size > 0);
    const auto length = static_cast<std::uint32_t>(size);
    out.resize(out.size() + 4);
    std::memcpy(out.data() + out.size() - 4, &length, 4);
    out.insert(out.end(), block.begin(), block.begin() + size);
  }
  return out;
}

Buffer zstd(Buffer from) {
  Buffer out(::ZSTD_compressBound(from.size()));
  out.resize(::ZSTD_compress(out.data(), out.size(), from.data(), from.size(), 1));
  return out;
}

struct Format {
  Compression compression;
  Buffer (*pack)(Buffer);
};
constexpr Format formats[] = {
    {Compression::Gzip, gzip}, {Compression::Xz, xz}, {Compression::Lz4, lz4}, {Compression::Zstd, zstd}};

/// A bzImage with a payload, as the kernel's build makes it.
struct Image {
  Buffer file;
  Image(Buffer payload, std::uint64_t unpacked, bool append = true, std::uint32_t init_size = 0x200'0000) {
    if (append) {
      const auto size = static_cast<std::uint32_t>(unpacked);
      payload.insert(payload.end(), 4, std::byte{});
      std::memcpy(payload.data() + payload.size() - 4, &size, 4);
    }
    constexpr std::size_t offset = 0x400;
    SyntheticKernel kernel;
    kernel.code_size = (offset + payload.size() + 15) / 16 * 16;
    kernel.header.syssize = static_cast<std::uint32_t>(kernel.code_size / 16);
    kernel.header.payload_offset = offset;
    kernel.header.payload_length = static_cast<std::uint32_t>(payload.size());
    kernel.header.init_size = init_size;
    file = kernel.build();
    std::memcpy(file.data() + 512 * 4 + offset, payload.data(), payload.size());
  }
  Result<std::optional<boot::Payload>> payload() const { return boot::find_payload(*boot::BzImage::parse(file)); }
};

boot::Payload payload_of(Format const& format, Buffer const& packed, std::size_t size) {
  return {.compression = format.compression, .bytes = packed, .unpacked_size = size};
}

bool same(ConstBytes left, ConstBytes right) {
  return left.size() == right.size() && std::memcmp(left.data(), right.data(), left.size()) == 0;
}

std::size_t files_in(std::string const& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE("payload: each format is known by its first bytes and unpacks to what was packed") {
  const Buffer plain = sample();
  for (Format const& format : formats) {
    CAPTURE(name_of(format.compression));
    const Image image(format.pack(plain), plain.size(), format.compression != Compression::Gzip);
    const auto payload = image.payload();
    REQUIRE(payload);
    REQUIRE(*payload);
    CHECK((*payload)->compression == format.compression);
    CHECK((*payload)->unpacked_size == plain.size());
    const auto unpacked = unpack_kernel(**payload, {});
    REQUIRE(unpacked);
    CHECK(same(unpacked->bytes, plain));
  }
}

TEST_CASE("payload: formats that are not unpacked here are told apart from damage") {
  for (const std::uint32_t magic : {0x5a42u, 0x005du, 0x4f5a'4c89u, 0x1234'5678u}) {
    Buffer packed(64);
    std::memcpy(packed.data(), &magic, 4);
    const auto payload = Image(packed, 100).payload();
    REQUIRE(payload);
    REQUIRE(*payload);
    const auto unpacked = unpack_kernel(**payload, {});
    REQUIRE_FALSE(unpacked);
    CHECK(unpacked.error().code == ErrorCode::Unsupported);
  }
}

TEST_CASE("payload: one that claims more than the kernel asks memory for is refused before it is unpacked") {
  const Buffer packed = lz4(Buffer(100));
  const auto too_large = Image(packed, 32_MiB + 1).payload();
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().code == ErrorCode::BadImage);
  CHECK(contains(too_large.error(), "unpack to 33554433 bytes, its header asks for 33554432"));
  CHECK_FALSE(Image(packed, 0).payload());
  CHECK(Image(packed, 32_MiB).payload());
}

TEST_CASE("payload: a bzImage that does not say enough has none") {
  CHECK_FALSE(*Image(lz4(Buffer(100)), 100, true, 0).payload());
  CHECK_FALSE(*Image(Buffer(2), 100, true).payload());
}

TEST_CASE("payload: too short, too long, cut off and damaged ones are errors, and nothing is written behind the end") {
  const Buffer plain = sample();
  for (Format const& format : formats) {
    CAPTURE(name_of(format.compression));
    Buffer packed = format.pack(plain);
    const auto refused = [&](boot::Payload const& payload) {
      const auto unpacked = unpack_kernel(payload, {});
      if (unpacked) return false;
      return unpacked.error().code == ErrorCode::BadImage && contains(unpacked.error(), "bytes it claims");
    };
    CHECK(refused(payload_of(format, packed, plain.size() + 1)));
    CHECK(refused(payload_of(format, packed, plain.size() - 1)));
    CHECK(refused(payload_of(format, packed, 1)));
    for (const std::size_t size : {std::size_t{4}, std::size_t{5}, packed.size() / 2, packed.size() - 1}) {
      boot::Payload cut = payload_of(format, packed, plain.size());
      cut.bytes = cut.bytes.first(size);
      CHECK(refused(cut));
    }
    // Not every damage shows in a format without a checksum; none may do harm.
    for (std::size_t at = 4; at < packed.size(); at += packed.size() / 40) {
      Buffer damaged = packed;
      damaged[at] ^= std::byte{0xff};
      (void)unpack_kernel(payload_of(format, damaged, plain.size()), {});
    }
  }
}

TEST_CASE("kernel cache: what was unpacked once is found again, with no unpacking") {
  const scratch::Directory directory;
  const Path cache = directory.path("deep/cache");
  const Buffer plain = sample();
  const Buffer packed = zstd(plain);
  REQUIRE(unpack_kernel(payload_of(formats[3], packed, plain.size()), cache));
  REQUIRE(files_in(directory.name("deep/cache")) == 1);
  struct stat status{};
  REQUIRE(::stat(cache.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);

  // Of another format by name, it could not be unpacked: it was found.
  boot::Payload other = payload_of(formats[3], packed, plain.size());
  other.compression = Compression::Gzip;
  const auto found = unpack_kernel(other, cache);
  REQUIRE(found);
  CHECK(same(found->bytes, plain));
}

TEST_CASE("kernel cache: a payload that differs in one byte is another kernel") {
  const scratch::Directory directory;
  const Path cache = directory.path("cache");
  const Buffer plain = sample();
  Buffer packed = lz4(plain);
  REQUIRE(unpack_kernel(payload_of(formats[2], packed, plain.size()), cache));
  // In the middle, where the name of the file does not depend on it, and unpacking would show it.
  packed[packed.size() / 2] ^= std::byte{1};
  boot::Payload other = payload_of(formats[2], packed, plain.size());
  other.compression = Compression::Gzip;
  CHECK_FALSE(unpack_kernel(other, cache));
}

TEST_CASE("kernel cache: a payload in the same file, unchanged, is not looked at again") {
  const scratch::Directory directory;
  const Path cache = directory.path("cache");
  const Buffer plain = sample();
  Buffer packed = lz4(plain);
  const FileState first{.device = 1, .inode = 2, .size = 3, .modified = 4, .changed = 5};
  FileState second = first;
  second.changed = 6;
  REQUIRE(unpack_kernel(payload_of(formats[2], packed, plain.size()), cache, first));
  // Whoever looked would see another payload, and could not unpack it.
  const auto found = [&](FileState const& from) {
    boot::Payload other = payload_of(formats[2], packed, plain.size());
    other.compression = Compression::Gzip;
    const auto unpacked = unpack_kernel(other, cache, from);
    return unpacked && same(unpacked->bytes, plain);
  };
  CHECK(found(second));  // looked at, and remembered
  packed[packed.size() / 2] ^= std::byte{1};
  CHECK(found(second));
  CHECK_FALSE(found(first));
  CHECK_FALSE(found({}));
}

TEST_CASE("kernel cache: a file's state is known when it is older than its times are exact") {
  const scratch::Directory directory;
  directory.put("new", "a kernel");
  const auto fresh = File::open("kernel", directory.path("new"));
  REQUIRE(fresh);
  CHECK_FALSE(fresh->state().known());
  // A time of its contents can be set back, that of its change cannot.
  const utimbuf old{1000, 1000};
  REQUIRE(::utime(directory.path("new").c_str(), &old) == 0);
  CHECK_FALSE(fresh->state().known());

  const auto settled = File::open("kernel", "/proc/self/exe");
  REQUIRE(settled);
  const FileState state = settled->state();
  CHECK(state.known());
  CHECK(state == settled->state());
  CHECK(state.size == std::filesystem::file_size("/proc/self/exe"));
}

TEST_CASE("kernel cache: files that are cut off, damaged, links or another's are not believed") {
  const scratch::Directory directory;
  const Path cache = directory.path("cache");
  const Buffer plain = sample();
  const Buffer packed = lz4(plain);
  const boot::Payload payload = payload_of(formats[2], packed, plain.size());
  REQUIRE(unpack_kernel(payload, cache));
  const std::string file = std::filesystem::directory_iterator(cache.c_str())->path().string();
  SUBCASE("cut off") { std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1); }
  SUBCASE("of another version") {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(12);
    stream << '1';
  }
  SUBCASE("writable by others") { REQUIRE(::chmod(file.c_str(), 0622) == 0); }
  SUBCASE("a link") {
    std::filesystem::rename(file, directory.name("elsewhere"));
    std::filesystem::create_symlink(directory.name("elsewhere"), file);
  }
  boot::Payload other = payload;
  other.compression = Compression::Gzip;
  CHECK_FALSE(unpack_kernel(other, cache));
  const auto again = unpack_kernel(payload, cache);
  REQUIRE(again);
  CHECK(same(again->bytes, plain));
  CHECK(unpack_kernel(other, cache));  // and it was written anew
}

TEST_CASE("kernel cache: where there is no place for it the guest unpacks") {
  const scratch::Directory directory;
  directory.put("file", "no directory");
  const Buffer packed = lz4(Buffer(5000));
  for (const char* name : {"file", "file/below", "a/b/c/d"}) {
    const auto unpacked = unpack_kernel(payload_of(formats[2], packed, 5000), directory.path(name));
    REQUIRE_FALSE(unpacked);
    CHECK(unpacked.error().code == ErrorCode::Unsupported);
  }
  const scratch::Unprivileged user;
  if (!user) {
    MESSAGE("cannot become another user here");
    return;
  }
  CHECK_FALSE(unpack_kernel(payload_of(formats[2], packed, 5000), directory.path("cache")));
}

TEST_CASE("kernel cache: it keeps the eight that were used last") {
  const scratch::Directory directory;
  const Path cache = directory.path("cache");
  std::vector<Buffer> packed;
  for (int i = 0; i < 10; ++i) packed.push_back(lz4(Buffer(5000, static_cast<std::byte>(i))));
  auto payload = [&](int i) { return payload_of(formats[2], packed[static_cast<std::size_t>(i)], 5000); };
  for (int i = 0; i < 8; ++i) REQUIRE(unpack_kernel(payload(i), cache));
  for (auto const& entry : std::filesystem::directory_iterator(cache.c_str())) {
    const utimbuf old{1000, 1000};
    REQUIRE(::utime(entry.path().c_str(), &old) == 0);
  }
  REQUIRE(unpack_kernel(payload(3), cache));  // used again
  REQUIRE(unpack_kernel(payload(8), cache));
  CHECK(files_in(cache.c_str()) == 8);
  boot::Payload other = payload(3);
  other.compression = Compression::Gzip;
  CHECK(unpack_kernel(other, cache));
}

TEST_CASE("kernel cache: its directory is where the user's programs keep such things") {
  const char* const home = std::getenv("HOME");
  const std::string kept = home != nullptr ? home : "";
  ::setenv("XDG_CACHE_HOME", "/var/caches", 1);
  CHECK(kernel_cache_directory() == "/var/caches/axvm");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::setenv("HOME", "/var/empty", 1);
  CHECK(kernel_cache_directory() == "/var/empty/.cache/axvm");
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  CHECK(kernel_cache_directory().empty());
  if (home != nullptr) ::setenv("HOME", kept.c_str(), 1);
}

namespace {

/// Starts the kernel in the file with that unpacker; where it is entered.
Result<std::uint64_t> entered_at(Path const& kernel, KernelUnpacker unpack, boot::Entry entry = boot::Entry::Long64) {
  const auto loader = LinuxBoot::open({.kernel = kernel, .cmdline = "quiet", .entry = entry, .unpack = unpack});
  REQUIRE(loader);
  const TestMemory memory(64_MiB);
  const auto state = (*loader)({.memory = memory.view(), .map = {}, .rsdp = {}, .rng_seed = {}});
  if (!state) return std::unexpected(state.error());
  return state->general.rip;
}

}  // namespace

TEST_CASE("Linux loader: the unpacked kernel is entered where there is an unpacker for it, else the packed one") {
  const scratch::Directory directory;
  auto write = [&](std::string_view name, Image const& image) {
    return directory.put(name, {reinterpret_cast<char const*>(image.file.data()), image.file.size()});
  };
  const Buffer elf = SyntheticElf{}.build();
  const Path good = write("good", Image(lz4(elf), elf.size()));
  CHECK(*entered_at(good, unpack_kernel) == SyntheticElf::linked + 0x40);
  CHECK(*entered_at(good, nullptr) == SyntheticElf::linked + 0x200);
  CHECK(*entered_at(good, unpack_kernel, boot::Entry::Protected32) == SyntheticElf::linked);
  const Path unknown = write("unknown", Image(Buffer(64, std::byte{1}), 64));
  CHECK(*entered_at(unknown, unpack_kernel) == SyntheticElf::linked + 0x200);
  const auto damaged = entered_at(write("damaged", Image(lz4(elf), elf.size() - 1)), unpack_kernel);
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().code == ErrorCode::BadImage);
  const auto no_kernel = entered_at(write("no kernel", Image(lz4(Buffer(5000)), 5000)), unpack_kernel);
  REQUIRE_FALSE(no_kernel);
  CHECK(contains(no_kernel.error(), "it is no ELF file"));
}
