// libFuzzer target: a disk driven through its registers by a guest that writes anything anywhere. The oracle: the image
// is only ever asked for whole sectors within it and for guest RAM, a read-only one is never written, a notification
// answers at most as many requests as the queue holds, each answered head was offered and is answered once with a
// length within its writable buffers, and nothing but those buffers and the used ring changes. (The last two are not
// asked where buffers lie over what the device reads, because then the guest changes its own requests.)
//
// An input: 8 bytes {bit 0 read-only, bit 1 EVENT_IDX, bit 2 INDIRECT_DESC, bit 3 FLUSH (u8), log2 of the size (u8),
// addresses of driver and device area (u16 each), length n of what follows (u16)}, n bytes of guest memory from 0 on,
// where the descriptors are, then records of 8 bytes {what (u8), width (u8), where (u16), value (u32)}.
#include <memory>
#include <set>

#include "virtio_oracle.hpp"

namespace {

using namespace axvm;
using namespace oracle;
using virtio::MmioRegister;

struct Disk {
  static constexpr std::uint64_t sectors = 8;
  static constexpr std::uint64_t size = 512 * sectors + 17;

  Ram const& ram;
  bool read_only;
  bool fails = false;
  std::vector<std::byte> bytes = std::vector<std::byte>(size, std::byte{0x5a});

  int check(std::uint64_t offset, std::span<const Segment> segments) const {
    std::uint64_t sum = 0;
    for (Segment const& segment : segments) {
      require(segment.size != 0);
      (void)ram.address_of(segment.data, segment.size);
      sum += segment.size;
    }
    require(offset % 512 == 0 && sum % 512 == 0 && sum != 0 && offset <= 512 * sectors &&
            sum <= 512 * sectors - offset);
    return fails ? 5 : 0;
  }
  static int read(void* self, std::uint64_t offset, std::span<const Segment> segments) {
    auto& disk = *static_cast<Disk*>(self);
    if (int error = disk.check(offset, segments); error != 0) return error;
    for (Segment const& segment : segments) {
      std::memcpy(segment.data, disk.bytes.data() + offset, segment.size);
      offset += segment.size;
    }
    return 0;
  }
  static int write(void* self, std::uint64_t offset, std::span<const Segment> segments) {
    auto& disk = *static_cast<Disk*>(self);
    require(!disk.read_only);
    if (int error = disk.check(offset, segments); error != 0) return error;
    for (Segment const& segment : segments) {
      std::memcpy(disk.bytes.data() + offset, segment.data, segment.size);
      offset += segment.size;
    }
    return 0;
  }
  static int flush(void* self) { return static_cast<Disk*>(self)->fails ? 5 : 0; }
  static void close(void*) {}
  static constexpr BlockImage::Operations operations{read, write, flush, close};
};

struct Target {
  explicit Target(bool read_only) : disk{ram, read_only} {
    context.memory = ram.memory;
    device = std::make_unique<VirtioBlk>(VirtioBlk::Config{.path = "fuzz.img"}, resources, context);
  }

  void out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    MmioAccess const access{offset, width, value};
    checked([&] { device->write(access); });
  }
  void out(MmioRegister which, std::uint32_t value) { out(static_cast<std::uint64_t>(which), 4, value); }

  /// Does something with the device and holds what it did to guest memory against the rings as they were.
  template <class Action>
  void checked(Action&& action) {
    std::vector<std::byte> before = ram.bytes();
    virtio::QueueState const queue = device->state.transport.queues[0];
    action();
    std::vector<std::byte> after = ram.bytes();
    if (before == after) return;
    require(queue.ready);

    virtio::RingLayout layout{queue.size};
    ByteSet allowed, sensitive;
    std::vector<std::pair<std::uint16_t, std::uint64_t>> offered;  // head, writable bytes
    allowed.add(queue.device_area, layout.device_area());
    sensitive.add(queue.device_area, layout.device_area());
    sensitive.add(queue.descriptor_area, layout.descriptor_area());
    sensitive.add(queue.driver_area, layout.driver_area());
    auto index = get<std::uint16_t>(before, queue.driver_area + 2);
    ByteSet written;
    for (std::uint16_t i = queue.next_available; i != index && offered.size() < queue.size; ++i) {
      auto head = get<std::uint16_t>(before, queue.driver_area + 4 + 2u * (i % queue.size));
      auto chain = walk(before, queue, true, head);
      if (!chain) break;
      for (Descriptor const& buffer : chain->buffers) {
        bool write = (buffer.flags & Descriptor::WRITE) != 0;
        (write ? written : sensitive).add(buffer.addr, buffer.len);
        if (write) allowed.add(buffer.addr, buffer.len);
      }
      if (chain->read_by_device.overlaps(chain->writable)) return;
      sensitive.add(chain->read_by_device);
      offered.emplace_back(head, chain->writable_size);
    }
    std::uint16_t answered = 0;
    if (device->state.transport.queues[0].ready)
      answered = static_cast<std::uint16_t>(device->state.transport.queues[0].used_index - queue.used_index);
    require(answered <= queue.size);
    if (written.overlaps(sensitive)) return;
    allowed.only_these_changed(before, after);
    require(answered <= offered.size());
    std::set<std::uint32_t> seen;
    for (std::uint16_t i = 0; i < answered; ++i) {
      std::uint64_t slot = static_cast<std::uint16_t>(queue.used_index + i) % queue.size;
      auto element = get<virtio::UsedElement>(after, queue.device_area + 4 + 8 * slot);
      require(element.id == offered[i].first && element.len <= offered[i].second);
      require(seen.insert(element.id).second);
    }
  }

  Ram ram;
  Disk disk;
  VirtioBlk::Resources resources{BlockImage(&disk, &Disk::operations, Disk::size, disk.read_only)};
  DeviceContext context;
  std::unique_ptr<VirtioBlk> device;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  ConstBytes input = std::as_bytes(std::span(data, size));
  if (size < 8) return 0;
  auto target = std::make_unique<Target>((data[0] & 1) != 0);
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
    target->out(MmioRegister::QueueSel, 0);
    target->out(MmioRegister::QueueNum, 1u << data[1] % 6);
    target->out(MmioRegister::QueueDescLow, 0);
    target->out(MmioRegister::QueueDriverLow, *load<std::uint16_t>(input, 2));
    target->out(MmioRegister::QueueDeviceLow, *load<std::uint16_t>(input, 4));
    target->out(MmioRegister::QueueReady, 1);
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
      case 1: target->out(MmioRegister::QueueNotify, 0); break;
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
        VirtioBlk::State saved = target->device->state;
        if (where != 0) saved.transport.queues[0].next_available = static_cast<std::uint16_t>(value);
        target->device =
            std::make_unique<VirtioBlk>(VirtioBlk::Config{.path = "fuzz.img"}, target->resources, target->context);
        target->device->state = saved;
        target->device->restored();
        break;
      }
      case 7: start(); break;
    }
  }
  return 0;
}
