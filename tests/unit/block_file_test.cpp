#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/host/describe_error.hpp>
#include <axvm/io/block_file.hpp>
#include <axvm/io/system_host.hpp>

#include "scratch.hpp"

using namespace axvm;

namespace {

/// `size` bytes that tell their place.
std::string pattern(std::size_t size, unsigned seed = 0) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>((i * 7 + i / 251 + seed) & 0xff);
  return out;
}

/// A buffer cut into segments of the given sizes.
struct Pieces {
  std::string bytes;
  std::vector<Segment> segments;

  Pieces(std::string contents, std::vector<std::size_t> const& sizes) : bytes(std::move(contents)) {
    std::size_t at = 0;
    for (const std::size_t size : sizes) {
      segments.push_back({reinterpret_cast<std::byte*>(bytes.data()) + at, size});
      at += size;
    }
    REQUIRE(at == bytes.size());
  }
};

BlockImage opened(Path const& path, bool read_only) {
  auto image = BlockFile::open(path, read_only);
  REQUIRE(image);
  return std::move(*image);
}

Error refused(Path const& path, bool read_only) {
  const auto image = BlockFile::open(path, read_only);
  REQUIRE_FALSE(image);
  return image.error();
}

const std::vector<std::vector<std::size_t>> odd_lists{
    {4096},
    {1, 4095},
    {0, 4096},
    {4096, 0},
    {0, 0, 1, 0, 4094, 0, 1, 0},
    std::vector<std::size_t>(64, 64),
    std::vector<std::size_t>(4096, 1),
    [] {  // a batch of empty segments, then one byte more than a batch, then the rest
      std::vector<std::size_t> sizes(64, 0);
      sizes.insert(sizes.end(), 65, 1);
      sizes.insert(sizes.end(), 70, 0);
      sizes.push_back(4096 - 65);
      return sizes;
    }(),
};

}  // namespace

TEST_CASE("block file: reads what is there into any list of segments") {
  const scratch::Directory directory;
  const std::string contents = pattern(3 * 4096);
  BlockImage image = opened(directory.put("disk", contents), true);
  CHECK(image.size() == contents.size());
  CHECK(image.read_only());
  for (std::size_t list = 0; list < odd_lists.size(); ++list)
    for (const std::uint64_t offset : {0u, 1u, 4096u, 8192u}) {
      CAPTURE(list);
      CAPTURE(offset);
      Pieces pieces(std::string(4096, '#'), odd_lists[list]);
      CHECK(image.read(offset, pieces.segments) == 0);
      CHECK((pieces.bytes == contents.substr(offset, 4096)));
    }
}

TEST_CASE("block file: writes any list of segments, to its place and nowhere else") {
  const scratch::Directory directory;
  for (std::size_t list = 0; list < odd_lists.size(); ++list) {
    CAPTURE(list);
    std::string expected = pattern(3 * 4096);
    BlockImage image = opened(directory.put("disk", expected), false);
    CHECK_FALSE(image.read_only());
    const std::string written = pattern(4096, 99);
    Pieces pieces(written, odd_lists[list]);
    CHECK(image.write(4000, pieces.segments) == 0);
    CHECK(image.flush() == 0);
    expected.replace(4000, 4096, written);
    CHECK((directory.contents("disk") == expected));
  }
}

TEST_CASE("block file: transfers of nothing succeed") {
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(512)), false);
  CHECK(image.read(0, {}) == 0);
  CHECK(image.write(512, {}) == 0);
  const std::vector<Segment> empty(200);
  CHECK(image.read(0, empty) == 0);
  CHECK(image.read(512, empty) == 0);
  CHECK(image.write(0, empty) == 0);
  CHECK((directory.contents("disk") == pattern(512)));
}

TEST_CASE("block file: large transfers arrive whole") {
  const scratch::Directory directory;
  const std::string contents = pattern(5 << 20);
  BlockImage image = opened(directory.put("disk", std::string(5 << 20, '\0')), false);
  std::vector<std::size_t> sizes(640, 8191);
  sizes.push_back((5 << 20) - 640 * 8191);
  Pieces out(contents, sizes);
  CHECK(image.write(0, out.segments) == 0);
  Pieces in(std::string(5 << 20, '#'), {5 << 20});
  CHECK(image.read(0, in.segments) == 0);
  CHECK((in.bytes == contents));
}

TEST_CASE("block file: a read past the end is an I/O error, not zeros and not a spin") {
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(1000)), false);
  Pieces one(std::string(1, '#'), {1});
  CHECK(image.read(999, one.segments) == 0);
  CHECK(image.read(1000, one.segments) == EIO);
  CHECK(image.read(1ull << 40, one.segments) == EIO);
  Pieces across(std::string(100, '#'), {0, 50, 0, 50});
  CHECK(image.read(950, across.segments) == EIO);
  Pieces behind_empty(std::string(1, '#'), {0, 0, 1});
  CHECK(image.read(1000, behind_empty.segments) == EIO);
  CHECK(image.read(~0ull, one.segments) == EINVAL);  // no file offset is negative
  CHECK(image.write(~0ull, one.segments) == EINVAL);
  CHECK((directory.contents("disk") == pattern(1000)));
}

