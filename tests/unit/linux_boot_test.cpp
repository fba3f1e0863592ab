#include <sys/stat.h>

#include <cerrno>
#include <string>

#include <doctest/doctest.h>

#include <axvm/host/describe_error.hpp>
#include <axvm/host/linux_boot.hpp>
#include <axvm/io/file.hpp>

#include "scratch.hpp"

using namespace axvm;

namespace {

Error refused(std::string_view role, Path const& path) {
  const auto file = File::open(role, path);
  REQUIRE_FALSE(file);
  return file.error();
}

}  // namespace

TEST_CASE("file: its bytes, and none of an empty one") {
  const scratch::Directory directory;
  const auto file = File::open("kernel", directory.put("a", "some bytes"));
  REQUIRE(file);
  const auto mapping = file->map();
  REQUIRE(mapping);
  CHECK(std::string(reinterpret_cast<char const*>(bytes_of(*mapping).data()), bytes_of(*mapping).size()) ==
        "some bytes");
  const auto empty = File::open("kernel", directory.put("b", ""));
  REQUIRE(empty);
  CHECK(bytes_of(*empty->map()).empty());
}

TEST_CASE("file: one that is not there is named with its role, its path and the reason") {
  const scratch::Directory directory;
  const Error error = refused("initrd", directory.path("none"));
  CHECK(error.code == ErrorCode::NotFound);
  CHECK(describe(error) == "open initrd " + directory.name("none") + ": No such file or directory; check the path");
}

TEST_CASE("file: directories, devices and pipes are refused at once") {
  const scratch::Directory directory;
  REQUIRE(::mkfifo(directory.name("pipe").c_str(), 0666) == 0);
  for (Path const& path : {directory.path("."), directory.path("pipe"), Path("/dev/zero")}) {
    const Error error = refused("kernel", path);
    CHECK(error.code == ErrorCode::BadImage);
    CHECK(error.operation == text<1023>("open kernel ", path));
    CHECK(error.hint == "it is not a regular file");
  }
}

TEST_CASE("file: one that this user may not read is an error of permission") {
  const scratch::Directory directory;
  directory.put("secret", "x", 0);
  const scratch::Unprivileged user;
  if (!user) {
    MESSAGE("cannot become another user here");
    return;
  }
  const Error error = refused("kernel", directory.path("secret"));
  CHECK(error.code == ErrorCode::PermissionDenied);
  CHECK(error.os_error == EACCES);
  CHECK(error.operation == text<1023>("open kernel ", directory.path("secret")));
  CHECK_FALSE(error.hint.empty());
}

TEST_CASE("file: a path that does not fit is refused, though what is left of it names a file") {
  const scratch::Directory directory;
  std::string name = directory.name("") + std::string(1100, '/');
  name.resize(1022);
  name += "ab";
  directory.put("a", "the wrong file");
  const Path cut(name);
  REQUIRE(cut.truncated());
  REQUIRE(::access(cut.c_str(), R_OK) == 0);
  CHECK(refused("kernel", cut).os_error == ENAMETOOLONG);
}

TEST_CASE("Linux: the error names the file that cannot be opened") {
  const scratch::Directory directory;
  const Path kernel = directory.put("bzImage", "x"), none = directory.path("none");
  CHECK(LinuxBoot::open({.kernel = none, .initrd = none}).error().operation == text<1023>("open kernel ", none));
  CHECK(LinuxBoot::open({.kernel = kernel, .initrd = none}).error().operation == text<1023>("open initrd ", none));
  CHECK(LinuxBoot::open({.kernel = kernel, .initrd = directory.path(".")}).error().code == ErrorCode::BadImage);
  CHECK(LinuxBoot::open({.kernel = kernel}).has_value());
}
