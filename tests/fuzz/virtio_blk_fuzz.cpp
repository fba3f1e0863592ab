// libFuzzer target: a disk driven through its registers by a guest that writes anything anywhere. The oracle: the image
// is only ever asked for whole sectors within it and for guest RAM, a read-only one is never written, nothing is asked
// of it while a reset or the end of the device has called everything off, a notification answers at most as many
// requests as the queue holds, none is forgotten when the image has nothing under way, and what Rings and check_page()
// ask: each head is answered once, nothing but buffers and used rings changes, the page of registers is what the device
// would answer.
// The disk carries requests out one by one, or has a queue that ends them in the order that the input says.
//
// An input: 8 bytes {bit 0 read-only, bit 1 EVENT_IDX, bit 2 INDIRECT_DESC, bit 3 FLUSH, bit 4 a queue, bit 5 one that
// moves a part of each request only, bit 6 acknowledgements of used buffers are swallowed, bit 7 and nevertheless
// InterruptStatus is exact (u8), log2 of the size and in the upper two bits one less than how many queues (u8),
// addresses of driver and device area of the first one (u16 each; those of each further one are 1 KiB behind), length n
// of what follows (u16)}, n bytes of guest memory from 0 on, where its descriptors are, then records of 8 bytes {what
// (u8), width (u8), where (u16), value (u32)}.
#include <memory>
#include <utility>

#include "virtio_disk.hpp"
#include "virtio_rings.hpp"

namespace {

using namespace axvm;
using namespace oracle;
using virtio::MmioRegister;

struct Target {
  Target(unsigned queues, bool read_only, bool has_queue, bool in_parts, bool swallows, bool exact)
      : disk{ram, read_only, in_parts},
        resources{disk.image(has_queue)},
        config{.path = "fuzz.img", .queues = queues, .exact_interrupt_status = exact} {
    context.memory = ram.memory;
    page.connect(context, swallows);
    if (resources.image.has_queue()) context.events = loop.events();
    build();
  }

  void build() {
    if (device) checked([&] { device->quiesce(); });
    const bool stuck = device && is_stuck();
    device.reset();
    require(!rings.trusted() || stuck || rings.idle());
    rings.start_anew();
    require(disk.is_idle());
    page.clear();
    device = std::make_unique<VirtioBlk>(config, resources, context);
  }

  void check_page() { page.check(*device, 0x100 + 2 * sizeof(virtio::BlkConfig)); }

  void out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    MmioAccess const access{offset, width, value};
    checked([&] { device->write(access); });
    if (device->state.transport.status != 0) return;
    require(disk.is_idle());
    rings.start_anew();
  }
  void out(MmioRegister which, std::uint32_t value) { out(static_cast<std::uint64_t>(which), 4, value); }

  /// Does something with the device and holds what it did to guest memory against the rings as they were.
  template <class Action>
  void checked(Action&& action) {
    const std::vector<std::byte> before = ram.bytes();
    const auto queues = device->state.transport.queues;
    action();
    check_page();
    auto const& now = device->state.transport.queues;
    // In a queue that is taken away nothing is left, and so in none.
    for (std::size_t q = 0; q < queues.size(); ++q) require(!queues[q].ready || now[q].ready || disk.is_idle());
    rings.check(before, queues, ram.bytes(), now);
    require(!disk.is_idle() || !rings.trusted() || is_stuck() || rings.idle());
  }
  [[nodiscard]] bool is_stuck() const {
    return (device->state.transport.status & (virtio::status::DEVICE_NEEDS_RESET | virtio::status::FAILED)) != 0;
  }

