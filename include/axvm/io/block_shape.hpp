#pragma once

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstdint>

#include <axvm/device/block_image.hpp>

namespace axvm::inline v1 {

/// What direct access asks of a request, in bytes; powers of two.
struct DirectAlignment {
  std::uint32_t memory = 1;
  std::uint32_t offset = 1;  ///< of places in the file and of sizes
};

/// What direct access to an open file asks for. Linux before 6.1 does not tell for files: there a page is always
/// enough.
[[gnu::cold]] inline DirectAlignment direct_alignment(int descriptor, bool is_device) {
#ifdef STATX_DIOALIGN
  struct statx status{};
  if (::statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 &&
      status.stx_dio_mem_align != 0 && status.stx_dio_offset_align != 0)
    return {status.stx_dio_mem_align, status.stx_dio_offset_align};
#endif
  int block = 0;
  if (is_device && ::ioctl(descriptor, BLKSSZGET, &block) == 0 && block > 0)
    return {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block)};
  return {4096, 4096};
}

/// What a file or block device does best. Whatever it says, a guest sees blocks of 512 to 4096 bytes: its page may not
/// be smaller than a block.
[[gnu::cold]] inline BlockShape shape_of(int descriptor, struct stat const& status, DirectAlignment const& direct) {
  constexpr std::uint32_t least = 512, most = 4096;
  auto bounded = [](std::uint32_t block) {
    return block < least || (block & (block - 1)) != 0 ? least : block > most ? most : block;
  };
  BlockShape shape;
  if (S_ISBLK(status.st_mode)) {
    int logical = 0;
    unsigned physical = 0, best = 0;
    int first = 0;
    if (::ioctl(descriptor, BLKSSZGET, &logical) == 0) shape.logical_block = bounded(static_cast<unsigned>(logical));
    if (::ioctl(descriptor, BLKPBSZGET, &physical) == 0) shape.physical_block = physical;
    if (::ioctl(descriptor, BLKIOOPT, &best) == 0) shape.best_size = best;
    if (::ioctl(descriptor, BLKALIGNOFF, &first) == 0 && first > 0) shape.first_block = static_cast<unsigned>(first);
  } else {
    shape.logical_block = bounded(direct.offset);
    shape.physical_block = static_cast<std::uint32_t>(status.st_blksize);
  }
  constexpr std::uint32_t largest_physical = 64 * 1024;
  if (shape.physical_block < shape.logical_block || shape.physical_block > largest_physical ||
      (shape.physical_block & (shape.physical_block - 1)) != 0)
    shape.physical_block = shape.logical_block > most ? shape.logical_block : most;
  shape.can_discard = shape.can_write_zeroes = true;
  return shape;
}

}  // namespace axvm::inline v1
