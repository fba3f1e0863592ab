#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/basic_tuple.hpp>
#include <boost/hana/for_each.hpp>

#include <axvm/compose/cell.hpp>
#include <axvm/compose/composition.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/exit.hpp>

namespace axvm::inline v1 {

/// Accesses that found no device, counted by the vCPU that made them.
struct UnclaimedCounters {
  Counter ports, mmio;
};

namespace detail {
template <class Lock, class List>
struct CellTuple;
template <class Lock, class... Ds>
struct CellTuple<Lock, Devices<Ds...>> {
  // Not hana::tuple, which clears all of it first: the pages of devices that are absent would then be there.
  using Type = boost::hana::basic_tuple<Cell<Ds, Lock>...>;
};
}  // namespace detail

/// The devices of a machine and the way from an address to one of them: an unrolled binary search over constants.
/// Needs no operating system; `Lock` is taken around each device's calls.
template <class Composed, class Lock = NoLock>
class Board {
 public:
  using Composition = Composed;
  using List = typename Composed::List;
  static constexpr std::size_t device_count = List::count;

  /// The place of device `I` of the flat list.
  template <std::size_t I>
  [[nodiscard]] auto& cell() {
    return boost::hana::at_c<I>(cells_);
  }

  /// Calls `visit.operator()<I>(cell)` for every device in order.
  template <class Visit>
  void for_each_cell(Visit&& visit) {
    [&]<std::size_t... Is>(std::index_sequence<Is...>) {
      (visit.template operator()<Is>(cell<Is>()), ...);
    }(std::make_index_sequence<device_count>{});
  }

  /// Carries out a port exit: every item of a string instruction in order. What no device claims reads all-ones.
  /// Inlined, as mmio() is: there is one run loop, and what an exit brought need not pass through memory.
  [[gnu::always_inline]] void io(IoExit const& exit, UnclaimedCounters& unclaimed) {
    if (exit.count != 1) [[unlikely]]
      return string_io(exit.port, exit.width, exit.is_write, exit.count, exit.data, unclaimed);
    access_one<ClaimKind::Pio, PioAccess>(exit.port, exit, unclaimed);
  }

  /// Carries out an MMIO exit. What no device claims reads all-ones.
  [[gnu::always_inline]] void mmio(MmioExit const& exit, UnclaimedCounters& unclaimed) {
    access_one<ClaimKind::Mmio, MmioAccess>(exit.address, exit, unclaimed);
  }

  /// A processor has ended the interrupt with this vector: the I/O APIC hears of it, if it is the machine's own.
  void end_of_interrupt([[maybe_unused]] std::uint8_t vector) {
    if constexpr (Composed::own_io_apic) {
      auto& place = cell<Composed::io_apic>();
      Holding holding(place.lock());
      place.device()->end_of_interrupt(vector);
    }
  }

 private:
  template <ClaimKind Kind>
  static constexpr auto windows = detail::window_table<Kind, Composed>();

  /// The widest access there is to a window of this kind, in bytes.
  static constexpr std::uint64_t widest(ClaimKind kind) { return kind == ClaimKind::Pio ? 4 : 8; }

  /// Searches compare distances from here: constants that fit into an instruction, wherever the windows are.
  template <ClaimKind Kind>
  static constexpr std::uint64_t origin = windows<Kind>.size() == 0 ? 0 : windows<Kind>.data()->base;

  /// One access of a device's width, to whoever claims it.
  template <ClaimKind Kind, class Access, class Exit>
  [[gnu::always_inline]] void access_one(std::uint64_t address, Exit const& exit, UnclaimedCounters& unclaimed) {
    using Value = decltype(Access::value);
    Access access{0, exit.width, ~Value{0}};
    if (exit.is_write) {
      std::memcpy(&access.value, exit.data, sizeof(Value));
      access.value &= ~Value{0} >> (-8u * exit.width & (8 * sizeof(Value) - 1));  // the width, without a branch
      if (!reach<Kind, true>(address, access)) [[unlikely]]
        (void)reach_any<Kind, true>(address, access, unclaimed);
      return;
    }
    if (!reach<Kind, false>(address, access)) [[unlikely]]
      access.value = reach_any<Kind, false>(address, access, unclaimed);
    std::memcpy(exit.data, &access.value, sizeof(Value));
  }

