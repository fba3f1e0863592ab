#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <axvm/core/text.hpp>

namespace axvm::inline v1::boot {

/// The boot protocol's version, (major << 8) + minor ([linux/boot] 1.3, field version).
using ProtocolVersion = std::uint16_t;

/// The oldest protocol that is loaded: the first that says how long a command line may be (Linux 2.6.22).
inline constexpr ProtocolVersion oldest_protocol = 0x0206;
/// The newest protocol whose fields are known. Later minor versions only append fields, so they load as well.
inline constexpr ProtocolVersion newest_protocol = 0x020f;

/// A protocol version as its documentation writes it: 0x020f is "2.15".
constexpr Text<15> protocol_text(ProtocolVersion version) {
  unsigned minor = version & 0xffu;
  if (minor < 10) return text<15>(version >> 8, ".0", minor);
  return text<15>(version >> 8, ".", minor);
}

/// The setup header with the byte before it and the room after it: bytes 0x1f0 to 0x28f of the kernel file and of
/// `boot_params` alike ([linux/boot] 1.2, 1.3). Starting at 0x1f0 makes every number lie at a multiple of its size;
/// only the signature does not, and is bytes here. Field names are the protocol's.
struct SetupHeader {
  static constexpr std::size_t file_offset = 0x1f0;    ///< where this struct starts
  static constexpr std::size_t header_offset = 0x1f1;  ///< where the header proper starts
  static constexpr std::array<char, 4> signature{'H', 'd', 'r', 'S'};

  static constexpr std::uint16_t boot_flag_value = 0xaa55;
  static constexpr std::uint8_t jump_short = 0xeb;  ///< first byte of `jump`; the second is the header's length

  static constexpr std::uint8_t LOADED_HIGH = 1u << 0;     ///< loadflags: the protected-mode code is loaded above 1 MiB
  static constexpr std::uint8_t KASLR_FLAG = 1u << 1;      ///< loadflags: the kernel's virtual addresses were moved
  static constexpr std::uint8_t CAN_USE_HEAP = 1u << 7;    ///< loadflags: heap_end_ptr is valid
  static constexpr std::uint16_t XLF_KERNEL_64 = 1u << 0;  ///< xloadflags: 64-bit entry at 0x200
  static constexpr std::uint16_t XLF_CAN_BE_LOADED_ABOVE_4G = 1u << 1;  ///< xloadflags
  static constexpr std::uint8_t undefined_loader = 0xff;  ///< type_of_loader of a loader that has no assigned number

