#pragma once

#include <array>

#include <boost/hana/tuple.hpp>
#include <boost/hana/unpack.hpp>

#include <axvm/compose/compose.hpp>
#include <axvm/io/event_loop.hpp>

namespace axvm::inline v1::detail {

/// A device of a machine for what is done with each in turn, so that this is compiled once and not for each.
struct DevicePlace {
  void* cell = nullptr;
  void const* config = nullptr;
  CellOperations const* operations = nullptr;
  LockReference lock;

  [[nodiscard]] bool wanted() const { return operations->wanted == nullptr || operations->wanted(cell); }
  void quiesce() const {
    if (operations->quiesce != nullptr) operations->quiesce(cell);
  }
};

template <class Cell>
[[nodiscard]] DevicePlace place_of(Cell& cell, typename Cell::DeviceType::Config const& config) {
  return {&cell, &config, &Cell::operations, LockReference::to(cell.lock())};
}

/// All devices of a board, in order; board and configuration stay where they are.
template <class BoardType, class Config>
[[nodiscard, gnu::cold]] std::array<DevicePlace, BoardType::device_count> places_of(BoardType& board,
                                                                                    Config const& config) {
  return board.with_cells([&config](auto&... cells) {
    return boost::hana::unpack(config.devices, [&](auto const&... configs) {
      return std::array<DevicePlace, BoardType::device_count>{place_of(cells, configs)...};
    });
  });
}

}  // namespace axvm::inline v1::detail
