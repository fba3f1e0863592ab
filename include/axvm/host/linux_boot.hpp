#pragma once

#include <optional>
#include <string>
#include <utility>

#include <axvm/boot/boot.hpp>
#include <axvm/core/result.hpp>
#include <axvm/io/file.hpp>

namespace axvm::inline v1 {

/// The command line that boots a stock distribution kernel on a machine with a serial console and one virtio disk.
/// There is no PCI bus to look for; a panic restarts instead of hanging; no timer wakes idle processors to watch over
/// the time-stamp counter.
inline constexpr std::string_view default_linux_cmdline =
    "console=ttyS0 panic=1 pci=off tsc=nowatchdog root=/dev/vda rw";

/// Which Linux to boot, by file names.
struct LinuxFiles {
  Path kernel{};  ///< a bzImage
  Path initrd{};  ///< may be empty
  std::string cmdline{default_linux_cmdline};
  boot::Entry entry = boot::Entry::Long64;
};

/// A loader for Machine::load: the files stay open, so that a reset can load them again, and are mapped only meanwhile.
class LinuxBoot {
 public:
  /// Opens the files; an error names the one that cannot be opened.
  [[nodiscard, gnu::cold]] static Result<LinuxBoot> open(LinuxFiles const& files) {
    LinuxBoot boot;
    auto kernel = File::open("kernel", files.kernel);
    if (!kernel) return std::unexpected(kernel.error());
    boot.kernel_ = std::move(*kernel);
    if (!files.initrd.empty()) {
      auto initrd = File::open("initrd", files.initrd);
      if (!initrd) return std::unexpected(initrd.error());
      boot.initrd_ = std::move(*initrd);
    }
    boot.cmdline_ = files.cmdline;
    boot.entry_ = files.entry;
    return boot;
  }

  [[gnu::cold]] Result<EntryState> operator()(boot::Context const& context) const {
    auto kernel = kernel_.map();
    if (!kernel) return std::unexpected(kernel.error());
    Result<Mapping> initrd = initrd_ ? initrd_->map() : Result<Mapping>(Mapping{});
    if (!initrd) return std::unexpected(initrd.error());
    return boot::load_linux(
        {.kernel = bytes_of(*kernel), .initrd = bytes_of(*initrd), .cmdline = cmdline_, .entry = entry_}, context);
  }

 private:
  File kernel_;
  std::optional<File> initrd_;
  std::string cmdline_;
  boot::Entry entry_ = boot::Entry::Long64;
};

}  // namespace axvm::inline v1
