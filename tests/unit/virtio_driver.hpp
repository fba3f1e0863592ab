#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/virtio/virtio.hpp>

#include "fakes.hpp"

/// The guest's side of virtio over MMIO, as small as it can be: what Linux's virtio_mmio and virtio_ring do, and the
/// means to do it wrongly.
namespace guest {

using axvm::virtio::Descriptor;
using axvm::virtio::MmioRegister;
using axvm::virtio::RingLayout;
using axvm::virtio::UsedElement;
namespace status = axvm::virtio::status;
namespace feature = axvm::virtio::feature;

/// Guest RAM: two regions that adjoin at `seam`, each in an allocation of its own, and nothing above `end`.
class Ram {
 public:
  static constexpr std::uint64_t seam = 0x10'0000, end = 0x18'0000;

  Ram() : low_(seam), high_(end - seam) {
    axvm::GuestRegion regions[] = {{0, seam, low_.data()}, {seam, end - seam, high_.data()}};
    memory = axvm::GuestMemory(regions);
  }
  Ram(Ram const&) = delete;
  Ram& operator=(Ram const&) = delete;

  template <class T>
  T get(std::uint64_t address) const {
    return memory.load<T>(address).value();
  }
  template <class T>
  void put(std::uint64_t address, T value) {
    if (!memory.store(address, value)) throw "not guest memory";
  }
  /// Bytes, over the seam too.
  std::string text(std::uint64_t address, std::size_t size) const {
    std::string out;
    for (std::size_t i = 0; i < size; ++i) out += static_cast<char>(get<std::uint8_t>(address + i));
    return out;
  }
  void put_text(std::uint64_t address, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) put(address + i, text[i]);
  }

  axvm::GuestMemory memory;

 private:
  std::vector<std::byte> low_, high_;
};

/// One buffer of a chain.
struct Buffer {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  bool writable = false;
};

/// A virtqueue from the driver's side.
class Ring {
 public:
  Ring(Ram& guest_ram, std::uint16_t size, std::uint64_t base)
      : ram(&guest_ram), layout{size}, descriptors(base), available(base + 0x4000), used(base + 0x5000) {
    if (!ram->memory.fill(base, 0x8000, std::byte{0})) throw "not guest memory";
  }

  /// Writes a chain into the descriptor table from `first` on.
  void describe(std::uint16_t first, std::vector<Buffer> const& buffers) { describe_at(descriptors, first, buffers); }
  /// Writes a chain as an indirect table at `table` and refers to it in descriptor `first`.
  void describe_indirect(std::uint16_t first, std::uint64_t table, std::vector<Buffer> const& buffers) {
    describe_at(table, 0, buffers);
    put_descriptor(first, {table, static_cast<std::uint32_t>(16 * buffers.size()), Descriptor::INDIRECT, 0});
  }
  void put_descriptor(std::uint16_t index, Descriptor const& descriptor) {
    ram->put(descriptors + 16u * index, descriptor);
  }

  /// Makes a head available.
  void offer(std::uint16_t head) {
    ram->put<std::uint16_t>(available + RingLayout::ring + 2u * (next & (layout.size - 1)), head);
    ram->put<std::uint16_t>(available + RingLayout::idx, ++next);
  }
  /// Whether the device wants to be told that the available index went from `old` to next, with EVENT_IDX.
  [[nodiscard]] bool wants_kick(std::uint16_t old) const {
    auto event = ram->get<std::uint16_t>(used + layout.avail_event());
    return static_cast<std::uint16_t>(next - event - 1) < static_cast<std::uint16_t>(next - old);
  }
  void set_used_event(std::uint16_t index) { ram->put(available + layout.used_event(), index); }
  void set_flags(std::uint16_t flags) { ram->put(available + RingLayout::flags, flags); }

