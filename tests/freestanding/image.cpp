// A program without an operating system and without a C library that is a virtual machine's devices and nothing else: a
// UART, an interval timer and a disk on a board, with itself as their guest. It runs as a guest of KVM.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>

#include <axvm/compose/compose.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/device/devices.hpp>
#include <axvm/virtio/virtio.hpp>

#include "ports.hpp"

using namespace std::string_view_literals;

namespace {

void out(std::uint16_t port, std::uint8_t value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory"); }
void out(std::uint16_t port, std::uint32_t value) { asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory"); }

[[noreturn]] void end(std::uint32_t result) {
  for (;;) out(report::end_port, result);
}

void check(bool holds, int line = __builtin_LINE()) {
  if (!holds) end(static_cast<std::uint32_t>(line));
}

/// What the devices are connected to: a serial line that is a real port, a clock moved by hand, a disk of memory.
struct World {
  static constexpr std::size_t disk_size = 8 * 512, memory_size = 0x8000;

  std::uint64_t now = 1'000'000;
  std::uint64_t deadline = 0;
  axvm::Callback callback;
  unsigned timer_interrupts = 0, disk_interrupts = 0;
  alignas(4096) std::array<std::byte, memory_size> memory;
  std::array<std::byte, disk_size> disk;

  void advance(std::uint64_t nanoseconds) {
    const std::uint64_t until = now + nanoseconds;
    while (deadline != 0 && deadline <= until) {
      now = deadline;
      deadline = 0;
      callback();
    }
    now = until;
  }
};
constinit World world{};

constexpr axvm::CharacterPort::Operations serial{[](void*, axvm::ConstBytes bytes) {
                                                   for (std::byte byte : bytes)
                                                     out(report::text_port, static_cast<std::uint8_t>(byte));
                                                   return bytes.size();
                                                 },
                                                 [](void*, axvm::Bytes) { return std::size_t{0}; },
                                                 [](void*) { return -1; }, [](void*) { return -1; }};

constexpr axvm::Events::Operations events{[](void*, int, axvm::Interest, axvm::Callback) { return false; },
                                          [](void*, unsigned, std::uint64_t deadline, axvm::Callback callback) {
                                            world.deadline = deadline;
                                            world.callback = callback;
                                          },
                                          [](void*) { return world.now; }};

template <bool IsWrite>
int transfer(void*, std::uint64_t offset, std::span<const axvm::Segment> segments) {
  std::byte* at = world.disk.data() + offset;
  for (axvm::Segment const& segment : segments) {
    if constexpr (IsWrite) std::memcpy(at, segment.data, segment.size);
    else std::memcpy(segment.data, at, segment.size);
    at += segment.size;
  }
  return 0;
}
constexpr axvm::BlockImage::Operations image{&transfer<false>, &transfer<true>, [](void*) { return 0; }, [](void*) {}};
constexpr axvm::Host::Operations host_operations{
    [](void*) -> axvm::Result<axvm::CharacterPort> { return axvm::CharacterPort{nullptr, &serial}; },
    [](void*, axvm::Path const&, axvm::ImageOptions const& options) -> axvm::Result<axvm::BlockImage> {
      return axvm::BlockImage{nullptr, &image, World::disk_size, options.read_only};
    }};

/// Nothing is asked of it: this program is the guest.
struct NoHypervisor {};
using Composed =
    axvm::Composition<axvm::Bare, axvm::Devices<axvm::Uart8250, axvm::Pit8254, axvm::VirtioBlk>, NoHypervisor>;

constexpr std::uint64_t disk_window = [] {
  for (axvm::PlacedClaim const& placed : Composed::layout)
    if (placed.claim.kind == axvm::ClaimKind::Mmio) return placed.claim.base;
  return axvm::floating;
}();

/// The board with everything on it, and the way of a vCPU's exits to it.
class Monitor {
 public:
  Monitor() {
    const axvm::GuestRegion ram{0, World::memory_size, world.memory.data()};
    const axvm::Host host(nullptr, &host_operations);
    board_.cell<2>().config.path = "disk";
    board_.for_each_cell([&]<std::size_t I>(auto& cell) {
      check(cell.open(host).has_value());
      axvm::DeviceContext context;
      context.memory = axvm::GuestMemory({&ram, 1});
      context.events = {nullptr, &events};
      if constexpr (I == 1) context.lines[0] = {&world.timer_interrupts, &count};
      if constexpr (I == 2) context.lines[0] = {&world.disk_interrupts, &count};
      cell.build(context);
    });
  }

  void port_out(std::uint16_t port, std::uint8_t value) {
    std::byte data[8]{static_cast<std::byte>(value)};
    board_.io({port, 1, true, 1, data}, unclaimed_);
  }
  std::uint8_t port_in(std::uint16_t port) {
    std::byte data[8]{};
    board_.io({port, 1, false, 1, data}, unclaimed_);
    return static_cast<std::uint8_t>(data[0]);
  }
  void store(axvm::virtio::MmioRegister which, std::uint32_t value) {
    std::byte data[8]{};
    std::memcpy(data, &value, sizeof value);
    board_.mmio({disk_window + static_cast<std::uint64_t>(which), 4, true, data}, unclaimed_);
  }
  std::uint32_t load(axvm::virtio::MmioRegister which) {
    std::byte data[8]{};
    board_.mmio({disk_window + static_cast<std::uint64_t>(which), 4, false, data}, unclaimed_);
    std::uint32_t value;
    std::memcpy(&value, data, sizeof value);
    return value;
  }
  [[nodiscard]] std::uint64_t unclaimed() const { return unclaimed_.ports.value() + unclaimed_.mmio.value(); }

 private:
  static void count(void* counter, bool level) { *static_cast<unsigned*>(counter) += level ? 1 : 0; }

  axvm::Board<Composed> board_;
  axvm::UnclaimedCounters unclaimed_;
};

/// Sends a line as a driver does: waits for THRE, which is always there, then writes the byte.
void drive_uart(Monitor& monitor) {
  for (char character : "axvm without an operating system\n"sv) {
    check((monitor.port_in(0x3fd) & 0x20) != 0);
    monitor.port_out(0x3f8, static_cast<std::uint8_t>(character));
  }
  monitor.port_out(0x3ff, 0x5a);
  check(monitor.port_in(0x3ff) == 0x5a);
}

/// Counter 0 as a rate generator of 1 kHz: ten periods are ten interrupts, and the counter counts down in between.
void drive_pit(Monitor& monitor) {
  constexpr unsigned divisor = 1193;
  monitor.port_out(0x43, 0x34);
  monitor.port_out(0x40, divisor & 0xff);
  monitor.port_out(0x40, divisor >> 8);
  const unsigned before = world.timer_interrupts;
  world.advance(10'100'000);
  check(world.timer_interrupts - before == 10);
  monitor.port_out(0x43, 0x00);
  const unsigned low = monitor.port_in(0x40);
  const unsigned count = low | unsigned{monitor.port_in(0x40)} << 8;
  check(count > 0 && count <= divisor);
}

/// Two requests to the disk through a queue of eight: writes a sector, then reads it into another place.
void drive_disk(Monitor& monitor) {
  using R = axvm::virtio::MmioRegister;
  using axvm::virtio::Descriptor;
  constexpr std::uint64_t descriptors = 0x1000, available = 0x2000, used = 0x3000;
  constexpr std::uint64_t header = 0x4000, status = 0x4010, from = 0x5000, to = 0x6000;
  constexpr std::uint64_t version_1 = 1ull << 32;
  axvm::GuestRegion ram{0, World::memory_size, world.memory.data()};
  const axvm::GuestMemory memory({&ram, 1});

  check(monitor.load(R::MagicValue) == axvm::virtio::mmio_magic && monitor.load(R::DeviceID) == 2);
  monitor.store(R::Status, 0);
  monitor.store(R::Status, 1 | 2);
  monitor.store(R::DriverFeaturesSel, 1);
  monitor.store(R::DriverFeatures, static_cast<std::uint32_t>(version_1 >> 32));
  monitor.store(R::Status, 1 | 2 | 8);
  check((monitor.load(R::Status) & 8) != 0);
  monitor.store(R::QueueSel, 0);
  monitor.store(R::QueueNum, 8);
  monitor.store(R::QueueDescLow, descriptors);
  monitor.store(R::QueueDriverLow, available);
  monitor.store(R::QueueDeviceLow, used);
  monitor.store(R::QueueReady, 1);
  monitor.store(R::Status, 1 | 2 | 8 | 4);

  for (std::size_t i = 0; i < 512; ++i) world.memory[from + i] = static_cast<std::byte>(i * 7);
  std::uint16_t index = 0;
  auto request = [&](std::uint32_t type, std::uint64_t buffer, std::uint16_t flags) {
    check(memory.store(header, std::array<std::uint64_t, 2>{type, 3}));  // sector 3
    check(memory.store(status, std::uint8_t{0xee}));
    check(memory.store(descriptors, Descriptor{header, 16, Descriptor::NEXT, 1}));
    check(memory.store(descriptors + 16,
                       Descriptor{buffer, 512, static_cast<std::uint16_t>(Descriptor::NEXT | flags), 2}));
    check(memory.store(descriptors + 32, Descriptor{status, 1, Descriptor::WRITE, 0}));
    check(memory.store(available + 4 + 2u * (index & 7u), std::uint16_t{0}));
    check(memory.store_release(available + 2, ++index));
    const unsigned interrupts = world.disk_interrupts;
    monitor.store(R::QueueNotify, 0);
    check(memory.load_acquire<std::uint16_t>(used + 2) == index);
    check(memory.load<std::uint8_t>(status) == std::uint8_t{0});
    check(world.disk_interrupts == interrupts + 1 && monitor.load(R::InterruptStatus) == 1);
    monitor.store(R::InterruptACK, 1);
  };
  request(1, from, 0);
  check(std::memcmp(world.disk.data() + 3 * 512, world.memory.data() + from, 512) == 0);
  request(0, to, Descriptor::WRITE);
  check(std::memcmp(world.memory.data() + to, world.memory.data() + from, 512) == 0);
}

}  // namespace

extern "C" [[noreturn]] void run() {
  // Too large for the stack: a disk has room for hundreds of requests.
  alignas(Monitor) static std::byte room[sizeof(Monitor)];
  Monitor& monitor = *::new (room) Monitor;
  drive_uart(monitor);
  drive_pit(monitor);
  drive_disk(monitor);
  check(monitor.unclaimed() == 0);
  check(monitor.port_in(0x80) == 0xff && monitor.unclaimed() == 1);
  end(report::passed);
}
