#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <axvm/host/linux_boot.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1::detail {

/// A directory of unpacked kernels. Each is one file: a header, the payload it came from, the kernel, each part on
/// pages of its own. Files are written under another name and renamed when they are whole and on the disk.
class KernelCache {
 public:
  static constexpr std::size_t most_files = 8;

  /// Does nothing without a directory.
  explicit KernelCache(Path const& directory) : directory_(directory.view()) {}

  /// Whether kernels can be kept: makes the directory where there is none.
  [[nodiscard]] bool usable() const {
    if (directory_.empty()) return false;
    // The directory above is the user's own, or there is none yet.
    if (::mkdir(directory_.c_str(), 0700) != 0 && errno == ENOENT) {
      (void)::mkdir(directory_.substr(0, directory_.rfind('/')).c_str(), 0700);
      (void)::mkdir(directory_.c_str(), 0700);
    }
    return ::access(directory_.c_str(), W_OK | X_OK) == 0;
  }

  /// What the payload, a part of `from`, unpacks to; no bytes when it is not known.
  [[nodiscard]] UnpackedKernel find(boot::Payload const& payload, FileState const& from) const {
    if (directory_.empty()) return {};
    const std::string name = file_of(payload);
    constexpr int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    Descriptor file(::open(name.c_str(), O_RDWR | flags));
    const bool writable{file};
    if (!writable) file = Descriptor(::open(name.c_str(), O_RDONLY | flags));
    const Layout layout(payload);
    struct stat status{};
    // Nobody else may have had a hand in it.
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid() ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0 || static_cast<std::uint64_t>(status.st_size) != layout.end)
      return {};
    void* const address = ::mmap(nullptr, layout.end, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) return {};
    Mapping mapping(address, layout.end);
    const Header kept = *load<Header>(bytes_of(mapping), 0);
    const Header wanted(payload, from);
    if (!kept.is_for(wanted)) return {};
    if (!from.known() || kept.from != from) {
      if (std::memcmp(mapping.data() + Layout::payload, payload.bytes.data(), payload.bytes.size()) != 0) return {};
      if (writable && from.known()) (void)write(file.get(), 0, bytes_of(wanted));
    }
    (void)::utimensat(AT_FDCWD, name.c_str(), nullptr, 0);  // used now: the ones used last are kept
    const ConstBytes bytes(mapping.data() + layout.kernel, payload.unpacked_size);
    return {std::move(mapping), bytes};
  }

  /// Keeps what a payload, a part of `from`, unpacked to.
  void store(boot::Payload const& payload, ConstBytes kernel, FileState const& from) const {
    if (directory_.empty()) return;
    const Layout layout(payload);
    const Header header(payload, from);
    std::string name = directory_ + "/new-XXXXXX";
    Descriptor file(::mkostemp(name.data(), O_CLOEXEC));
    if (!file) return;
    const bool written = ::ftruncate(file.get(), static_cast<off_t>(layout.end)) == 0 &&
                         write(file.get(), 0, bytes_of(header)) && write(file.get(), Layout::payload, payload.bytes) &&
                         write(file.get(), layout.kernel, kernel) && ::fdatasync(file.get()) == 0;
    if (!written || ::rename(name.c_str(), file_of(payload).c_str()) != 0) ::unlink(name.c_str());
    prune();
  }

 private:
  static constexpr std::uint64_t page = 4096;
  static constexpr std::string_view suffix = ".kernel";

  struct Header {
    std::array<char, 16> magic{'a', 'x', 'v', 'm', ' ', 'k', 'e', 'r', 'n', 'e', 'l', ' ', '3', '\n'};
    std::uint64_t payload_size = 0;
    std::uint64_t kernel_size = 0;
    FileState from;  ///< where this payload was seen last

    Header() = default;
    Header(boot::Payload const& payload, FileState const& of)
        : payload_size(payload.bytes.size()), kernel_size(payload.unpacked_size), from(of) {}
    /// Whether the file is one of ours, for a payload and a kernel of these sizes.
    [[nodiscard]] bool is_for(Header const& other) const {
      return magic == other.magic && payload_size == other.payload_size && kernel_size == other.kernel_size;
    }
  };

  /// Offsets in a file.
  struct Layout {
    static constexpr std::uint64_t payload = page;
    std::uint64_t kernel, end;

    explicit Layout(boot::Payload const& of)
        : kernel((payload + of.bytes.size() + page - 1) / page * page), end(kernel + of.unpacked_size) {}
  };

  /// Its name comes from both ends of the payload (FNV-1a), enough to tell kernels apart: find() compares the rest.
  [[nodiscard]] std::string file_of(boot::Payload const& payload) const {
    constexpr std::size_t part = 4096;
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
    auto mix = [&hash](ConstBytes bytes) {
      for (const std::byte value : bytes) hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x100'0000'01b3;
    };
    const std::size_t size = payload.bytes.size();
    mix(payload.bytes.first(std::min(size, part)));
    mix(payload.bytes.last(std::min(size, part)));
    mix(axvm::bytes_of(std::uint64_t{size}));
    std::array<char, 17> name;
    std::snprintf(name.data(), name.size(), "%016llx", static_cast<unsigned long long>(hash));
    return directory_ + "/" + name.data() + std::string(suffix);
  }

  /// Writes all but pages of zeros, which a new file has anyway.
  [[nodiscard]] static bool write(int file, std::uint64_t offset, ConstBytes bytes) {
    while (!bytes.empty()) {
      std::size_t run = 0;
      while (run < bytes.size()) {
        const std::size_t size = std::min<std::size_t>(page, bytes.size() - run);
        if (is_zero(bytes.subspan(run, size))) break;
        run += size;
      }
      for (std::size_t done = 0; done < run;) {
        const ssize_t count = ::pwrite(file, bytes.data() + done, run - done, static_cast<off_t>(offset + done));
        if (count <= 0 && !(count < 0 && errno == EINTR)) return false;
        if (count > 0) done += static_cast<std::size_t>(count);
      }
      const std::size_t skip = std::min<std::size_t>(page, bytes.size() - run);
      offset += run + skip;
      bytes = bytes.subspan(run + skip);
    }
    return true;
  }

  /// Removes the kernels that were not used for the longest time.
  void prune() const {
    struct Entry {
      std::string name;
      timespec used;
    };
    std::vector<Entry> entries;
    DIR* const directory = ::opendir(directory_.c_str());
    if (directory == nullptr) return;
    while (dirent const* const found = ::readdir(directory)) {
      Entry entry{directory_ + "/" + found->d_name, {}};
      struct stat status{};
      if (!entry.name.ends_with(suffix) || ::lstat(entry.name.c_str(), &status) != 0) continue;
      entry.used = status.st_mtim;
      entries.push_back(std::move(entry));
    }
    ::closedir(directory);
    std::sort(entries.begin(), entries.end(), [](Entry const& a, Entry const& b) {
      return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec > b.used.tv_sec : a.used.tv_nsec > b.used.tv_nsec;
    });
    for (std::size_t i = most_files; i < entries.size(); ++i) ::unlink(entries[i].name.c_str());
  }

  std::string directory_;
};

}  // namespace axvm::inline v1::detail