  [[nodiscard]] std::uint16_t used_index() const { return ram->get<std::uint16_t>(used + RingLayout::idx); }
  [[nodiscard]] UsedElement used_element(std::uint16_t index) const {
    return ram->get<UsedElement>(used + RingLayout::ring + 8u * (index & (layout.size - 1)));
  }
  [[nodiscard]] UsedElement last_used() const { return used_element(static_cast<std::uint16_t>(used_index() - 1)); }

  Ram* ram;
  RingLayout layout;
  std::uint64_t descriptors, available, used;
  std::uint16_t next = 0;

 private:
  void describe_at(std::uint64_t table, std::uint16_t first, std::vector<Buffer> const& buffers) {
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      bool last = i + 1 == buffers.size();
      Descriptor descriptor{
          buffers[i].address, buffers[i].length,
          static_cast<std::uint16_t>((buffers[i].writable ? Descriptor::WRITE : 0) | (last ? 0 : Descriptor::NEXT)),
          static_cast<std::uint16_t>(last ? 0 : first + i + 1)};
      ram->put(table + 16 * (first + i), descriptor);
    }
  }
};

/// Register accesses and the way from reset to DRIVER_OK.
template <class Device>
class Driver {
 public:
  explicit Driver(Device& driven) : device(driven) {}

  std::uint32_t in(MmioRegister which) { return static_cast<std::uint32_t>(in(static_cast<std::uint64_t>(which), 4)); }
  std::uint64_t in(std::uint64_t offset, std::uint8_t width) {
    axvm::MmioAccess access{offset, width, 0x5a5a'5a5a'5a5a'5a5a};
    device.read(access);
    return access.value;
  }
  void out(MmioRegister which, std::uint32_t value) { out(static_cast<std::uint64_t>(which), 4, value); }
  void out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    axvm::MmioAccess access{offset, width, value};
    device.write(access);
  }

  std::uint64_t offered() {
    out(MmioRegister::DeviceFeaturesSel, 1);
    std::uint64_t high = in(MmioRegister::DeviceFeatures);
    out(MmioRegister::DeviceFeaturesSel, 0);
    return high << 32 | in(MmioRegister::DeviceFeatures);
  }
  void accept(std::uint64_t features) {
    out(MmioRegister::DriverFeaturesSel, 1);
    out(MmioRegister::DriverFeatures, static_cast<std::uint32_t>(features >> 32));
    out(MmioRegister::DriverFeaturesSel, 0);
    out(MmioRegister::DriverFeatures, static_cast<std::uint32_t>(features));
  }
  std::uint32_t status_bits() { return in(MmioRegister::Status); }
  void add_status(std::uint32_t bits) { out(MmioRegister::Status, status_bits() | bits); }
  /// An interrupt line needs nothing.
  void enable_vectors() {}

  /// Resets and goes as far as FEATURES_OK with all features that are offered and in `wanted`; says whether that stood.
  bool negotiate(std::uint64_t wanted) {
    out(MmioRegister::Status, 0);
    if (in(MmioRegister::Status) != 0) return false;
    add_status(status::ACKNOWLEDGE);
    add_status(status::DRIVER);
    accept(offered() & wanted);
    add_status(status::FEATURES_OK);
    return (in(MmioRegister::Status)&status::FEATURES_OK) != 0;
  }
  void describe_queue(std::uint32_t index, std::uint32_t size, std::uint64_t descriptors, std::uint64_t available,
                      std::uint64_t used) {
    out(MmioRegister::QueueSel, index);
    out(MmioRegister::QueueNum, size);
    out(MmioRegister::QueueDescLow, static_cast<std::uint32_t>(descriptors));
    out(MmioRegister::QueueDescHigh, static_cast<std::uint32_t>(descriptors >> 32));
    out(MmioRegister::QueueDriverLow, static_cast<std::uint32_t>(available));
    out(MmioRegister::QueueDriverHigh, static_cast<std::uint32_t>(available >> 32));
    out(MmioRegister::QueueDeviceLow, static_cast<std::uint32_t>(used));
    out(MmioRegister::QueueDeviceHigh, static_cast<std::uint32_t>(used >> 32));
  }
  bool enable_queue(std::uint32_t index, Ring const& ring) {
    describe_queue(index, static_cast<std::uint32_t>(ring.layout.size), ring.descriptors, ring.available, ring.used);
    out(MmioRegister::QueueReady, 1);
    return in(MmioRegister::QueueReady) == 1;
  }
  void kick(std::uint32_t queue = 0) { out(MmioRegister::QueueNotify, queue); }
  /// Reads InterruptStatus and acknowledges what it says, as an interrupt handler does.
  std::uint32_t acknowledge() {
    std::uint32_t causes = in(MmioRegister::InterruptStatus);
    out(MmioRegister::InterruptACK, causes);
    return causes;
  }
  bool needs_reset() { return (in(MmioRegister::Status)&status::DEVICE_NEEDS_RESET) != 0; }

