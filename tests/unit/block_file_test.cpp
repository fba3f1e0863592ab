#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/core/units.hpp>
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

BlockImage opened(Path const& path, ImageOptions const& options) {
  auto image = BlockFile::open(path, options);
  REQUIRE(image);
  return std::move(*image);
}

BlockImage opened(Path const& path, bool read_only) { return opened(path, ImageOptions{.read_only = read_only}); }

/// Carries a request out at once or by the queue, whatever it takes, and returns its error.
int queued(BlockImage& image, BlockRequest request) {
  request.token = 41;
  if (image.at_once(request)) return 0;
  int error = image.start(request);
  if (error != BlockImage::pending) return error;
  image.submit();
  BlockCompletion ended;
  for (;;) {
    image.wait();
    if (image.reap({&ended, 1}) == 1) break;
  }
  CHECK(ended.token == 41);
  if (ended.error == BlockImage::perform_now) return image.perform(request);
  if (ended.error == 0 && !request.segments.empty()) {
    std::uint64_t size = 0;
    for (Segment const& segment : request.segments) size += segment.size;
    if (ended.moved != size) return -100;
  }
  return ended.error;
}

/// Whether this kernel lets us have an io_uring.
bool has_queue() {
  const scratch::Directory directory;
  if (opened(directory.put("disk", "x"), true).has_queue()) return true;
  MESSAGE("no io_uring here: the queue is not tested");
  return false;
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

TEST_CASE("block file: another size is found when it is asked for") {
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(8192)), true);
  CHECK(!image.refresh_size());
  REQUIRE(::truncate(directory.name("disk").c_str(), 12288) == 0);
  CHECK(image.size() == 8192);
  CHECK(image.refresh_size());
  CHECK(image.size() == 12288);
  REQUIRE(::truncate(directory.name("disk").c_str(), 4096) == 0);
  CHECK(image.refresh_size());
  CHECK(image.size() == 4096);
  REQUIRE(::truncate(directory.name("disk").c_str(), 0) == 0);
  CHECK(!image.refresh_size());  // no size that a disk could have
  CHECK(image.size() == 4096);
  CHECK(!BlockImage{}.refresh_size());
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
  auto image = system.host<HostPart::Images>().image(directory.put("disk", pattern(1024)), true);
  REQUIRE(image);
  CHECK(image->size() == 1024);
  CHECK(system.host<HostPart::Images>().image(directory.path("none"), true).error().code == ErrorCode::NotFound);
}

TEST_CASE("block file: without a queue where none is asked for, or none is allowed") {
  const scratch::Directory directory;
  CHECK_FALSE(opened(directory.put("disk", "x"), ImageOptions{.queue = false}).has_queue());
  // As where a security policy forbids it.
  const pid_t child = scratch::start_child([&] {
    sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog filter{std::size(code), code};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
      ::_exit(2);
    const auto image = BlockFile::open(directory.path("disk"), true);
    ::_exit(image && image->is_open() && !image->has_queue() && image->queue_error() == EPERM ? 0 : 1);
  });
  CHECK(scratch::exited_with(scratch::end_of(child), 0));
}

TEST_CASE("block file: the queue reads and writes any list of segments") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  for (std::size_t list = 0; list < odd_lists.size(); ++list) {
    CAPTURE(list);
    std::string expected = pattern(3 * 4096);
    BlockImage image = opened(directory.put("disk", expected), ImageOptions{.at_once = false});
    const std::string written = pattern(4096, 99);
    Pieces out(written, odd_lists[list]);
    CHECK(queued(image, {.operation = BlockOperation::Write, .offset = 4000, .segments = out.segments}) == 0);
    CHECK(queued(image, {.operation = BlockOperation::Flush}) == 0);
    expected.replace(4000, 4096, written);
    CHECK((directory.contents("disk") == expected));
    Pieces in(std::string(4096, '#'), odd_lists[list]);
    CHECK(queued(image, {.operation = BlockOperation::Read, .offset = 3999, .segments = in.segments}) == 0);
    CHECK((in.bytes == expected.substr(3999, 4096)));
  }
}

TEST_CASE("block file: many requests by the queue at once, submitted together") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  const std::string contents = pattern(BlockFile::queue_depth * 4096);
  BlockImage image = opened(directory.put("disk", contents), ImageOptions{.at_once = false});
  for (unsigned round = 0; round < 5; ++round) {
    std::vector<Pieces> pieces;
    pieces.reserve(BlockFile::queue_depth);
    for (unsigned i = 0; i < BlockFile::queue_depth; ++i) {
      pieces.emplace_back(std::string(4096, '#'),
                          i % 2 == 0 ? std::vector<std::size_t>{4096} : std::vector<std::size_t>{1000, 3096});
      CHECK(image.start(
                {.operation = BlockOperation::Read, .token = i, .offset = 4096 * i, .segments = pieces[i].segments}) ==
            BlockImage::pending);
    }
    image.submit();
    std::vector<bool> seen(BlockFile::queue_depth);
    for (unsigned count = 0; count < BlockFile::queue_depth;) {
      image.wait();
      BlockCompletion ended[7];
      const std::size_t some = image.reap(ended);
      for (std::size_t i = 0; i < some; ++i, ++count) {
        REQUIRE(ended[i].token < BlockFile::queue_depth);
        CHECK_FALSE(seen[ended[i].token]);
        seen[ended[i].token] = true;
        CHECK(ended[i].error == 0);
        CHECK(ended[i].moved == 4096);
        CHECK((pieces[ended[i].token].bytes == contents.substr(4096 * ended[i].token, 4096)));
      }
    }
    BlockCompletion none;
    CHECK(image.reap({&none, 1}) == 0);
  }
}