  std::uint8_t reserved_1f0 = 0;
  std::uint8_t setup_sects = 0;             ///< 0x1f1 sectors of 512 bytes after the first; 0 means 4
  std::uint16_t root_flags = 0;             ///< 0x1f2
  std::uint32_t syssize = 0;                ///< 0x1f4 protected-mode code in units of 16 bytes
  std::uint16_t ram_size = 0;               ///< 0x1f8
  std::uint16_t vid_mode = 0;               ///< 0x1fa
  std::uint16_t root_dev = 0;               ///< 0x1fc
  std::uint16_t boot_flag = 0;              ///< 0x1fe 0xaa55
  std::array<std::uint8_t, 2> jump{};       ///< 0x200 a short jump over the header
  std::array<char, 4> header{};             ///< 0x202 "HdrS"
  ProtocolVersion version = 0;              ///< 0x206
  std::uint32_t realmode_swtch = 0;         ///< 0x208
  std::uint16_t start_sys_seg = 0;          ///< 0x20c
  std::uint16_t kernel_version = 0;         ///< 0x20e file offset of the version text, less 0x200
  std::uint8_t type_of_loader = 0;          ///< 0x210
  std::uint8_t loadflags = 0;               ///< 0x211
  std::uint16_t setup_move_size = 0;        ///< 0x212
  std::uint32_t code32_start = 0;           ///< 0x214 where the protected-mode code was loaded
  std::uint32_t ramdisk_image = 0;          ///< 0x218
  std::uint32_t ramdisk_size = 0;           ///< 0x21c
  std::uint32_t bootsect_kludge = 0;        ///< 0x220
  std::uint16_t heap_end_ptr = 0;           ///< 0x224
  std::uint8_t ext_loader_ver = 0;          ///< 0x226
  std::uint8_t ext_loader_type = 0;         ///< 0x227
  std::uint32_t cmd_line_ptr = 0;           ///< 0x228
  std::uint32_t initrd_addr_max = 0;        ///< 0x22c highest byte an initrd may occupy
  std::uint32_t kernel_alignment = 0;       ///< 0x230
  std::uint8_t relocatable_kernel = 0;      ///< 0x234
  std::uint8_t min_alignment = 0;           ///< 0x235 as a power of two; 2.10 and later
  std::uint16_t xloadflags = 0;             ///< 0x236 2.12 and later
  std::uint32_t cmdline_size = 0;           ///< 0x238 longest command line without its final zero; 2.06 and later
  std::uint32_t hardware_subarch = 0;       ///< 0x23c 2.07 and later; 0 is the PC
  std::uint64_t hardware_subarch_data = 0;  ///< 0x240
  std::uint32_t payload_offset = 0;         ///< 0x248 from the protected-mode code's beginning; 2.08 and later
  std::uint32_t payload_length = 0;         ///< 0x24c
  std::uint64_t setup_data = 0;             ///< 0x250 first node of the setup_data list; 2.09 and later
  std::uint64_t pref_address = 0;           ///< 0x258 2.10 and later
  std::uint32_t init_size = 0;              ///< 0x260 memory needed from the runtime start on; 2.10 and later
  std::uint32_t handover_offset = 0;        ///< 0x264 2.11 and later
  std::uint32_t kernel_info_offset = 0;     ///< 0x268 2.15 and later
  std::array<std::uint8_t, 0x290 - 0x26c> later_fields{};  ///< 0x26c what newer protocols append
};
static_assert(std::is_trivially_copyable_v<SetupHeader> && std::is_standard_layout_v<SetupHeader>);
static_assert(sizeof(SetupHeader) == 0x290 - 0x1f0);
static_assert(offsetof(SetupHeader, setup_sects) == 0x1f1 - 0x1f0);
static_assert(offsetof(SetupHeader, syssize) == 0x1f4 - 0x1f0);
static_assert(offsetof(SetupHeader, boot_flag) == 0x1fe - 0x1f0);
static_assert(offsetof(SetupHeader, header) == 0x202 - 0x1f0);
static_assert(offsetof(SetupHeader, version) == 0x206 - 0x1f0);
static_assert(offsetof(SetupHeader, type_of_loader) == 0x210 - 0x1f0);
static_assert(offsetof(SetupHeader, code32_start) == 0x214 - 0x1f0);
static_assert(offsetof(SetupHeader, ramdisk_image) == 0x218 - 0x1f0);
static_assert(offsetof(SetupHeader, heap_end_ptr) == 0x224 - 0x1f0);
static_assert(offsetof(SetupHeader, cmd_line_ptr) == 0x228 - 0x1f0);
static_assert(offsetof(SetupHeader, initrd_addr_max) == 0x22c - 0x1f0);
static_assert(offsetof(SetupHeader, relocatable_kernel) == 0x234 - 0x1f0);
static_assert(offsetof(SetupHeader, xloadflags) == 0x236 - 0x1f0);
static_assert(offsetof(SetupHeader, cmdline_size) == 0x238 - 0x1f0);
static_assert(offsetof(SetupHeader, hardware_subarch_data) == 0x240 - 0x1f0);
static_assert(offsetof(SetupHeader, payload_offset) == 0x248 - 0x1f0);
static_assert(offsetof(SetupHeader, setup_data) == 0x250 - 0x1f0);
static_assert(offsetof(SetupHeader, pref_address) == 0x258 - 0x1f0);
static_assert(offsetof(SetupHeader, init_size) == 0x260 - 0x1f0);
static_assert(offsetof(SetupHeader, kernel_info_offset) == 0x268 - 0x1f0);

/// The file offset at which a header of this version ends at the earliest: after the newest field it defines.
constexpr std::size_t header_end(ProtocolVersion version) {
  if (version >= 0x020f) return 0x26c;
  if (version >= 0x020b) return 0x268;
  if (version >= 0x020a) return 0x264;
  if (version >= 0x0209) return 0x258;
  if (version >= 0x0208) return 0x250;
  if (version >= 0x0207) return 0x248;
  return 0x23c;
}

}  // namespace axvm::inline v1::boot