  Ram ram;
  Loop loop;
  Disk disk;
  VirtioBlk::Resources resources;
  Rings<virtio::BlkCore::max_queues> rings;
  DeviceContext context;
  GuestsPage page{false};  ///< nothing changes the size of the disk
  VirtioBlk::Config config;
  std::unique_ptr<VirtioBlk> device;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  ConstBytes input = std::as_bytes(std::span(data, size));
  if (size < 8) return 0;
  const unsigned queues = data[1] / 64 + 1u;
  auto target = std::make_unique<Target>(queues, (data[0] & 1) != 0, (data[0] & 16) != 0, (data[0] & 32) != 0,
                                         (data[0] & 64) != 0, (data[0] & 128) != 0);
  std::size_t length = *load<std::uint16_t>(input, 6);
  ConstBytes rest = input.subspan(8);
  if (length > rest.size()) length = rest.size();
  if (length > Ram::end) length = Ram::end;
  for (std::size_t i = 0; i < length; ++i) target->ram.put(i, rest[i]);
  rest = rest.subspan(length);

  // The way to a working device is walked for the fuzzer; the records may leave it at any point.
  std::uint32_t features =
      ((data[0] & 2) != 0 ? 1u << 29 : 0) | ((data[0] & 4) != 0 ? 1u << 28 : 0) | ((data[0] & 8) != 0 ? 1u << 9 : 0);
  auto start = [&] {
    target->out(MmioRegister::Status, 0);
    target->out(MmioRegister::Status, 1);
    target->out(MmioRegister::Status, 3);
    target->out(MmioRegister::DriverFeaturesSel, 1);
    target->out(MmioRegister::DriverFeatures, 1);
    target->out(MmioRegister::DriverFeaturesSel, 0);
    target->out(MmioRegister::DriverFeatures, features);
    target->out(MmioRegister::Status, 0xb);
    for (std::uint32_t q = 0; q < queues; ++q) {
      target->out(MmioRegister::QueueSel, q);
      target->out(MmioRegister::QueueNum, 1u << data[1] % 64 % 6);
      target->out(MmioRegister::QueueDescLow, 0x400 * q);
      target->out(MmioRegister::QueueDriverLow, *load<std::uint16_t>(input, 2) + 0x400 * q);
      target->out(MmioRegister::QueueDeviceLow, *load<std::uint16_t>(input, 4) + 0x400 * q);
      target->out(MmioRegister::QueueReady, 1);
    }
    target->out(MmioRegister::Status, 0xf);
  };
  start();
  for (unsigned steps = 0; rest.size() >= 8 && steps < 256; rest = rest.subspan(8), ++steps) {
    auto what = std::to_integer<unsigned>(rest[0]);
    auto width = static_cast<std::uint8_t>(std::to_integer<unsigned>(rest[1]) % 8 + 1);
    auto where = *load<std::uint16_t>(rest, 2);
    auto value = *load<std::uint32_t>(rest, 4);
    switch (what % 8) {
      case 0:
        target->ram.put16(where, static_cast<std::uint16_t>(value));
        target->ram.put16(where + 2u, static_cast<std::uint16_t>(value >> 16));
        break;
      case 1:
        // Values of a notification that name no queue: the disk and the loop get their turn.
        if (value >> 16 != 0) target->disk.end(where);
        if (value >> 17 != 0 && target->loop.readable.call != nullptr) target->checked(target->loop.readable);
        if (value >> 18 != 0 && target->loop.timer.call != nullptr)
          target->checked(std::exchange(target->loop.timer, {}));
        if (value >> 16 == 0) target->out(MmioRegister::QueueNotify, where % queues);
        break;
      case 2: target->out(where % 0x80 * 4, 4, value); break;
      case 3: target->out(where % 0x200, width, value); break;
      case 4: {
        MmioAccess access{where % 0x200u, width, 0};
        target->checked([&] { target->device->read(access); });
        require((access.value & ~all_ones(width)) == 0);
        break;
      }
      case 5: target->disk.fails = (value & 1) != 0; break;
      case 6: {  // the machine is saved, and goes on in another process
        target->checked([&] { target->device->quiesce(); });
        VirtioBlk::State saved = target->device->state;
        if (where != 0) saved.transport.queues[where % queues].next_available = static_cast<std::uint16_t>(value);
        target->build();
        target->device->state = saved;
        target->device->restored();
        target->check_page();
        break;
      }
      case 7: start(); break;
    }
  }
  return 0;
}
