#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/acpi/aml_stream.hpp>
#include <axvm/acpi/byte_writer.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/text.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::acpi {

/// How an interrupt line signals; as it stands, an ISA line: edge, active high, of one device alone, not waking.
struct Line {
  bool level = false;       ///< _HE: level-triggered instead of edge-triggered
  bool active_low = false;  ///< _LL
  bool shared = false;      ///< _SHR
  bool wakes = false;       ///< _WKC: wakes the system
};

/// Whether a device uses an address range itself or hands it on to those behind it, as a bridge does.
enum class Usage : std::uint8_t { ResourceProducer = 0, ResourceConsumer = 1 };

/// How memory of an address space may be cached, _MEM ([acpi/6.5] 6.4.3.5.5).
enum class Caching : std::uint8_t { NonCacheable = 0, Cacheable = 1, WriteCombining = 2, Prefetchable = 3 };

/// The value of a device's _CRS ([acpi/6.5] 6.4): descriptors in the order of the calls, at most `capacity` bytes.
/// `ResourceTemplate{}.io(0x3f8, 8).irq(4)`. A descriptor that cannot be expressed is told by Aml::status().
/// What is left out: DMA, GPIO, serial buses, vendor-defined and dependent descriptors.
class ResourceTemplate {
 private:
  constexpr ResourceTemplate& fail(Text<95> const& what) {
    if (fault_.empty()) fault_ = what;
    return *this;
  }

  static constexpr std::uint8_t memory_flags(Caching caching) {
    return static_cast<std::uint8_t>(0x01 /* _RW */ | static_cast<unsigned>(caching) << 1);
  }

  template <class Write>
  constexpr void small(std::size_t length, Write&& write) {
    if (length > capacity - size_) {
      fail(text<95>("a ResourceTemplate has at most ", capacity, " bytes"));
      return;
    }
    ByteWriter out(Bytes(bytes_).subspan(size_, length));
    write(out);
    size_ += length;
  }

  template <class Write>
  constexpr void large(std::uint8_t tag, std::uint16_t length, Write&& write) {
    small(3u + length, [&](ByteWriter& out) {
      out.put<std::uint8_t>(tag);
      out.put<std::uint16_t>(length);
      write(out);
    });
  }

  template <class T>
  constexpr ResourceTemplate& address_space(Text<15> const& who, std::uint8_t type, Usage usage, std::uint8_t flags,
                                            T first, T last) {
    if (last < first || static_cast<T>(last - first) == static_cast<T>(~T{0}))
      return fail(text<95>(who.view(), "(", Hex{first}, ", ", Hex{last}, ") is empty or everything"));
    std::uint8_t tag = sizeof(T) == 2 ? 0x88 : sizeof(T) == 4 ? 0x87 : 0x8a;
    large(tag, static_cast<std::uint16_t>(3 + 5 * sizeof(T)), [&](ByteWriter& out) {
      out.put<std::uint8_t>(type);
      out.put<std::uint8_t>(static_cast<std::uint8_t>(static_cast<unsigned>(usage) | 0x0c));  // _MIF and _MAF: fixed
      out.put<std::uint8_t>(flags);
      out.put<T>(T{0});  // _GRA
      out.put<T>(first);
      out.put<T>(last);
      out.put<T>(T{0});  // _TRA
      out.put<T>(static_cast<T>(last - first + 1));
    });
    return *this;
  }

 public:
  static constexpr std::size_t capacity = 510;

  constexpr ResourceTemplate() = default;

