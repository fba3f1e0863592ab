#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>

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
  using Type = boost::hana::tuple<Cell<Ds, Lock>...>;
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
  void io(IoExit const& exit, UnclaimedCounters& unclaimed) {
    if (exit.count == 1) [[likely]] {
      std::uint32_t value;
      std::memcpy(&value, exit.data, sizeof value);
      PioAccess access{0, exit.width, value & static_cast<std::uint32_t>(all_ones(exit.width))};
      if (exit.is_write) {
        if (!reach<ClaimKind::Pio, true>(exit.port, access)) [[unlikely]]
          split(exit, unclaimed);
        return;
      }
      access.value = ~0u;
      if (!reach<ClaimKind::Pio, false>(exit.port, access)) [[unlikely]]
        return split(exit, unclaimed);
      std::memcpy(exit.data, &access.value, sizeof access.value);
      return;
    }
    string_io(exit, unclaimed);
  }

  /// Carries out an MMIO exit. What no device claims reads all-ones.
  void mmio(MmioExit const& exit, UnclaimedCounters& unclaimed) {
    std::uint64_t value;
    std::memcpy(&value, exit.data, sizeof value);
    MmioAccess access{0, exit.width, value & all_ones(exit.width)};
    if (exit.is_write) {
      if (!reach<ClaimKind::Mmio, true>(exit.address, access)) [[unlikely]]
        split(exit, unclaimed);
      return;
    }
    access.value = ~0ull;
    if (!reach<ClaimKind::Mmio, false>(exit.address, access)) [[unlikely]]
      return split(exit, unclaimed);
    std::memcpy(exit.data, &access.value, sizeof access.value);
  }

 private:
  template <ClaimKind Kind>
  static constexpr auto windows = detail::window_table<Kind, Composed>();

  /// The widest access there is to a window of this kind, in bytes.
  static constexpr std::uint64_t widest(ClaimKind kind) { return kind == ClaimKind::Pio ? 4 : 8; }

  template <ClaimKind Kind, bool IsWrite, class Access>
  [[gnu::always_inline]] bool reach(std::uint64_t address, Access& access) {
    return search<Kind, IsWrite, 0, windows<Kind>.size()>(address, access);
  }

  template <ClaimKind Kind, bool IsWrite, std::size_t Low, std::size_t High, class Access>
  [[gnu::always_inline]] bool search(std::uint64_t address, Access& access) {
    if constexpr (Low == High) {
      return false;
    } else if constexpr (High - Low > 1) {
      constexpr std::size_t middle = Low + (High - Low) / 2;
      if (address < windows<Kind>[middle].base) return search<Kind, IsWrite, Low, middle>(address, access);
      return search<Kind, IsWrite, middle, High>(address, access);
    } else {
      constexpr DispatchWindow window = windows<Kind>[Low];
      const std::uint64_t offset = address - window.base;  // wraps to a large value below the base
      if constexpr (window.size < widest(Kind))
        if (access.width > window.size) return false;
      if (offset > window.size - access.width) return false;
      access.offset = static_cast<decltype(access.offset)>(offset);
      cell<window.device>().template access<window.claim, IsWrite>(access);
      return true;
    }
  }

  /// An access that does not lie wholly within one window is made of its bytes, each to whoever claims it: accesses of
  /// their own, so that the search, which stands in the program wherever it is made, is in it once for each direction.
  [[gnu::noinline, gnu::cold]] void split(IoExit const& exit, UnclaimedCounters& unclaimed) {
    split(exit.width, exit.is_write, exit.data, unclaimed.ports, [&](unsigned i, std::byte* item) {
      if (exit.port + i > 0xffff) return false;
      UnclaimedCounters missed;
      io({static_cast<std::uint16_t>(exit.port + i), 1, exit.is_write, 1, item}, missed);
      return missed.ports.value() == 0;
    });
  }
  [[gnu::noinline, gnu::cold]] void split(MmioExit const& exit, UnclaimedCounters& unclaimed) {
    split(exit.width, exit.is_write, exit.data, unclaimed.mmio, [&](unsigned i, std::byte* item) {
      UnclaimedCounters missed;
      mmio({exit.address + i, 1, exit.is_write, item}, missed);
      return missed.mmio.value() == 0;
    });
  }
  template <class ByteAccess>
  void split(unsigned width, bool is_write, std::byte* data, Counter& unclaimed, ByteAccess access) {
    bool missed = width == 1;
    if (missed && !is_write) data[0] = std::byte{0xff};
    for (unsigned i = 0; width > 1 && i < width; ++i) {
      alignas(8) std::byte item[8]{is_write ? data[i] : std::byte{0xff}};
      if (!access(i, item)) missed = true;
      if (!is_write) data[i] = item[0];
    }
    if (missed) unclaimed.add();
  }

  [[gnu::noinline, gnu::cold]] void string_io(IoExit const& exit, UnclaimedCounters& unclaimed) {
    for (std::uint32_t i = 0; i < exit.count; ++i) {
      alignas(8) std::byte item[8]{};
      std::byte* data = exit.data + std::size_t{i} * exit.width;
      std::memcpy(item, data, exit.width);
      io({exit.port, exit.width, exit.is_write, 1, item}, unclaimed);
      if (!exit.is_write) std::memcpy(data, item, exit.width);
    }
  }

  typename detail::CellTuple<Lock, List>::Type cells_;
};

}  // namespace axvm::inline v1
