#pragma once

#include <cstddef>
#include <cstdint>

namespace axvm::inline v1::virtio {

/// struct virtio_blk_config, [virtio/1.2] 5.2.4: the block device's configuration space. A field whose feature is not
/// offered is zero.
struct BlkConfig {
  std::uint64_t capacity = 0;           ///< in sectors of 512 bytes
  std::uint32_t size_max = 0;           ///< SIZE_MAX: bytes in one segment
  std::uint32_t seg_max = 0;            ///< SEG_MAX: segments of data in one request
  std::uint16_t cylinders = 0;          ///< GEOMETRY
  std::uint8_t heads = 0;               ///< GEOMETRY
  std::uint8_t sectors = 0;             ///< GEOMETRY
  std::uint32_t blk_size = 0;           ///< BLK_SIZE: the block size to do best, bytes
  std::uint8_t physical_block_exp = 0;  ///< TOPOLOGY
  std::uint8_t alignment_offset = 0;    ///< TOPOLOGY
  std::uint16_t min_io_size = 0;        ///< TOPOLOGY
  std::uint32_t opt_io_size = 0;        ///< TOPOLOGY
  std::uint8_t writeback = 0;           ///< CONFIG_WCE
  std::uint8_t unused0 = 0;
  std::uint16_t num_queues = 0;                ///< MQ
  std::uint32_t max_discard_sectors = 0;       ///< DISCARD
  std::uint32_t max_discard_seg = 0;           ///< DISCARD
  std::uint32_t discard_sector_alignment = 0;  ///< DISCARD
  std::uint32_t max_write_zeroes_sectors = 0;  ///< WRITE_ZEROES
  std::uint32_t max_write_zeroes_seg = 0;      ///< WRITE_ZEROES
  std::uint8_t write_zeroes_may_unmap = 0;     ///< WRITE_ZEROES
  std::uint8_t unused1[3] = {};
  std::uint32_t max_secure_erase_sectors = 0;       ///< SECURE_ERASE
  std::uint32_t max_secure_erase_seg = 0;           ///< SECURE_ERASE
  std::uint32_t secure_erase_sector_alignment = 0;  ///< SECURE_ERASE
};
static_assert(sizeof(BlkConfig) == 72);
static_assert(offsetof(BlkConfig, seg_max) == 12 && offsetof(BlkConfig, blk_size) == 20 &&
              offsetof(BlkConfig, writeback) == 32 && offsetof(BlkConfig, num_queues) == 34 &&
              offsetof(BlkConfig, max_discard_sectors) == 36 && offsetof(BlkConfig, write_zeroes_may_unmap) == 56 &&
              offsetof(BlkConfig, max_secure_erase_sectors) == 60);

/// The part of struct virtio_blk_req before the data, [virtio/1.2] 5.2.6. The data follow it, the status byte them.
struct BlkRequestHeader {
  std::uint32_t type = 0;      ///< a BlkRequestType
  std::uint32_t reserved = 0;  ///< ignored
  std::uint64_t sector = 0;    ///< IN and OUT: where, in sectors of 512 bytes
};
static_assert(sizeof(BlkRequestHeader) == 16 && offsetof(BlkRequestHeader, sector) == 8);

/// VIRTIO_BLK_T_*, [virtio/1.2] 5.2.6: what the driver wants.
enum class BlkRequestType : std::uint32_t { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };

/// VIRTIO_BLK_S_*, [virtio/1.2] 5.2.6: how it went.
enum class BlkRequestStatus : std::uint8_t { OK = 0, IOERR = 1, UNSUPP = 2 };

/// struct virtio_blk_discard_write_zeroes, [virtio/1.2] 5.2.6: the data of DISCARD and WRITE_ZEROES are an array of
/// these.
struct BlkRange {
  std::uint64_t sector = 0;       ///< where, in sectors of 512 bytes
  std::uint32_t num_sectors = 0;  ///< how many
  std::uint32_t flags = 0;        ///< UNMAP; all other bits must be zero

  static constexpr std::uint32_t UNMAP = 1;  ///< WRITE_ZEROES: the space may be given up
};
static_assert(sizeof(BlkRange) == 16 && offsetof(BlkRange, num_sectors) == 8 && offsetof(BlkRange, flags) == 12);

/// VIRTIO_BLK_F_*, [virtio/1.2] 5.2.3, as masks.
namespace blk_feature {
inline constexpr std::uint64_t SEGMENT_SIZE_MAX = 1ull << 1;  // SIZE_MAX, which is a macro of C
inline constexpr std::uint64_t SEG_MAX = 1ull << 2;
inline constexpr std::uint64_t RO = 1ull << 5;
inline constexpr std::uint64_t BLK_SIZE = 1ull << 6;
inline constexpr std::uint64_t FLUSH = 1ull << 9;
inline constexpr std::uint64_t TOPOLOGY = 1ull << 10;
inline constexpr std::uint64_t CONFIG_WCE = 1ull << 11;
inline constexpr std::uint64_t MQ = 1ull << 12;
inline constexpr std::uint64_t DISCARD = 1ull << 13;
inline constexpr std::uint64_t WRITE_ZEROES = 1ull << 14;
}  // namespace blk_feature

/// The unit of capacity and of sector numbers, bytes.
inline constexpr std::uint64_t blk_sector_size = 512;
/// How long the answer to GET_ID is, bytes.
inline constexpr std::size_t blk_id_size = 20;

}  // namespace axvm::inline v1::virtio