TEST_CASE("block file: what the queue has no room for is carried out at once") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(512)), ImageOptions{.at_once = false});
  std::string into(512, '#');
  const Segment segment{reinterpret_cast<std::byte*>(into.data()), into.size()};
  const BlockRequest request{.operation = BlockOperation::Read, .segments = {&segment, 1}};
  for (unsigned i = 0; i < BlockFile::queue_depth; ++i) CHECK(image.start(request) == BlockImage::pending);
  CHECK((into == std::string(512, '#')));
  CHECK(image.start(request) == 0);
  CHECK((into == pattern(512)));
  image.submit();
  for (unsigned count = 0; count < BlockFile::queue_depth;) {
    image.wait();
    BlockCompletion ended[64];
    count += static_cast<unsigned>(image.reap(ended));
  }
  CHECK(queued(image, request) == 0);
}

TEST_CASE("block file: what the host has in memory is read at once, whatever the list of segments") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  const std::string expected = pattern(3 * 4096);
  BlockImage image = opened(directory.put("disk", expected), true);
  for (std::size_t list = 0; list < odd_lists.size(); ++list) {
    CAPTURE(list);
    Pieces in(std::string(4096, '#'), odd_lists[list]);
    const BlockRequest request{.operation = BlockOperation::Read, .offset = 3999, .segments = in.segments};
    if (in.segments.size() <= 64) CHECK(image.at_once(request));
    else CHECK(queued(image, request) == 0);
    CHECK((in.bytes == expected.substr(3999, 4096)));
  }
  BlockCompletion none;
  CHECK(image.reap({&none, 1}) == 0);
}

TEST_CASE("block file: a read that is not to be had at once is left to the queue, and so are the next ones") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  const std::string contents = pattern(1000);
  BlockImage image = opened(directory.put("disk", contents), true);
  Pieces in(std::string(100, '#'), {40, 60});
  const BlockRequest whole{.operation = BlockOperation::Read, .offset = 300, .segments = in.segments};
  BlockRequest cut = whole;
  cut.offset = 950;
  for (unsigned round = 0; round < 3; ++round) {
    CAPTURE(round);
    REQUIRE(image.at_once(whole));
    CHECK((in.bytes == contents.substr(300, 100)));
    CHECK(queued(image, cut) == -100);  // half of it is all there is
    for (unsigned i = 0; i < 15; ++i) {
      in.bytes.assign(100, '#');
      CHECK(!image.at_once(whole));
      CHECK(image.start(whole) == BlockImage::pending);
      CHECK(in.bytes[0] == '#');
      image.submit();
      image.wait();
      BlockCompletion ended;
      REQUIRE(image.reap({&ended, 1}) == 1);
      CHECK(ended.error == 0);
      CHECK((in.bytes == contents.substr(300, 100)));
    }
  }
}

TEST_CASE("block file: what was written by the queue is what is read at once") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(4096)), false);
  for (unsigned round = 0; round < 50; ++round) {
    const std::string written = pattern(512, round);
    Pieces out(written, {512}), in(std::string(512, '#'), {512});
    const std::uint64_t place = 512 * (round % 8);
    CHECK(queued(image, {.operation = BlockOperation::Write, .offset = place, .segments = out.segments}) == 0);
    CHECK(image.at_once({.operation = BlockOperation::Read, .offset = place, .segments = in.segments}));
    CHECK((in.bytes == written));
  }
}

TEST_CASE("block file: what is called off ends all the same") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(512)), false);
  std::string bytes(512, 'c');
  const Segment segment{reinterpret_cast<std::byte*>(bytes.data()), bytes.size()};
  constexpr unsigned requests = 100;
  for (unsigned i = 0; i < requests; ++i)
    CHECK(image.start({.operation = i % 3 == 0 ? BlockOperation::Flush : BlockOperation::Write,
                       .token = i,
                       .segments = i % 3 == 0 ? std::span<const Segment>{} : std::span(&segment, 1)}) ==
          BlockImage::pending);
  image.submit();
  image.cancel();
  for (unsigned count = 0; count < requests;) {
    image.wait();
    BlockCompletion ended[64];
    count += static_cast<unsigned>(image.reap(ended));
  }
  CHECK(queued(image, {.operation = BlockOperation::Flush}) == 0);
}