  template <ClaimKind Kind, bool IsWrite, class Access>
  [[gnu::always_inline]] bool reach(std::uint64_t address, Access& access) {
    return search<Kind, IsWrite, 0, windows<Kind>.size()>(address - origin<Kind>, access);
  }

  /// `distance` is from the origin; below it, it wraps to one that is beyond all windows.
  template <ClaimKind Kind, bool IsWrite, std::size_t Low, std::size_t High, class Access>
  [[gnu::always_inline]] bool search(std::uint64_t distance, Access& access) {
    if constexpr (Low == High) {
      return false;
    } else if constexpr (High - Low > 1) {
      constexpr std::size_t middle = Low + (High - Low) / 2;
      if (distance < windows<Kind>[middle].base - origin<Kind>)
        return search<Kind, IsWrite, Low, middle>(distance, access);
      return search<Kind, IsWrite, middle, High>(distance, access);
    } else {
      constexpr DispatchWindow window = windows<Kind>[Low];
      constexpr std::uint64_t begin = window.base - origin<Kind>;
      if constexpr (window.size < widest(Kind))
        if (access.width > window.size) return false;
      // The search has led past where each window begins. Only the last one is asked about distances that wrapped.
      if constexpr (High == windows<Kind>.size()) {
        if (distance > begin + window.size - access.width) return false;
      } else {
        if (distance + access.width > begin + window.size) return false;
      }
      // A copy: where a device's function is inlined nothing of the access needs an address then.
      Access own{static_cast<decltype(access.offset)>(distance - begin), access.width, access.value};
      cell<window.device>().template access<window.claim, IsWrite>(own);
      if constexpr (!IsWrite) access.value = own.value;
      return true;
    }
  }

  /// Any access: as one if it lies within a window, else made of its bytes, each to whoever claims it; returns what is
  /// read.
  template <ClaimKind Kind, bool IsWrite, class Access>
  [[gnu::noinline, gnu::cold]] auto reach_any(std::uint64_t address, Access access, UnclaimedCounters& unclaimed) {
    using Value = decltype(access.value);
    std::uint8_t width = access.width;
    bool missed = false;
    for (unsigned i = 0; i < access.width;) {
      const auto ones = static_cast<Value>(all_ones(width));
      Access part{0, width, IsWrite ? access.value >> 8 * i & ones : ones};
      if (!reach<Kind, IsWrite>(address + i, part)) {
        if (width != 1) {
          width = 1;
          continue;
        }
        missed = true;
      }
      if constexpr (!IsWrite) access.value = (access.value & ~(ones << 8 * i)) | (part.value & ones) << 8 * i;
      i += width;
    }
    if (missed) (Kind == ClaimKind::Pio ? unclaimed.ports : unclaimed.mmio).add();
    return access.value;
  }

  [[gnu::noinline, gnu::cold]] void string_io(std::uint16_t port, std::uint8_t width, bool is_write,
                                              std::uint32_t count, std::byte* data, UnclaimedCounters& unclaimed) {
    for (; count != 0; --count, data += width) {
      PioAccess item{0, width, 0};
      if (is_write) {
        std::memcpy(&item.value, data, width);
        (void)reach_any<ClaimKind::Pio, true>(port, item, unclaimed);
      } else {
        item.value = reach_any<ClaimKind::Pio, false>(port, item, unclaimed);
        std::memcpy(data, &item.value, width);
      }
    }
  }

  typename detail::CellTuple<Lock, List>::Type cells_;
};

}  // namespace axvm::inline v1