  Device& device;
};

/// A disk in memory that can be told to fail.
class Disk {
 public:
  explicit Disk(std::size_t size, char fill = 0) : bytes(size, fill) {}

  std::string bytes;
  bool fail_reads = false, fail_writes = false, fail_flushes = false;
  unsigned reads = 0, writes = 0, flushes = 0, closed = 0;
  std::size_t most_segments = 0;

  axvm::BlockImage image(bool read_only = false) { return {this, &operations, bytes.size(), read_only}; }
  std::string_view sector(std::size_t index) const { return std::string_view(bytes).substr(512 * index, 512); }
  void fill_sector(std::size_t index, char value) { std::memset(bytes.data() + 512 * index, value, 512); }

 private:
  static int read(void* self, std::uint64_t offset, std::span<const axvm::Segment> segments) {
    auto& disk = *static_cast<Disk*>(self);
    ++disk.reads;
    if (disk.fail_reads) return 5;
    for (axvm::Segment const& segment : disk.seen(segments)) {
      if (!axvm::range_fits(offset, segment.size, disk.bytes.size())) throw "read beyond the disk";
      std::memcpy(segment.data, disk.bytes.data() + offset, segment.size);
      offset += segment.size;
    }
    return 0;
  }
  static int write(void* self, std::uint64_t offset, std::span<const axvm::Segment> segments) {
    auto& disk = *static_cast<Disk*>(self);
    ++disk.writes;
    if (disk.fail_writes) return 28;
    for (axvm::Segment const& segment : disk.seen(segments)) {
      if (!axvm::range_fits(offset, segment.size, disk.bytes.size())) throw "write beyond the disk";
      std::memcpy(disk.bytes.data() + offset, segment.data, segment.size);
      offset += segment.size;
    }
    return 0;
  }
  static int flush(void* self) {
    auto& disk = *static_cast<Disk*>(self);
    ++disk.flushes;
    return disk.fail_flushes ? 5 : 0;
  }
  static void close(void* self) { ++static_cast<Disk*>(self)->closed; }
  static constexpr axvm::BlockImage::Operations operations{read, write, flush, close};

  std::span<const axvm::Segment> seen(std::span<const axvm::Segment> segments) {
    if (segments.size() > most_segments) most_segments = segments.size();
    return segments;
  }
};

/// A host whose only disk image is a Disk.
class Host {
 public:
  explicit Host(Disk& only) : disk(only) {}
  Disk& disk;
  std::string opened;
  bool opened_read_only = false;

  axvm::Host host() { return {this, &operations}; }

 private:
  static axvm::Result<axvm::BlockImage> image(void* self, axvm::Path const& path, axvm::ImageOptions const& options) {
    auto& host = *static_cast<Host*>(self);
    if (path == "missing.img")
      return axvm::failure(axvm::ErrorCode::NotFound, axvm::text<1023>("open disk image ", path), {}, 2);
    host.opened = path.view();
    host.opened_read_only = options.read_only;
    return host.disk.image(options.read_only);
  }
  static constexpr axvm::Host::Operations operations{nullptr, image};
};

