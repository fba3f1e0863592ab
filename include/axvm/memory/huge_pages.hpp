#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include <axvm/core/result.hpp>
#include <axvm/cpu/memory_backing.hpp>

namespace axvm::inline v1 {

/// Where the kernel tells of its pages, and takes wishes.
inline constexpr std::string_view kernel_pages = "/sys/kernel/mm";

/// The host's pool of huge pages of one size.
struct HugePool {
  bool exists = false;         ///< whether host and processor have such pages at all
  std::uint64_t total = 0;     ///< pages in the pool
  std::uint64_t free = 0;      ///< of these, pages that nobody uses
  std::uint64_t reserved = 0;  ///< of the free ones, pages that are promised to somebody

  /// How many pages a new mapping can have.
  [[nodiscard]] constexpr std::uint64_t available() const { return free > reserved ? free - reserved : 0; }
};

namespace detail {

/// Words as one text. Not a template: what is said here is said in every monitor, which should cost it little.
[[gnu::cold]] inline Text<511> sentence(std::initializer_list<std::string_view> words) {
  Text<511> all;
  for (const std::string_view word : words) all.append(word);
  return all;
}
[[gnu::cold]] inline Text<31> decimal(std::uint64_t number) {
  Text<31> digits;
  digits.append(number);
  return digits;
}

/// The first line of a small file, or an empty text.
[[gnu::cold]] inline Text<511> first_line(Text<511> const& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char bytes[511];
  const auto got = ::read(file, bytes, sizeof bytes);
  ::close(file);
  const std::string_view all(bytes, got > 0 ? static_cast<std::size_t>(got) : 0);
  return all.substr(0, all.find('\n'));
}

[[gnu::cold]] inline std::uint64_t number_in(Text<511> const& path) {
  std::uint64_t number = 0;
  const Text<511> line = first_line(path);
  for (const char digit : line.view()) {
    if (digit < '0' || digit > '9') break;
    number = number * 10 + static_cast<unsigned>(digit - '0');
  }
  return number;
}

}  // namespace detail

/// The directory of a pool below `root`.
[[gnu::cold]] inline Text<511> pool_directory(MemoryBacking backing, std::string_view root = kernel_pages) {
  return text<255>(root, "/hugepages/hugepages-", page_size(backing) / KiB, "kB");
}

/// The state of the pool that `hugetlb_1g` or `hugetlb_2m` takes pages from.
[[gnu::cold]] inline HugePool read_pool(MemoryBacking backing, std::string_view root = kernel_pages) {
  const Text<511> directory = pool_directory(backing, root);
  auto number = [&directory](std::string_view file) {
    return detail::number_in(detail::sentence({directory, "/", file, "_hugepages"}));
  };
  return {.exists = ::access(directory.c_str(), F_OK) == 0,
          .total = number("nr"),
          .free = number("free"),
          .reserved = number("resv")};
}

/// Whether memory that asks for transparent huge pages can get them.
[[gnu::cold]] inline bool has_transparent_huge_pages(std::string_view root = kernel_pages) {
  if (::prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1) return false;
  auto chosen = [](Text<511> const& line, std::string_view word) {
    return line.view().find(detail::sentence({"[", word, "]"}).view()) != std::string_view::npos;
  };
  // Linux 6.8 and later have a switch for each size, which may follow the one for all.
  const auto own = detail::first_line(detail::sentence({root, "/transparent_hugepage/hugepages-2048kB/enabled"}));
  if (chosen(own, "always") || chosen(own, "madvise")) return true;
  if (!own.empty() && !chosen(own, "inherit")) return false;
  const auto all = detail::first_line(detail::sentence({root, "/transparent_hugepage/enabled"}));
  return chosen(all, "always") || chosen(all, "madvise");
}

/// A number of bytes as a person writes it: "3 GiB", "512 MiB", "4 KiB".
[[gnu::cold]] inline Text<31> size_text(std::uint64_t bytes) {
  const std::uint64_t unit = is_aligned(bytes, GiB) ? GiB : is_aligned(bytes, MiB) ? MiB : KiB;
  Text<31> size = detail::decimal(bytes / unit);
  size.append(std::string_view(unit == GiB ? " GiB" : unit == MiB ? " MiB" : " KiB"));
  return size;
}

/// What a person calls such pages.
constexpr std::string_view name_of(MemoryBacking backing) {
  using enum MemoryBacking;
  return backing == hugetlb_1g   ? "1-GiB pages"
         : backing == hugetlb_2m ? "2-MiB pages"
         : backing == thp        ? "transparent huge pages"
                                 : "small pages";
}

/// Why `size` bytes of guest memory cannot have the backing that was asked for, and what to do. `pages` is how many of
/// its pages they would take, 0 when they hold no whole one; `number` is errno of the attempt, or 0.
[[gnu::cold]] inline Error backing_error(MemoryBacking backing, std::uint64_t size, std::uint64_t pages, int number,
                                         std::string_view root = kernel_pages) {
  Error error{.code = ErrorCode::OutOfMemory, .operation = {}, .os_error = number, .hint = {}};
  auto found = [&](std::string_view what) {
    error.operation =
        detail::sentence({"back ", size_text(size), " of guest memory with ", name_of(backing), ": ", what});
  };
  if (pages == 0) {
    error.code = ErrorCode::OutOfRange;
    found("it is smaller than one of them");
    error.hint = detail::sentence({"give the guest more memory, or choose smaller pages"});
    return error;
  }
  if (!is_hugetlb(backing)) {
    error.code = ErrorCode::Unsupported;
    found("this host does not offer them");
    error.hint = detail::sentence({"as root: echo madvise > ", root, "/transparent_hugepage/enabled"});
    return error;
  }
  const HugePool pool = read_pool(backing, root);
  if (!pool.exists) {
    error.code = ErrorCode::Unsupported;
    found("this host has none");
    error.hint = detail::sentence({"choose another backing; processor or kernel lack pages of this size"});
    return error;
  }
  found(detail::sentence(
      {"it takes ", detail::decimal(pages), ", the host has ", detail::decimal(pool.available()), " to give"}));
  if (pages > pool.available())
    error.hint = detail::sentence({"as root: echo ", detail::decimal(pool.total + pages - pool.available()), " > ",
                                   pool_directory(backing, root),
                                   "/nr_hugepages (best soon after the host is up, while such pages can be found)"});
  else error.hint = detail::sentence({"raise the control group's limit (hugetlb.*.rsvd.max)"});
  return error;
}

}  // namespace axvm::inline v1
