#pragma once

#include <optional>
#include <string>
#include <utility>

#include <axvm/boot/boot.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/io/file.hpp>

namespace axvm::inline v1 {

/// The command line that boots a stock distribution kernel on a machine with a serial console and one virtio disk.
/// No PCI bus is looked for; a panic restarts instead of hanging; no timer wakes idle processors to watch over the
/// time-stamp counter.
inline constexpr std::string_view default_linux_cmdline =
    "console=ttyS0 panic=1 pci=off tsc=nowatchdog root=/dev/vda rw";
/// The same for a machine with devices on PCI, which its guest would not find with `pci=off`.
inline constexpr std::string_view default_linux_cmdline_with_pci =
    "console=ttyS0 panic=1 tsc=nowatchdog root=/dev/vda rw";

/// A kernel as it came out of its bzImage.
struct UnpackedKernel {
  Mapping mapping;   ///< holds the bytes
  ConstBytes bytes;  ///< the kernel
};

/// Unpacks a kernel, or finds it unpacked in the directory `cache` (empty: there is none). `from` is the file that the
/// payload is part of, if it is known. Fails with Unsupported where it does not know the format, with BadImage where
/// the payload is damaged or is not of the size it claims.
using KernelUnpacker = Result<UnpackedKernel> (*)(boot::Payload const& payload, Path const& cache,
                                                  FileState const& from);

/// Which Linux to boot, by file names.
struct LinuxFiles {
  Path kernel{};  ///< a bzImage
  Path initrd{};  ///< may be empty
  std::string cmdline{default_linux_cmdline};
  boot::Entry entry = boot::Entry::Long64;
  KernelUnpacker unpack = nullptr;  ///< unpack_kernel of bind/unpack.hpp; null: the guest unpacks its kernel by itself
  Path cache{};                     ///< the unpacker's directory of unpacked kernels; empty: none
};

/// A loader for Machine::load: the files stay open, so that a reset can load them again, and are mapped only meanwhile.
class LinuxBoot {
 public:
  /// Opens the files; an error names the one that cannot be opened.
  [[nodiscard, gnu::cold, AXVM_ONCE]] static Result<LinuxBoot> open(LinuxFiles const& files) {
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
    boot.unpack_ = files.unpack;
    boot.cache_ = files.cache;
    return boot;
  }

  [[gnu::cold, AXVM_ONCE]] Result<EntryState> operator()(boot::Context const& context) const {
    auto kernel = kernel_.map();
    if (!kernel) return std::unexpected(kernel.error());
    Result<Mapping> initrd = initrd_ ? initrd_->map() : Result<Mapping>(Mapping{});
    if (!initrd) return std::unexpected(initrd.error());
    Result<UnpackedKernel> unpacked = unpack(bytes_of(*kernel));
    if (!unpacked) return std::unexpected(unpacked.error());
    return boot::load_linux({.kernel = bytes_of(*kernel),
                             .initrd = bytes_of(*initrd),
                             .cmdline = cmdline_,
                             .entry = entry_,
                             .unpacked = unpacked->bytes},
                            context);
  }

 private:
  /// Nothing where the guest has to do it.
  [[nodiscard, gnu::cold]] Result<UnpackedKernel> unpack(ConstBytes kernel) const {
    if (unpack_ == nullptr || entry_ != boot::Entry::Long64) return UnpackedKernel{};
    auto image = boot::BzImage::parse(kernel);
    if (!image) return std::unexpected(image.error());
    auto payload = boot::find_payload(*image);
    if (!payload) return std::unexpected(payload.error());
    if (!*payload) return UnpackedKernel{};
    auto unpacked = unpack_(**payload, cache_, kernel_.state());
    if (!unpacked && unpacked.error().code == ErrorCode::Unsupported) return UnpackedKernel{};
    return unpacked;
  }

  File kernel_;
  std::optional<File> initrd_;
  std::string cmdline_;
  boot::Entry entry_ = boot::Entry::Long64;
  KernelUnpacker unpack_ = nullptr;
  Path cache_;
};

}  // namespace axvm::inline v1
