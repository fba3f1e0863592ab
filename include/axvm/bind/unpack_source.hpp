#pragma once

#include <lz4.h>
#include <lzma.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <axvm/bind/kernel_cache.hpp>
#include <axvm/bind/unpack.hpp>

// What unpack.hpp declares. Included by exactly one source file of a program, which links zlib, liblzma, liblz4 and
// libzstd.

namespace axvm::inline v1 {

namespace detail {

/// Each returns whether `from` is sound and fills `into` exactly, and never writes beyond it.
inline bool unpack_gzip(ConstBytes from, Bytes into) {
  z_stream stream{};
  constexpr int largest_window = 15, gzip = 16;
  if (::inflateInit2(&stream, largest_window + gzip) != Z_OK) return false;
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<Bytef const*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(into.data());
  stream.avail_out = static_cast<uInt>(into.size());
  const int ended = ::inflate(&stream, Z_FINISH);
  const bool whole = ended == Z_STREAM_END && stream.avail_out == 0;
  ::inflateEnd(&stream);
  return whole;
}

inline bool unpack_xz(ConstBytes from, Bytes into) {
  // The kernel's build takes dictionaries of at most 32 MiB, its own unpacker no more than the kernel is large.
  std::uint64_t memory = 160_MiB;
  std::size_t taken = 0, made = 0;
  const lzma_ret ended =
      ::lzma_stream_buffer_decode(&memory, 0, nullptr, reinterpret_cast<std::uint8_t const*>(from.data()), &taken,
                                  from.size(), reinterpret_cast<std::uint8_t*>(into.data()), &made, into.size());
  return ended == LZMA_OK && made == into.size();
}

/// LZ4's legacy frames: a magic number, then blocks of at most 8 MiB, each behind its packed size.
inline bool unpack_lz4(ConstBytes from, Bytes into) {
  constexpr std::size_t block_size = 8_MiB;
  from = from.subspan(sizeof(std::uint32_t));
  while (!from.empty()) {
    const auto size = load<std::uint32_t>(from, 0);
    if (!size || !range_fits(sizeof *size, *size, from.size()) || *size > LZ4_COMPRESSBOUND(block_size)) return false;
    const std::size_t room = into.size() < block_size ? into.size() : block_size;
    const int made =
        ::LZ4_decompress_safe(reinterpret_cast<char const*>(from.data() + sizeof *size),
                              reinterpret_cast<char*>(into.data()), static_cast<int>(*size), static_cast<int>(room));
    if (made <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(made));
    from = from.subspan(sizeof *size + *size);
  }
  return into.empty();
}

inline bool unpack_zstd(ConstBytes from, Bytes into) {
  return ::ZSTD_decompress(into.data(), into.size(), from.data(), from.size()) == into.size();
}

}  // namespace detail

Result<UnpackedKernel> unpack_kernel(boot::Payload const& payload, Path const& cache, FileState const& from) {
  using enum boot::Compression;
  bool (*unpack)(ConstBytes, Bytes) = payload.compression == Gzip   ? detail::unpack_gzip
                                      : payload.compression == Xz   ? detail::unpack_xz
                                      : payload.compression == Lz4  ? detail::unpack_lz4
                                      : payload.compression == Zstd ? detail::unpack_zstd
                                                                    : nullptr;
  const auto what =
      text<1023>("unpack kernel: its payload (", name_of(payload.compression), ", ", payload.bytes.size(), " bytes)");
  if (unpack == nullptr) return failure(ErrorCode::Unsupported, what);
  const detail::KernelCache kept(cache);
  if (UnpackedKernel found = kept.find(payload, from); !found.bytes.empty()) return found;
  if (!cache.empty() && !kept.usable()) return failure(ErrorCode::Unsupported, what, "there is no place to keep it");

  void* const address = ::mmap(nullptr, payload.unpacked_size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return failure(ErrorCode::OutOfMemory, what, {}, errno);
  UnpackedKernel unpacked{Mapping(address, payload.unpacked_size), {}};
  const Bytes into(unpacked.mapping.data(), payload.unpacked_size);
  if (!unpack(payload.bytes, into))
    return failure(ErrorCode::BadImage,
                   text<1023>(what, " is damaged, or is not of the ", payload.unpacked_size, " bytes it claims"),
                   "fetch the kernel again");
  boot::leave_out_zeros(into);
  unpacked.bytes = into;
  kept.store(payload, into, from);
  return unpacked;
}

Path kernel_cache_directory() {
  char const* const caches = std::getenv("XDG_CACHE_HOME");
  if (caches != nullptr && *caches == '/') return text<1023>(caches, "/axvm");
  char const* const home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? text<1023>(home, "/.cache/axvm") : Path{};
}

}  // namespace axvm::inline v1
