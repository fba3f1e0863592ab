// Parts of the framework that need no KVM, again and again, for bench/queue and bench/check.
//
//   parts WORK COUNT    does it COUNT times; prints nanoseconds of processor time and what came of it
//
//   port-write port-read mmio-write mmio-read port-unclaimed    one exit of a machine of 32 devices, each in its turn
//   direct indirect event-idx    takes a chain of three buffers from a virtqueue, hands it back; shows 128 at a time
//   memory    reads and writes what a chain of three buffers takes of the rings, and does nothing else
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <axvm/axvm.hpp>
#include <axvm/virtio/virtio.hpp>

#include "clock.hpp"

namespace {

using axvm::virtio::Descriptor;
using axvm::virtio::RingLayout;

// ---- exits ---------------------------------------------------------------------------------------------------------

constexpr std::size_t devices = 32;
constexpr std::uint64_t first_port = 0x1000, first_window = 0xd000'0000;

template <std::size_t Number>
struct Station {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = first_port + 8 * Number, .size = 8},
                                              axvm::Mmio{.base = first_window + 0x1000 * Number, .size = 0x1000});
  struct Config {};
  Station(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const&) {}
  void read(axvm::MmioAccess&) {}
  void write(axvm::MmioAccess const&) {}
};

template <std::size_t... Numbers>
auto list_of(std::index_sequence<Numbers...>) -> std::type_identity<axvm::Devices<Station<Numbers>...>>;
using List = typename decltype(list_of(std::make_index_sequence<devices>{}))::type;
using Board = axvm::Board<axvm::Composition<axvm::Portable, List, axvm::kvm::Kvm>, axvm::DeviceLock>;

/// A processor whose guest accesses one device after the other, and does nothing else.
class Guest {
 public:
  Guest(axvm::ExitReason reason, bool is_write, bool is_claimed, std::uint64_t exits)
      : reason_(reason), is_write_(is_write), is_claimed_(is_claimed), left_(exits) {}

  static constexpr bool is(std::uint32_t code, axvm::ExitReason reason) {
    return code == static_cast<std::uint32_t>(reason);
  }
  [[gnu::noinline]] std::uint32_t run() {
    if (left_-- == 0) return static_cast<std::uint32_t>(axvm::ExitReason::Halt);
    device_ = (device_ + 1) % devices;
    return static_cast<std::uint32_t>(reason_);
  }
  [[nodiscard]] axvm::IoExit io() {
    const std::size_t port = is_claimed_ ? first_port + 8 * device_ : 0x99;
    return {static_cast<std::uint16_t>(port), 1, is_write_, 1, data_};
  }
  [[nodiscard]] axvm::MmioExit mmio() { return {first_window + 0x1000 * device_, 4, is_write_, data_}; }
  [[nodiscard]] axvm::Action system_event() { return axvm::Action::Fail; }
  [[nodiscard]] axvm::HypercallExit hypercall() { return {}; }
  void finish(axvm::HypercallExit const&) {}
  [[nodiscard]] axvm::MsrExit msr() { return {}; }
  void finish(axvm::MsrExit const&) {}

 private:
  axvm::ExitReason reason_;
  bool is_write_, is_claimed_;
  std::uint64_t left_;
  std::size_t device_ = 0;
  std::byte data_[8]{};
};

[[gnu::noinline]] std::uint64_t handle_exits(Guest& guest, Board& board) {
  axvm::VcpuCounters counters;
  axvm::HandlerObjects<axvm::Handlers<>> handlers;
  while (axvm::ExitDispatch<Board, axvm::Handlers<>>::handle(guest.run(), guest, board, counters, handlers) ==
         axvm::Action::Continue) {
  }
  return counters.exits[static_cast<std::size_t>(axvm::ExitReason::Io)].value() +
         counters.exits[static_cast<std::size_t>(axvm::ExitReason::Mmio)].value();
}

std::uint64_t exits(axvm::ExitReason reason, bool is_write, bool is_claimed, std::uint64_t count) {
  static Board board;
  board.for_each_cell([]<std::size_t I>(auto& cell) {
    axvm::DeviceContext context;
    cell.build(context);
  });
  Guest guest(reason, is_write, is_claimed, count);
  return handle_exits(guest, board);
}

// ---- virtqueues ----------------------------------------------------------------------------------------------------

constexpr std::uint16_t entries = 512, batch = 128;
constexpr std::uint64_t descriptors = 0, available = 0x4000, used = 0x6000, tables = 0x10000, buffers = 0x20000;

