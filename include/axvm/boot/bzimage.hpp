#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <axvm/boot/setup_header.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::boot {

/// A Linux bzImage, checked ([linux/boot] 1.2, 1.3). A view: the file's bytes must outlive it, and must not change.
class BzImage {
 public:
  /// Takes a kernel file apart. Nothing in the file is believed: every offset and size is checked against the file's
  /// own size. Fails with BadImage (not a bzImage, damaged, truncated) or Unsupported (a protocol before 2.06 or of
  /// another major version, a zImage).
  static Result<BzImage> parse(ConstBytes file);

  /// The header as the file has it, up to its end; zero behind that. Fields that its protocol version does not define
  /// mean nothing: the questions below know.
  [[nodiscard]] SetupHeader const& header() const { return header_; }
  [[nodiscard]] ProtocolVersion version() const { return header_.version; }
  /// The code that is loaded: `syssize` units of 16 bytes after the real-mode code.
  [[nodiscard]] ConstBytes protected_mode() const { return protected_mode_; }
  /// Whether it can be entered in 64-bit mode ([linux/boot] 1.15).
  [[nodiscard]] bool has_64_bit_entry() const {
    return version() >= 0x020c && (header_.xloadflags & SetupHeader::XLF_KERNEL_64) != 0;
  }
  /// Whether it runs wherever it is loaded.
  [[nodiscard]] bool relocatable() const { return header_.relocatable_kernel != 0; }

  /// Where it wants to be: pref_address, or the 1 MiB of every bzImage where the header has none.
  [[nodiscard]] GuestAddress preferred_address() const {
    return version() >= 0x020a && header_.pref_address != 0 ? header_.pref_address : MiB;
  }
  /// The alignment at which a relocatable kernel runs best; a power of two.
  [[nodiscard]] std::uint64_t alignment() const { return header_.kernel_alignment; }
  /// The smallest alignment at which a relocatable kernel runs at all; a power of two, at most alignment().
  [[nodiscard]] std::uint64_t least_alignment() const {
    std::uint64_t least = 1ull << (header_.min_alignment & 63);
    return version() >= 0x020a && header_.min_alignment != 0 && least < alignment() ? least : alignment();
  }
  /// Bytes it needs from its runtime start on before it knows the memory map: at least what is loaded. Images older
  /// than protocol 2.10 do not say; four times the compressed size and 8 MiB is more than any of them takes.
  [[nodiscard]] std::uint64_t footprint() const {
    std::uint64_t loaded = protected_mode_.size();
    if (version() < 0x020a || header_.init_size == 0) return 4 * loaded + 8_MiB;
    return header_.init_size > loaded ? header_.init_size : loaded;
  }

  /// The kernel's name for itself, "6.1.0-18-cloud-amd64 (...) #1 SMP ..."; empty when the file has none. Printable.
  [[nodiscard]] std::string_view kernel_version() const { return kernel_version_; }

 private:
  static constexpr std::size_t sector = 512;

  static constexpr bool is_power_of_two(std::uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }
  static Result<SetupHeader> read_header(ConstBytes file);
  static std::string_view read_version_text(ConstBytes setup, SetupHeader const& header);
  static std::unexpected<Error> not_a_bzimage(ConstBytes file, Text<127> const& why);

  SetupHeader header_;
  ConstBytes protected_mode_;
  std::string_view kernel_version_;
};