TEST_CASE("block file: a file that shrank meanwhile gives errors for what is gone") {
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(8192)), true);
  REQUIRE(::truncate(directory.name("disk").c_str(), 4096) == 0);
  Pieces pieces(std::string(4096, '#'), {4096});
  CHECK(image.read(0, pieces.segments) == 0);
  CHECK(image.read(4096, pieces.segments) == EIO);
  CHECK(image.read(2048, pieces.segments) == EIO);
}

TEST_CASE("block file: any size is possible, none, odd and sparse ones") {
  const scratch::Directory directory;
  for (const std::size_t size : {0u, 1u, 511u, 513u, 1000u})
    CHECK(opened(directory.put("disk", pattern(size)), false).size() == size);
  directory.put("sparse", "");
  REQUIRE(::truncate(directory.name("sparse").c_str(), 1ll << 40) == 0);
  BlockImage image = opened(directory.path("sparse"), false);
  CHECK(image.size() == 1ull << 40);
  Pieces pieces("end", {3});
  CHECK(image.write((1ull << 40) - 3, pieces.segments) == 0);
  Pieces back("   ", {3});
  CHECK(image.read((1ull << 40) - 3, back.segments) == 0);
  CHECK((back.bytes == "end"));
}

TEST_CASE("block file: one opened read-only cannot be written, whatever a device does") {
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(512), 0444), true);
  Pieces pieces("x", {1});
  CHECK(image.write(0, pieces.segments) == EBADF);
  CHECK((directory.contents("disk") == pattern(512)));
}

TEST_CASE("block file: a missing file is named, with the system's words and advice") {
  const scratch::Directory directory;
  for (const bool read_only : {false, true}) {
    const Error error = refused(directory.path("none.img"), read_only);
    CHECK(error.code == ErrorCode::NotFound);
    CHECK(error.os_error == ENOENT);
    CHECK(describe(error) ==
          "open disk image " + directory.name("none.img") + ": No such file or directory; check the path");
  }
}

TEST_CASE("block file: directories, pipes and character devices are no disks") {
  const scratch::Directory directory;
  REQUIRE(::mkfifo(directory.name("pipe").c_str(), 0666) == 0);
  for (const bool read_only : {false, true}) {
    for (Path const& path : {directory.path("."), directory.path("pipe"), Path("/dev/null")}) {
      CAPTURE(std::string(path.view()));
      const Error error = refused(path, read_only);
      CHECK(error.code == ErrorCode::HostIo);
      CHECK(error.hint == "a disk is a regular file or a block device");
    }
  }
}

TEST_CASE("block file: what this user may not touch is an error that says what to do") {
  const scratch::Directory directory;
  directory.put("secret", pattern(512), 0);
  directory.put("readable", pattern(512), 0444);
  const scratch::Unprivileged user;
  if (!user) {
    MESSAGE("cannot become another user here");
    return;
  }
  const Error secret = refused(directory.path("secret"), true);
  CHECK(secret.code == ErrorCode::PermissionDenied);
  CHECK(secret.os_error == EACCES);
  CHECK(secret.hint == "check the permissions");
  const Error readable = refused(directory.path("readable"), false);
  CHECK(readable.code == ErrorCode::PermissionDenied);
  CHECK(readable.hint == "make it writable, or attach it read-only");
  CHECK(opened(directory.path("readable"), true).size() == 512);
}

TEST_CASE("block file: a path that is too long is refused, not cut off") {
  const scratch::Directory directory;
  const std::string name(2000, 'x');
  const Error error = refused(directory.path(name), true);
  CHECK(error.os_error == ENAMETOOLONG);
  CHECK(error.hint.view().find("1023") != std::string_view::npos);
}

TEST_CASE("block file: one monitor writes, or several read") {
  const scratch::Directory directory;
  const Path path = directory.put("disk", pattern(512));
  {
    const BlockImage writer = opened(path, false);
    for (const bool read_only : {false, true}) {
      const Error error = refused(path, read_only);
      CHECK(error.code == ErrorCode::HostIo);
      CHECK(error.os_error == EWOULDBLOCK);
      CHECK(error.hint.view().find("another monitor uses this image") != std::string_view::npos);
    }
  }
  {
    const BlockImage reader = opened(path, true), another = opened(path, true);
    CHECK(refused(path, false).os_error == EWOULDBLOCK);
  }
  CHECK(opened(path, false).is_open());  // the locks went with the images
}

TEST_CASE("block file: through the host as devices see it") {
  const scratch::Directory directory;
  SystemHost system;
  auto image = system.host().image(directory.put("disk", pattern(1024)), true);
  REQUIRE(image);
  CHECK(image->size() == 1024);
  CHECK(system.host().image(directory.path("none"), true).error().code == ErrorCode::NotFound);
}
