// What check.py disassembles: the way from an exit of KVM to the function of one of sixteen devices, and to one of
// thirty-two that stand in a row.

#include <cstdint>

#include <axvm/axvm.hpp>

namespace {

/// One of sixteen devices with sixteen ports and a page each, apart from each other; or, in a row, one of thirty-two
/// that are wherever there is room, so that they adjoin each other. It needs no lock. Its functions are not inlined, so
/// that they can be found by name, and its number is part of what they do, so that compilers do not make one of all.
template <unsigned Number, bool in_row>
struct Station {
  static constexpr auto claims = in_row
                                     ? axvm::claims(axvm::Pio{.size = 8}, axvm::Mmio{.size = 0x1000})
                                     : axvm::claims(axvm::Pio{.base = 0x100 + 0x20 * Number, .size = 16},
                                                    axvm::Mmio{.base = 0xd000'0000 + 0x2000 * Number, .size = 0x1000});
  static constexpr bool concurrent = true;
  struct Config {};
  Station(Config const&, axvm::DeviceContext&) {}
  [[gnu::noinline]] void read(axvm::PioAccess& access) { access.value = number + Number; }
  [[gnu::noinline]] void write(axvm::PioAccess const& access) { number = access.value + Number; }
  [[gnu::noinline]] void read(axvm::MmioAccess& access) { access.value = number + Number; }
  [[gnu::noinline]] void write(axvm::MmioAccess const& access) {
    number = static_cast<std::uint32_t>(access.value) - Number;
  }
  std::uint32_t number = 0;
};

template <bool in_row, unsigned... Numbers>
auto stations(std::integer_sequence<unsigned, Numbers...>) -> axvm::Devices<Station<Numbers, in_row>...>;
template <bool in_row, unsigned count>
using BoardOf =
    axvm::Board<axvm::Composition<axvm::Bare, decltype(stations<in_row>(std::make_integer_sequence<unsigned, count>{})),
                                  axvm::kvm::Kvm>,
                axvm::DeviceLock>;
using Board = BoardOf<false, 16>;
using Row = BoardOf<true, 32>;

}  // namespace

extern "C" {

/// The run loop: from the return of run() to the devices.
[[gnu::used, gnu::noinline]] void axvm_run_loop(axvm::kvm::Vcpu& vcpu, Board& board, axvm::VcpuCounters& counters,
                                                axvm::HandlerObjects<axvm::Handlers<>>& handlers) {
  while (axvm::ExitDispatch<Board, axvm::Handlers<>>::handle(vcpu.run(), vcpu, board, counters, handlers) ==
         axvm::Action::Continue) {
  }
}

// The search alone: one item, the direction known, all of it in one function.

[[gnu::used, gnu::flatten]] void axvm_port_write(Board& board, std::uint16_t port, std::byte* data,
                                                 axvm::UnclaimedCounters& unclaimed) {
  board.io({port, 4, true, 1, data}, unclaimed);
}
[[gnu::used, gnu::flatten]] void axvm_port_read(Board& board, std::uint16_t port, std::uint8_t width, std::byte* data,
                                                axvm::UnclaimedCounters& unclaimed) {
  board.io({port, width, false, 1, data}, unclaimed);
}
[[gnu::used, gnu::flatten]] void axvm_mmio_write(Board& board, std::uint64_t address, std::byte* data,
                                                 axvm::UnclaimedCounters& unclaimed) {
  board.mmio({address, 4, true, data}, unclaimed);
}
[[gnu::used, gnu::flatten]] void axvm_mmio_read(Board& board, std::uint64_t address, std::uint8_t width,
                                                std::byte* data, axvm::UnclaimedCounters& unclaimed) {
  board.mmio({address, width, false, data}, unclaimed);
}

[[gnu::used, gnu::flatten]] void axvm_row_port_write(Row& row, std::uint16_t port, std::byte* data,
                                                     axvm::UnclaimedCounters& unclaimed) {
  row.io({port, 4, true, 1, data}, unclaimed);
}
[[gnu::used, gnu::flatten]] void axvm_row_mmio_read(Row& row, std::uint64_t address, std::uint8_t width,
                                                    std::byte* data, axvm::UnclaimedCounters& unclaimed) {
  row.mmio({address, width, false, data}, unclaimed);
}
}

int main() {}
