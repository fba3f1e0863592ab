#pragma once

#include <axvm/host/linux_boot.hpp>

// Unpacking a Linux kernel in the monitor, with zlib, liblzma, liblz4 and libzstd. Declarations only: one source file
// of the program includes unpack_source.hpp, which defines them.
//
// A bzImage unpacks itself in the guest, with decompressors made for size, before its own memory is mapped well. The
// monitor does it faster, and only once: the result is kept.

namespace axvm::inline v1 {

/// Unpacks a kernel packed with gzip, xz, lz4 or zstd; for LinuxFiles::unpack. The formats that are left (bzip2, lzma,
/// lzo) are Unsupported: their kernels unpack themselves.
///
/// With a directory for it, what was unpacked is kept there and the next start maps it; that is what pays. So where the
/// directory cannot be had, everything is Unsupported, and without one each start unpacks. A kept kernel is found by a
/// hash and believed only when the payload kept with it is, byte for byte, the one that is asked for, or when that was
/// so last time and the payload is in the same file, `from`, in the same state: then neither is read. The directory
/// keeps the eight kernels used last.
[[nodiscard]] Result<UnpackedKernel> unpack_kernel(boot::Payload const& payload, Path const& cache,
                                                   FileState const& from = {});

/// Where a user's programs keep such things: axvm in $XDG_CACHE_HOME or in ~/.cache; empty when neither is known.
[[nodiscard]] Path kernel_cache_directory();

}  // namespace axvm::inline v1
