#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <axvm/boot/bzimage.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1::boot {

/// How the kernel inside a bzImage is packed ([linux/boot] 1.3, field payload_offset).
enum class Compression : std::uint8_t { Unknown, Gzip, Bzip2, Lzma, Xz, Lzo, Lz4, Zstd };

/// The packed kernel inside a bzImage. A view, as BzImage is.
struct Payload {
  Compression compression = Compression::Unknown;
  ConstBytes bytes;                 ///< what an unpacker of that format takes
  std::uint64_t unpacked_size = 0;  ///< what the file says comes out; at most what the header asks memory for
};

/// The format's name.
constexpr std::string_view name_of(Compression compression) {
  constexpr std::string_view names[] = {"unknown", "gzip", "bzip2", "lzma", "xz", "lzo", "lz4", "zstd"};
  return names[static_cast<std::size_t>(compression)];
}

/// The format by its first bytes, which [linux/boot] 1.3 lists (zstd's is of RFC 8878, 3.1.1).
[[gnu::cold]] inline Compression compression_of(ConstBytes payload) {
  struct Magic {
    std::uint32_t bytes, mask;
    Compression compression;
  };
  constexpr std::array<Magic, 8> known = {{{0x8b1f, 0xffff, Compression::Gzip},
                                           {0x9e1f, 0xffff, Compression::Gzip},
                                           {0x5a42, 0xffff, Compression::Bzip2},
                                           {0x005d, 0xffff, Compression::Lzma},
                                           {0x587a'37fd, ~0u, Compression::Xz},
                                           {0x4f5a'4c89, ~0u, Compression::Lzo},
                                           {0x184c'2102, ~0u, Compression::Lz4},
                                           {0xfd2f'b528, ~0u, Compression::Zstd}}};
  const std::uint32_t first = load<std::uint32_t>(payload, 0).value_or(0);
  for (Magic const& magic : known)
    if ((first & magic.mask) == magic.bytes) return magic.compression;
  return Compression::Unknown;
}

/// Finds the packed kernel. Nothing where the header does not say where it is (protocols before 2.08), or how much
/// memory unpacking may take (before 2.10). Fails with BadImage when what should come out is more than that.
///
/// A payload ends in the size of what comes out of it: gzip has that of its own, the kernel's build appends it to all
/// others.
[[gnu::cold]] inline Result<std::optional<Payload>> find_payload(BzImage const& image) {
  SetupHeader const& header = image.header();
  if (image.version() < 0x020a || header.payload_length < 8 || header.init_size == 0) return std::nullopt;
  // parse() has checked that it lies within the code.
  ConstBytes bytes = image.protected_mode().subspan(header.payload_offset, header.payload_length);
  Payload payload{.compression = compression_of(bytes), .bytes = bytes};
  payload.unpacked_size = *load<std::uint32_t>(bytes, bytes.size() - sizeof(std::uint32_t));
  if (payload.compression != Compression::Gzip) payload.bytes = bytes.first(bytes.size() - sizeof(std::uint32_t));
  if (payload.compression == Compression::Unknown) return payload;
  if (payload.unpacked_size == 0 || payload.unpacked_size > header.init_size)
    return failure(ErrorCode::BadImage,
                   text<1023>("unpack kernel: its payload claims to unpack to ", payload.unpacked_size,
                              " bytes, its header asks for ", header.init_size, " bytes of memory"),
                   "the file is damaged; fetch the kernel again");
  return payload;
}

}  // namespace axvm::inline v1::boot