/// A context connected to these: memory, the first interrupt line, the event loop, and the log.
inline axvm::DeviceContext connected_context(Ram const& ram, fakes::InterruptRecorder& interrupt,
                                             fakes::EventLoop& events, std::vector<std::string>& log) {
  axvm::DeviceContext made;
  made.memory = ram.memory;
  made.lines[0] = interrupt.line();
  made.events = events.events();
  made.log = {&log, [](void* self, axvm::Severity, std::string_view message) {
                static_cast<std::vector<std::string>*>(self)->emplace_back(message);
              }};
  return made;
}

/// The guest of a disk, and the image.
class BlkGuest {
 public:
  explicit BlkGuest(std::size_t disk_size) : disk(disk_size) {}

  static constexpr std::uint64_t rings = 0x8000, headers = 0x2'0000, data = 0x4'0000;
  static constexpr std::uint64_t all_features = ~0ull;

  /// The usual chain of a request: header, data, status byte, each in a descriptor of its own, heads three apart.
  /// Returns the address of the status byte, which is preset to 0xee.
  std::uint64_t prepare(std::uint16_t head, std::uint32_t type, std::uint64_t sector, std::vector<Buffer> buffers) {
    std::uint64_t header = headers + 64u * head;
    ram.put(header, axvm::virtio::BlkRequestHeader{type, 0, sector});
    ram.put<std::uint8_t>(header + 32, 0xee);
    buffers.insert(buffers.begin(), Buffer{header, 16, false});
    buffers.push_back({header + 32, 1, true});
    ring.describe(head, buffers);
    return header + 32;
  }

  Ram ram;
  fakes::InterruptRecorder interrupt;
  fakes::MessageRecorder apics;
  fakes::EventLoop events;
  std::vector<std::string> log;
  Disk disk;
  Ring ring{ram, 256, rings};
};

/// A disk device in a machine, and a driver that has not begun yet.
template <class Device, class DriverOf>
class BlkMachineOf : public BlkGuest {
 public:
  explicit BlkMachineOf(std::size_t disk_size = 64 * 512, bool read_only = false)
      : BlkGuest(disk_size), resources{disk.image(read_only)} {}

  /// All the way to DRIVER_OK with a fresh ring of `size` entries.
  bool start(std::uint64_t features = all_features & ~feature::EVENT_IDX, std::uint16_t size = 256) {
    ring = Ring(ram, size, rings);
    if (!driver.negotiate(features)) return false;
    driver.enable_vectors();
    if (!driver.enable_queue(0, ring)) return false;
    driver.add_status(status::DRIVER_OK);
    return (driver.status_bits() & status::DRIVER_OK) != 0;
  }
  /// Does one request from beginning to end and returns the status byte, or 0xee when it was not answered.
  unsigned request(std::uint32_t type, std::uint64_t sector, std::vector<Buffer> const& buffers = {}) {
    std::uint64_t status_byte = prepare(0, type, sector, buffers);
    ring.offer(0);
    driver.kick();
    return ram.get<std::uint8_t>(status_byte);
  }

  /// Interrupts since the last call, by the line or by messages.
  std::size_t take_interrupts() { return interrupt.take() + apics.take().size(); }

  typename Device::Config config{.path = "images/disk-a.img"};
  typename Device::Resources resources;
  axvm::DeviceContext context = connected();
  Device device{config, resources, context};
  DriverOf driver{device};

 private:
  axvm::DeviceContext connected() {
    axvm::DeviceContext made = connected_context(ram, interrupt, events, log);
    made.messages = apics.sink();
    return made;
  }
};
using BlkMachine = BlkMachineOf<axvm::VirtioBlk, Driver<axvm::VirtioBlk>>;

}  // namespace guest