[[gnu::cold]] inline std::unexpected<Error> BzImage::not_a_bzimage(ConstBytes file, Text<127> const& why) {
  std::uint32_t magic = load<std::uint32_t>(file, 0).value_or(0);
  Text<511> hint = "give the compressed kernel that distributions install as /boot/vmlinuz-*";
  if (magic == 0x464c'457f) hint = "this is an ELF file (vmlinux?); give the bzImage that was made from it";
  else if ((magic & 0xffff) == 0x8b1f) hint = "this is a gzip file; unpack it, or give the bzImage";
  return failure(ErrorCode::BadImage, text<1023>("load kernel: not a bzImage: ", why), hint);
}

[[gnu::cold]] inline Result<SetupHeader> BzImage::read_header(ConstBytes file) {
  // Reading the first two sectors at once is what the protocol asks of loaders; no header reaches beyond them.
  if (file.size() < 2 * sector)
    return not_a_bzimage(file, text<127>("the file has ", file.size(), " bytes, at least ", 2 * sector, " are needed"));
  SetupHeader raw = *load<SetupHeader>(file, SetupHeader::file_offset);
  if (raw.boot_flag != SetupHeader::boot_flag_value)
    return not_a_bzimage(file, text<127>("the boot flag at 0x1fe is ", Hex{raw.boot_flag}, ", not 0xaa55"));
  if (raw.header != SetupHeader::signature) return not_a_bzimage(file, "there is no signature HdrS at 0x202");
  if (raw.version < oldest_protocol || raw.version >> 8 != newest_protocol >> 8)
    return failure(ErrorCode::Unsupported,
                   text<1023>("load kernel: its boot protocol is ", protocol_text(raw.version), ", needed is ",
                              protocol_text(oldest_protocol), " or a later 2.x"),
                   "use Linux 2.6.22 or later");

  // The jump over the header tells where it ends; what lies behind is code and must not be taken for fields.
  std::size_t end = 0x202u + raw.jump[1];
  if (raw.jump[0] != SetupHeader::jump_short || raw.jump[1] > 0x7f || end < header_end(raw.version))
    return failure(ErrorCode::BadImage,
                   text<1023>("load kernel: the jump ", Hex{raw.jump[0]}, " ", Hex{raw.jump[1]},
                              " at 0x200 does not lead over a header of protocol ", protocol_text(raw.version),
                              ", which ends at ", Hex{header_end(raw.version)}),
                   "the file is damaged; fetch the kernel again");
  SetupHeader header;
  std::memcpy(&header, &raw, end - SetupHeader::file_offset);
  header.reserved_1f0 = 0;
  return header;
}

[[gnu::cold]] inline std::string_view BzImage::read_version_text(ConstBytes setup, SetupHeader const& header) {
  std::size_t begin = header.kernel_version + sector;
  if (header.kernel_version == 0 || begin >= setup.size()) return {};
  std::string_view all(reinterpret_cast<char const*>(setup.data()) + begin, setup.size() - begin);
  std::size_t length = 0;
  while (length < all.size() && all[length] >= ' ' && all[length] <= '~') ++length;
  return {all.data(), length};
}

[[gnu::cold]] inline Result<BzImage> BzImage::parse(ConstBytes file) {
  Result<SetupHeader> header = read_header(file);
  if (!header) return std::unexpected(header.error());
  if ((header->loadflags & SetupHeader::LOADED_HIGH) == 0)
    return failure(ErrorCode::Unsupported,
                   "load kernel: it is a zImage, which is loaded below 1 MiB (LOADED_HIGH is 0)",
                   "build it as a bzImage");

  std::uint64_t setup_size = (1u + (header->setup_sects == 0 ? 4u : header->setup_sects)) * sector;
  std::uint64_t code_size = header->syssize * 16ull;
  std::uint64_t needed = setup_size + code_size;
  if (code_size <= 0x200)  // the 64-bit entry is at 0x200
    return failure(ErrorCode::BadImage,
                   text<1023>("load kernel: its header claims ", code_size, " bytes of protected-mode code"),
                   "the file is damaged; fetch the kernel again");
  if (needed > file.size())
    return failure(ErrorCode::BadImage,
                   text<1023>("load kernel: the file is truncated: ", needed, " bytes are needed (", setup_size,
                              " of real-mode code, ", code_size, " of protected-mode code), ", file.size(),
                              " are there, ", needed - file.size(), " are missing"),
                   "fetch the kernel again");
  if (header->version >= 0x0208 && !range_fits(header->payload_offset, header->payload_length, code_size))
    return failure(
        ErrorCode::BadImage,
        text<1023>("load kernel: its payload, ", header->payload_length, " bytes at offset ", header->payload_offset,
                   ", does not lie within the ", code_size, " bytes of protected-mode code"),
        "the file is damaged; fetch the kernel again");

  if (header->relocatable_kernel != 0 && !is_power_of_two(header->kernel_alignment))
    return failure(ErrorCode::BadImage,
                   text<1023>("load kernel: its alignment ", Hex{header->kernel_alignment}, " is no power of two"),
                   "the file is damaged; fetch the kernel again");

  BzImage image;
  image.header_ = *header;
  image.protected_mode_ = file.subspan(setup_size, code_size);
  image.kernel_version_ = read_version_text(file.first(setup_size), *header);
  return image;
}

}  // namespace axvm::inline v1::boot