/// Memory with a queue of chains that are all described: of a header, a page and a status, as a disk's requests are.
class Ring {
 public:
  explicit Ring(bool indirect) : bytes_(2 << 20) {
    const axvm::GuestRegion regions[] = {{0, bytes_.size(), bytes_.data()}};
    memory = axvm::GuestMemory(regions);
    for (std::uint16_t chain = 0; chain < batch; ++chain) {
      const std::uint64_t table = indirect ? tables + 64u * chain : descriptors;
      const auto first = static_cast<std::uint16_t>(indirect ? 0 : 3 * chain), link = Descriptor::NEXT;
      const auto second = static_cast<std::uint16_t>(first + 1), third = static_cast<std::uint16_t>(first + 2);
      put(table + 16u * first, Descriptor{buffers + 0x2000u * chain, 16, link, second});
      const auto write = static_cast<std::uint16_t>(link | Descriptor::WRITE);
      put(table + 16u * second, Descriptor{buffers + 0x2000u * chain + 0x1000, 4096, write, third});
      put(table + 16u * third, Descriptor{buffers + 0x2000u * chain + 16, 1, Descriptor::WRITE, 0});
      if (indirect) put(descriptors + 48u * chain, Descriptor{table, 48, Descriptor::INDIRECT, 0});
    }
    for (std::uint16_t slot = 0; slot < entries; ++slot)
      put(available + RingLayout::ring + 2u * slot, static_cast<std::uint16_t>(3 * (slot % batch)));
  }

  /// Makes a batch of chains available.
  void offer() { put(available + RingLayout::idx, next_ = static_cast<std::uint16_t>(next_ + batch)); }

  template <class T>
  void put(std::uint64_t address, T const& value) {
    std::memcpy(bytes_.data() + address, &value, sizeof value);
  }
  [[nodiscard]] std::byte* at(std::uint64_t address) { return bytes_.data() + address; }

  axvm::GuestMemory memory;

 private:
  std::vector<std::byte> bytes_;
  std::uint16_t next_ = 0;
};

[[gnu::noinline]] std::uint64_t chains(bool indirect, bool event_idx, std::uint64_t count) {
  namespace feature = axvm::virtio::feature;
  Ring ring(indirect);
  axvm::virtio::QueueState state{entries, true, descriptors, available, used, 0, 0};
  axvm::virtio::Queue queue(state, ring.memory);
  if (queue.start(entries, (indirect ? feature::INDIRECT_DESC : 0) | (event_idx ? feature::EVENT_IDX : 0)) !=
      axvm::virtio::RingFault::None)
    return 0;
  std::array<axvm::Segment, 8> room{};
  axvm::virtio::Chain chain(room);
  std::uint64_t sum = 0;
  for (std::uint64_t done = 0; done < count; done += batch) {
    ring.offer();
    (void)queue.refresh();
    while (queue.pop(chain)) {
      sum += chain.readable().size() + chain.writable().size();
      queue.push(chain.head(), 4097);
    }
    sum += queue.publish();
  }
  return sum;
}

/// What any device must touch for a chain of three buffers: its entry, three descriptors, an element that is used.
[[gnu::noinline]] std::uint64_t memory_alone(std::uint64_t count) {
  Ring ring(false);
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t slot = i % entries;
    std::uint16_t head = 0;
    std::memcpy(&head, ring.at(available + RingLayout::ring + 2 * slot), sizeof head);
    std::uint64_t words[6];
    std::memcpy(words, ring.at(descriptors + 16u * head), sizeof words);
    for (const std::uint64_t word : words) sum += word;
    ring.put(used + RingLayout::ring + 8 * slot, std::uint64_t{head} | std::uint64_t{4097} << 32);
    __asm__ volatile("" ::: "memory");
  }
  return sum;
}

std::uint64_t work(std::string_view name, std::uint64_t count) {
  using enum axvm::ExitReason;
  if (name == "port-write") return exits(Io, true, true, count);
  if (name == "port-read") return exits(Io, false, true, count);
  if (name == "mmio-write") return exits(Mmio, true, true, count);
  if (name == "mmio-read") return exits(Mmio, false, true, count);
  if (name == "port-unclaimed") return exits(Io, true, false, count);
  if (name == "direct") return chains(false, false, count);
  if (name == "indirect") return chains(true, false, count);
  if (name == "event-idx") return chains(false, true, count);
  if (name == "memory") return memory_alone(count);
  std::fprintf(stderr, "parts: there is no %.*s\n", static_cast<int>(name.size()), name.data());
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::uint64_t count = std::strtoull(argv[2], nullptr, 10), begin = now(CLOCK_PROCESS_CPUTIME_ID);
  const std::uint64_t result = work(argv[1], count), end = now(CLOCK_PROCESS_CPUTIME_ID);
  std::printf("%llu %llu\n", static_cast<unsigned long long>(end - begin), static_cast<unsigned long long>(result));
  return 0;
}
