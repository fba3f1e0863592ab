#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/basic_tuple.hpp>
#include <boost/hana/unpack.hpp>

#include <axvm/compose/cell.hpp>
#include <axvm/compose/composition.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/exit.hpp>
#include <axvm/core/inlined.hpp>

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

/// The devices of a machine and the way from an address to one of them: an unrolled binary search over constants, with
/// a switch where many windows of one size stand side by side. Needs no operating system; `Lock` is taken around each
/// device's calls.
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

  /// Calls `visit(cells...)` with the places of all devices in order, and returns what it returns.
  template <class Visit>
  decltype(auto) with_cells(Visit const& visit) {
    return boost::hana::unpack(cells_, visit);
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
    access_one<ClaimKind::Pio>(exit.port, {exit.data, exit.width, exit.is_write}, unclaimed);
  }

  /// Carries out an MMIO exit. What no device claims reads all-ones.
  [[gnu::always_inline]] void mmio(MmioExit const& exit, UnclaimedCounters& unclaimed) {
    access_one<ClaimKind::Mmio>(exit.address, {exit.data, exit.width, exit.is_write}, unclaimed);
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
  using Item = detail::BusItem;
  template <ClaimKind Kind>
  using AccessOf = std::conditional_t<Kind == ClaimKind::Pio, PioAccess, MmioAccess>;

  template <ClaimKind Kind>
  static constexpr auto windows = detail::window_table<Kind, Composed>();

  /// The widest access there is to a window of this kind, in bytes.
  static constexpr std::uint64_t widest(ClaimKind kind) { return kind == ClaimKind::Pio ? 4 : 8; }

  /// Searches compare distances from here: constants that fit into an instruction, wherever the windows are.
  template <ClaimKind Kind>
  static constexpr std::uint64_t origin = windows<Kind>.size() == 0 ? 0 : windows<Kind>.data()->base;

  /// One access of a device's width, to whoever claims it.
  template <ClaimKind Kind>
  [[gnu::always_inline]] void access_one(std::uint64_t address, Item const& item, UnclaimedCounters& unclaimed) {
    if (!reach<Kind>(address, item)) [[unlikely]]
      reach_any<Kind>(address, item, true, unclaimed);
  }

  /// The longest row of neighbours.
  template <ClaimKind Kind>
  static constexpr detail::WindowRow row = detail::longest_row(windows<Kind>);

  /// So long must a row be to have a switch: of fewer the search finds one in as many instructions.
  static constexpr std::size_t least_row = 17;

  template <ClaimKind Kind>
  [[AXVM_INLINED]] bool reach(std::uint64_t address, Item const& item) {
    constexpr std::size_t count = windows<Kind>.size(), first = row<Kind>.first, last = first + row<Kind>.count;
    const std::uint64_t distance = address - origin<Kind>;
    if constexpr (row<Kind>.count < least_row) {
      return search<Kind, 0, count>(distance, item);
    } else {
      const std::uint64_t number = (distance - begin<Kind, first>) >> row<Kind>.shift;
      if (number < row<Kind>.count)
        return in_row<Kind>(std::make_index_sequence<row<Kind>.count>{}, number, distance, item);
      if constexpr (last != count)
        if (distance >= begin<Kind, last>) return search<Kind, last, count>(distance, item);
      return distance < begin<Kind, first> && search<Kind, 0, first>(distance, item);
    }
  }

  /// A comparison with each number, of which compilers make a jump table.
  template <ClaimKind Kind, std::size_t... Is>
  [[gnu::always_inline]] bool in_row(std::index_sequence<Is...> /*all*/, std::uint64_t number, std::uint64_t distance,
                                     Item const& item) {
    bool found = false;
    (void)((number == Is && (found = window<Kind, row<Kind>.first + Is>(distance, item), true)) || ...);
    return found;
  }

  /// `distance` is from the origin and not below window `Low`, but below the origin it wraps to one that is beyond all
  /// windows. Two comparisons in one function, and both directions to one device: what is inlined is copied into each
  /// function on the way.
  template <ClaimKind Kind, std::size_t Low, std::size_t High>
  [[gnu::always_inline]] bool search(std::uint64_t distance, Item const& item) {
    constexpr std::size_t middle = Low + (High - Low) / 2, low = Low + (middle - Low) / 2,
                          high = middle + (High - middle) / 2;
    if constexpr (Low == High) {
      return false;
    } else if constexpr (High - Low == 1) {
      return window<Kind, Low>(distance, item);
    } else if (distance < begin<Kind, middle>) {
      if constexpr (low != Low)
        if (distance < begin<Kind, low>) return search<Kind, Low, low>(distance, item);
      return search<Kind, low, middle>(distance, item);
    } else {
      if constexpr (high != middle)
        if (distance < begin<Kind, high>) return search<Kind, middle, high>(distance, item);
      return search<Kind, high, High>(distance, item);
    }
  }

  /// Where a window begins, from the origin.
  template <ClaimKind Kind, std::size_t I>
  static constexpr std::uint64_t begin = windows<Kind>.data()[I].base - origin<Kind>;

  /// The search has led past where each window begins; to the last one it leads those distances that wrapped, too.
  template <ClaimKind Kind, std::size_t I>
  [[gnu::always_inline]] bool window(std::uint64_t distance, Item const& item) {
    constexpr std::size_t device = windows<Kind>.data()[I].device, claim = windows<Kind>.data()[I].claim;
    constexpr std::uint64_t size = windows<Kind>.data()[I].size, end = begin<Kind, I> + size;
    if constexpr (size < widest(Kind))
      if (item.width > size) return false;
    if constexpr (I + 1 == windows<Kind>.size()) {
      if (distance > end - item.width) return false;
    } else {
      if (distance + item.width > end) return false;
    }
    cell<device>().template access<claim, AccessOf<Kind>>(distance - begin<Kind, I>, item);
    return true;
  }

  /// Any access: as one if it lies within a window, unless that `was_tried`, else made of its bytes, each to whoever
  /// claims it.
  template <ClaimKind Kind>
  [[gnu::noinline, gnu::cold]] void reach_any(std::uint64_t address, Item item, bool was_tried,
                                              UnclaimedCounters& unclaimed) {
    using Value = decltype(AccessOf<Kind>::value);
    Value value = ~Value{0};
    if (item.is_write) std::memcpy(&value, item.data, sizeof value);
    std::uint8_t width = was_tried ? 1 : item.width;
    bool missed = was_tried && item.width == 1;
    for (unsigned i = missed ? item.width : 0; i < item.width;) {
      const auto ones = static_cast<Value>(all_ones(width));
      Value part = item.is_write ? value >> 8 * i : ~Value{0};
      if (!reach<Kind>(address + i, {reinterpret_cast<std::byte*>(&part), width, item.is_write})) {
        if (width != 1) {
          width = 1;
          continue;
        }
        missed = true;
      }
      if (!item.is_write) value = (value & ~(ones << 8 * i)) | (part & ones) << 8 * i;
      i += width;
    }
    if (missed) (Kind == ClaimKind::Pio ? unclaimed.ports : unclaimed.mmio).add();
    if (!item.is_write) std::memcpy(item.data, &value, sizeof value);
  }

  [[gnu::noinline, gnu::cold]] void string_io(std::uint16_t port, std::uint8_t width, bool is_write,
                                              std::uint32_t count, std::byte* data, UnclaimedCounters& unclaimed) {
    for (; count != 0; --count, data += width) {
      std::byte item[sizeof(PioAccess::value)]{};
      std::memcpy(item, data, width);
      reach_any<ClaimKind::Pio>(port, {item, width, is_write}, false, unclaimed);
      std::memcpy(data, item, width);
    }
  }

  typename detail::CellTuple<Lock, List>::Type cells_;
};

}  // namespace axvm::inline v1