TEST_CASE("block file: the end of the file by the queue") {
  if (!has_queue()) return;
  const scratch::Directory directory;
  BlockImage image = opened(directory.put("disk", pattern(1000)), true);
  std::string into(100, '#');
  const Segment segment{reinterpret_cast<std::byte*>(into.data()), into.size()};
  const BlockRequest request{.operation = BlockOperation::Read, .offset = 950, .segments = {&segment, 1}};
  CHECK(!image.at_once(request));
  CHECK(image.start(request) == BlockImage::pending);
  image.submit();
  image.wait();
  BlockCompletion ended;
  REQUIRE(image.reap({&ended, 1}) == 1);
  CHECK(ended.error == 0);
  CHECK(ended.moved == 50);
  CHECK(queued(image, {.operation = BlockOperation::Write, .segments = {&segment, 1}}) == EBADF);
}

TEST_CASE("block file: discarded ranges are holes, zeroed ones are zeroes") {
  const scratch::Directory directory;
  const std::size_t size = 1 << 20;
  for (const bool queue : {false, true}) {
    CAPTURE(queue);
    if (queue && !has_queue()) continue;
    std::string expected = pattern(size);
    BlockImage image = opened(directory.put("disk", expected), ImageOptions{.queue = queue});
    CHECK(image.shape().can_discard);
    auto blocks = [&] {
      struct stat status{};
      REQUIRE(::stat(directory.name("disk").c_str(), &status) == 0);
      return status.st_blocks;
    };
    auto carry_out = [&](BlockRequest const& request) {
      return queue ? queued(image, request) : image.perform(request);
    };
    REQUIRE(image.flush() == 0);
    const auto before = blocks();
    REQUIRE(carry_out({.operation = BlockOperation::Discard, .offset = 65536, .size = 512 * 1024}) == 0);
    CHECK(blocks() <= before - 1024);
    expected.replace(65536, 512 * 1024, 512 * 1024, '\0');
    CHECK((directory.contents("disk") == expected));
    const auto punched = blocks();
    REQUIRE(carry_out({.operation = BlockOperation::WriteZeroes, .unmap = true, .offset = 0, .size = 32768}) == 0);
    CHECK(blocks() <= punched - 64);
    expected.replace(0, 32768, 32768, '\0');
    CHECK((directory.contents("disk") == expected));
    const int zeroed = carry_out({.operation = BlockOperation::WriteZeroes, .offset = size - 5000, .size = 5000});
    if (zeroed == BlockImage::unsupported) {
      MESSAGE("this file system cannot zero a range");  // tmpfs
      continue;
    }
    CHECK(zeroed == 0);
    expected.replace(size - 5000, 5000, 5000, '\0');
    CHECK((directory.contents("disk") == expected));
    CHECK(carry_out({.operation = BlockOperation::Discard, .offset = 0, .size = 0}) == 0);
  }
}

TEST_CASE("block file: direct access, aligned and not, sees and makes the same file") {
  const scratch::Directory directory;
  std::string expected = pattern(1 << 20);
  directory.put("disk", expected);
  for (const bool queue : {false, true}) {
    CAPTURE(queue);
    if (queue && !has_queue()) continue;
    auto maybe = BlockFile::open(directory.path("disk"), ImageOptions{.direct = true, .queue = queue});
    if (!maybe) {
      CHECK(maybe.error().hint.view().find("direct access") != std::string_view::npos);
      MESSAGE("this file system has no direct access");
      return;
    }
    BlockImage image = *std::move(maybe);
    CHECK(image.shape().logical_block >= 512);
    auto carry_out = [&](BlockRequest const& request) {
      return queue ? queued(image, request) : image.perform(request);
    };
    alignas(4096) static std::byte aligned[16384];
    const std::vector<std::vector<Segment>> lists{{{aligned, 8192}},
                                                  {{aligned, 4096}, {aligned + 8192, 4096}},
                                                  {{aligned + 1, 8192}},
                                                  {{aligned + 512, 512}, {aligned + 2048, 7680}},
                                                  {{aligned, 100}, {aligned + 4096, 8092}}};
    for (std::size_t i = 0; i < lists.size(); ++i)
      for (const std::uint64_t offset : {0u, 512u, 4096u, 65536u, (1u << 20) - 8192u}) {
        CAPTURE(i);
        CAPTURE(offset);
        const std::string text = pattern(8192, static_cast<unsigned>(offset + i + 1));
        std::size_t at = 0;
        for (Segment const& segment : lists[i]) {
          std::memcpy(segment.data, text.data() + at, segment.size);
          at += segment.size;
        }
        CHECK(carry_out({.operation = BlockOperation::Write, .offset = offset, .segments = lists[i]}) == 0);
        expected.replace(offset, 8192, text);
        std::memset(aligned, '#', sizeof aligned);
        CHECK(carry_out({.operation = BlockOperation::Read, .offset = offset, .segments = lists[i]}) == 0);
        at = 0;
        bool same = true;
        for (Segment const& segment : lists[i]) {
          same = same && std::memcmp(segment.data, text.data() + at, segment.size) == 0;
          at += segment.size;
        }
        CHECK(same);
      }
    CHECK(carry_out({.operation = BlockOperation::Flush}) == 0);
    CHECK((directory.contents("disk") == expected));
  }
}
