#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <axvm/acpi/aml_stream.hpp>
#include <axvm/acpi/name.hpp>
#include <axvm/acpi/term.hpp>
#include <axvm/core/bytes.hpp>

namespace axvm::inline v1::acpi {

/// What a method takes and how it is run ([acpi/6.5] 20.2.5.2).
struct MethodFlags {
  std::uint8_t arguments = 0;   ///< 0 to 7
  bool serialized = false;      ///< one caller at a time; a method that creates named objects must be
  std::uint8_t sync_level = 0;  ///< 0 to 15
};

/// The address space of an OperationRegion ([acpi/6.5] 5.5.2.4).
enum class RegionSpace : std::uint8_t {
  SystemMemory = 0x00,
  SystemIO = 0x01,
  PCI_Config = 0x02,
  EmbeddedControl = 0x03,
  SMBus = 0x04,
  SystemCMOS = 0x05,
  PciBarTarget = 0x06,
};

/// How wide the accesses to a field are ([acpi/6.5] 20.2.5.2).
enum class AccessType : std::uint8_t { AnyAcc = 0, ByteAcc = 1, WordAcc = 2, DWordAcc = 3, QWordAcc = 4 };

/// What becomes of the bits around a field that is written.
enum class UpdateRule : std::uint8_t { Preserve = 0, WriteAsOnes = 1, WriteAsZeros = 2 };

/// How a Field is accessed.
struct FieldFlags {
  AccessType access = AccessType::AnyAcc;
  bool lock = false;  ///< under the Global Lock
  UpdateRule update = UpdateRule::Preserve;
};

/// One part of a Field: a name and its width in bits, or bits that have no name.
struct FieldUnit {
  NameSeg name;
  std::uint64_t bits = 0;
  bool has_name = true;

  constexpr FieldUnit(NameSeg named, std::uint64_t width) : name(named), bits(width) {}
  /// `width` bits that are skipped.
  static constexpr FieldUnit reserved(std::uint64_t width) {
    FieldUnit unit({}, width);
    unit.has_name = false;
    return unit;
  }
};

/// Writes ACPI Machine Language, statement by statement, as ASL would say it ([acpi/6.5] 20.2.5). What stands in braces
/// in ASL is a function here, called at once:
///
///     aml.device("COM1", [&] {
///       aml.name("_HID", acpi::EisaId("PNP0501"));
///       aml.name("_UID", 0);
///       aml.name("_CRS", acpi::ResourceTemplate{}.io(0x3f8, 8).irq(4));
///     });
///
/// Works in constant expressions. Never writes beyond its memory; ask status() at the end.
class Aml : public AmlStream {
 public:
  using AmlStream::AmlStream;

  /// Name: a named value.
  template <Term T>
  constexpr void name(NamePath const& path_to, T const& value) {
    within(path_to, [&] {
      byte(0x08);  // NameOp
      path(path_to);
      encode(*this, value);
    });
  }

  /// Scope: what `body` writes belongs to an object that exists already.
  template <class Body>
  constexpr void scope(NamePath const& path_to, Body&& body) {
    byte(0x10);  // ScopeOp
    named_package(path_to, [] {}, body);
  }

  /// Device.
  template <class Body>
  constexpr void device(NamePath const& path_to, Body&& body) {
    extended(0x82);  // DeviceOp
    named_package(path_to, [] {}, body);
  }

  /// Method.
  template <class Body>
  constexpr void method(NamePath const& path_to, MethodFlags flags, Body&& body) {
    byte(0x14);  // MethodOp
    auto write_flags = [&] {
      if (flags.arguments > 7 || flags.sync_level > 15)
        fail("a method has 0 to 7 arguments and a SyncLevel of 0 to 15");
      byte(static_cast<std::uint8_t>((flags.arguments & 7) | (flags.serialized ? 0x08 : 0x00) |
                                     (flags.sync_level & 15) << 4));
    };
    named_package(path_to, write_flags, body);
  }
  /// Method without arguments, not serialized.
  template <class Body>
  constexpr void method(NamePath const& path_to, Body&& body) {
    method(path_to, MethodFlags{}, body);
  }

  /// OperationRegion: `length` bytes of an address space from `offset` on.
  template <Term Offset, Term Length>
  constexpr void operation_region(NamePath const& path_to, RegionSpace space, Offset const& offset,
                                  Length const& length) {
    extended(0x80);  // OpRegionOp
    path(path_to);
    byte(static_cast<std::uint8_t>(space));
    encode(*this, offset);
    encode(*this, length);
  }

  /// Field: names for the bits of a region, lowest first.
  constexpr void field(NamePath const& region, FieldFlags flags, std::initializer_list<FieldUnit> units) {
    extended(0x81);  // FieldOp
    package([&] {
      path(region);
      byte(static_cast<std::uint8_t>(static_cast<unsigned>(flags.access) | (flags.lock ? 0x10u : 0x00u) |
                                     static_cast<unsigned>(flags.update) << 5));
      for (FieldUnit const& unit : units) {
        if (unit.has_name) path(unit.name);
        else byte(0x00);  // ReservedField
        package_length(unit.bits);
      }
    });
  }

  /// Return.
  template <Term T>
  constexpr void return_(T const& value) {
    byte(0xa4);  // ReturnOp
    encode(*this, value);
  }

  /// Store: `value` into `target`.
  template <Term T>
  constexpr void store(T const& value, SuperName const& target) {
    byte(0x70);  // StoreOp
    encode(*this, value);
    target.to_aml(*this);
  }

  /// Notify: tells the system that `event` happened to `object`, such as 0x80 to a button.
  template <Term T>
  constexpr void notify(SuperName const& object, T const& event) {
    byte(0x86);  // NotifyOp
    object.to_aml(*this);
    encode(*this, event);
  }

  /// A call of a method as a statement.
  template <Term... Ts>
  constexpr void call(NamePath const& method_path, Ts const&... arguments) {
    path(method_path);
    (encode(*this, arguments), ...);
  }

  /// If: what `body` writes is done when `condition` is not zero.
  template <Term T, class Body>
  constexpr void if_(T const& condition, Body&& body) {
    byte(0xa0);  // IfOp
    package([&] {
      encode(*this, condition);
      body();
    });
    end_of_if_ = size();
  }

  /// Else: stands right behind an if_.
  template <class Body>
  constexpr void else_(Body&& body) {
    if (end_of_if_ != size()) fail("an Else stands right behind an If");
    byte(0xa1);  // ElseOp
    package(body);
  }

 private:
  template <class Flags, class Body>
  constexpr void named_package(NamePath const& path_to, Flags&& flags, Body&& body) {
    within(path_to, [&] {
      package([&] {
        path(path_to);
        flags();
        body();
      });
    });
  }

  std::size_t end_of_if_ = ~std::size_t{0};
};

}  // namespace axvm::inline v1::acpi