  /// I/O Port Descriptor: 1 to 255 ports from `base` on, 16-bit decoding ([acpi/6.5] 6.4.2.5).
  constexpr ResourceTemplate& io(std::uint64_t base, std::uint64_t size) {
    if (size == 0 || size > 0xff || !range_fits(base, size, 0x1'0000))
      return fail(text<95>("io(", Hex{base}, ", ", size, ") is not 1 to 255 ports below 0x10000"));
    small(8, [&](ByteWriter& out) {
      out.put<std::uint8_t>(0x47);
      out.put<std::uint8_t>(1);  // _DEC: decodes all 16 bits
      out.put<std::uint16_t>(static_cast<std::uint16_t>(base));
      out.put<std::uint16_t>(static_cast<std::uint16_t>(base));
      out.put<std::uint8_t>(1);
      out.put<std::uint8_t>(static_cast<std::uint8_t>(size));
    });
    return *this;
  }

  /// IRQ Descriptor: an ISA interrupt, 0 to 15 ([acpi/6.5] 6.4.2.1). Linux applies the MADT's overrides to it.
  constexpr ResourceTemplate& irq(std::uint64_t number, Line line = {}) {
    if (number > 15) return fail(text<95>("irq(", number, ") is above 15; write interrupt()"));
    small(4, [&](ByteWriter& out) {
      out.put<std::uint8_t>(0x23);
      out.put<std::uint16_t>(static_cast<std::uint16_t>(1u << number));
      out.put<std::uint8_t>(static_cast<std::uint8_t>((line.level ? 0x00 : 0x01) | (line.active_low ? 0x08 : 0x00) |
                                                      (line.shared ? 0x10 : 0x00) | (line.wakes ? 0x20 : 0x00)));
    });
    return *this;
  }

  /// Extended Interrupt Descriptor: a global system interrupt that the device consumes ([acpi/6.5] 6.4.3.6).
  constexpr ResourceTemplate& interrupt(std::uint64_t gsi, Line line = {}) {
    if (gsi > 0xffff'ffff) return fail(text<95>("interrupt(", gsi, ") has more than 32 bits"));
    large(0x89, 6, [&](ByteWriter& out) {
      out.put<std::uint8_t>(static_cast<std::uint8_t>(0x01 | (line.level ? 0x00 : 0x02) |
                                                      (line.active_low ? 0x04 : 0x00) | (line.shared ? 0x08 : 0x00) |
                                                      (line.wakes ? 0x10 : 0x00)));
      out.put<std::uint8_t>(1);  // one interrupt follows
      out.put<std::uint32_t>(static_cast<std::uint32_t>(gsi));
    });
    return *this;
  }

  /// 32-bit Fixed Memory Range Descriptor: `size` bytes below 4 GiB, read and written ([acpi/6.5] 6.4.3.4).
  constexpr ResourceTemplate& memory32_fixed(GuestAddress base, std::uint64_t size) {
    if (size == 0 || size > 0xffff'ffff || !range_fits(base, size, 4 * GiB))
      return fail(text<95>("memory32_fixed(", Hex{base}, ", ", Hex{size}, ") is not below 4 GiB"));
    large(0x86, 9, [&](ByteWriter& out) {
      out.put<std::uint8_t>(1);  // _RW
      out.put<std::uint32_t>(static_cast<std::uint32_t>(base));
      out.put<std::uint32_t>(static_cast<std::uint32_t>(size));
    });
    return *this;
  }

  /// Word Address Space Descriptor of bus numbers `first` to `last`, handed on ([acpi/6.5] 6.4.3.5.3).
  constexpr ResourceTemplate& word_bus_number(std::uint8_t first, std::uint8_t last) {
    return address_space<std::uint16_t>("word_bus_number", 2, Usage::ResourceProducer, 0, first, last);
  }
  /// Word Address Space Descriptor of the I/O ports `first` to `last`.
  constexpr ResourceTemplate& word_io(std::uint16_t first, std::uint16_t last, Usage usage = Usage::ResourceProducer) {
    return address_space<std::uint16_t>("word_io", 1, usage, 0x03 /* _RNG: the whole range */, first, last);
  }
  /// DWord Address Space Descriptor of the memory from `first` to `last` (both included).
  constexpr ResourceTemplate& dword_memory(std::uint32_t first, std::uint32_t last,
                                           Usage usage = Usage::ResourceProducer,
                                           Caching caching = Caching::NonCacheable) {
    return address_space<std::uint32_t>("dword_memory", 0, usage, memory_flags(caching), first, last);
  }
  /// QWord Address Space Descriptor of the memory from `first` to `last` (both included).
  constexpr ResourceTemplate& qword_memory(std::uint64_t first, std::uint64_t last,
                                           Usage usage = Usage::ResourceProducer,
                                           Caching caching = Caching::NonCacheable) {
    return address_space<std::uint64_t>("qword_memory", 0, usage, memory_flags(caching), first, last);
  }

  /// Writes the Buffer: the descriptors and the End Tag, whose checksum makes all of them sum to zero.
  constexpr void to_aml(AmlStream& out) const {
    if (!fault_.empty()) out.fail(fault_.view());
    ConstBytes descriptors(bytes_.data(), size_);
    std::uint8_t sum = 0x79;
    for (std::byte byte : descriptors) sum = static_cast<std::uint8_t>(sum + std::to_integer<std::uint8_t>(byte));
    out.byte(0x11);  // BufferOp
    out.package([&] {
      out.integer(size_ + 2);
      out.bytes(descriptors);
      out.byte(0x79);  // End Tag
      out.byte(static_cast<std::uint8_t>(-sum));
    });
  }

 private:
  std::array<std::byte, capacity> bytes_{};
  std::size_t size_ = 0;
  Text<95> fault_;
};

}  // namespace axvm::inline v1::acpi
