// libFuzzer target: a disk on PCI, driven by a guest that accesses its configuration space, its window and its doorbell
// by any width at any place. The oracle, besides what is asked of a disk on MMIO (virtio_disk.hpp, virtio_rings.hpp):
// no bit of the configuration space changes that is not a guest's; where the function is not to answer, the window
// reads all-ones and takes nothing; a read changes nothing but the ISR status; a message is one of a vector that is
// enabled and unmasked, as the table has it, and one access brings a bounded number of them; what is saved goes on in
// another process, changed at one place or not.
//
// An input: 8 bytes {bit 0 read-only, bit 1 EVENT_IDX, bit 2 INDIRECT_DESC, bit 3 FLUSH, bit 4 a queue of the image,
// bit 5 one that moves a part of each request only, bit 6 without MSI-X (u8), log2 of the size and in the upper two
// bits one less than how many queues (u8), addresses of driver and device area of the first one (u16 each; those of
// each further one are 1 KiB behind), length n of what follows (u16)}, n bytes of guest memory from 0 on, where its
// descriptors are, then records of 8 bytes {what (u8), width (u8), where (u16), value (u32)}.
#include <array>
#include <memory>
#include <utility>

#include "virtio_disk.hpp"
#include "virtio_rings.hpp"

namespace {

using namespace axvm;
using namespace oracle;
using virtio::PciRegister;

constexpr std::uint64_t window_base = 0xd000'4000, window_size = 0x4000, ports = 0xc010, space_size = 0x1000;
constexpr std::size_t vectors = virtio::BlkCore::max_queues + 1;
constexpr std::size_t most_messages = 64;  // of one access

constexpr std::array<Claim, 3> claims{
    Claim{ClaimKind::Mmio, "function", 0xe000'8000, space_size, Trigger::Edge},
    Claim{ClaimKind::Mmio, "bar", window_base, window_size, Trigger::Edge},
    Claim{ClaimKind::Pio, "doorbell", ports, 4, Trigger::Edge},
};

/// The bits of a word of the configuration space that are a guest's: Command, two base address registers, the
/// interrupt line, Message Control, and of the access capability which structure, where and how much.
constexpr std::uint32_t guests_bits(std::size_t word) {
  switch (4 * word) {
    case 0x04: return 0x0407;
    case 0x10: return ~std::uint32_t{window_size - 1};
    case 0x14: return 0xfffc;
    case 0x3c: return 0xff;
    case 0x40: return 0xc000'0000;
    case 0x94: return 0xff;
    case 0x98:
    case 0x9c: return ~0u;
    default: return 0;
  }
}

struct Target {
  Target(unsigned queues, bool read_only, bool has_queue, bool in_parts)
      : disk{ram, read_only, in_parts}, resources{disk.image(has_queue)}, config{.path = "fuzz.img", .queues = queues} {
    static constexpr MessageSink::Operations to_apics{
        [](void* self, Message const& message) { static_cast<Target*>(self)->arrived(message); },
        [](void*, unsigned, Message const*) {}};
    context.memory = ram.memory;
    context.claims = claims;
    context.messages = {this, &to_apics};
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
    device = std::make_unique<VirtioBlkPci>(config, resources, context);
    built = transport().configuration;
  }

  [[nodiscard]] virtio::PciState<virtio::BlkCore::max_queues>& transport() { return device->state.transport; }
  [[nodiscard]] bool is_stuck() {
    return (transport().registers.status & (virtio::status::DEVICE_NEEDS_RESET | virtio::status::FAILED)) != 0;
  }
  [[nodiscard]] bool answers() {
    auto const& words = transport().configuration;
    return (words[1] & 2) != 0 && words[4] == window_base;
  }

  void arrived(Message const& message) {
    require(++messages <= most_messages && message.address % 4 == 0);
    require(transport().configuration[0x10] >> 30 == 2);  // enabled, and not masked
    bool found = false;
    for (MsixVector const& vector : transport().vectors)
      found |= !vector.masked && vector.address == message.address && vector.data == message.data;
    require(found);
  }

  /// Does something with the device and holds what it did to guest memory against the rings as they were.
  template <class Action>
  void checked(Action&& action) {
    const std::vector<std::byte> before = ram.bytes();
    const auto queues = transport().registers.queues;
    messages = 0;
    action();
    check_state();
    auto const& now = transport().registers.queues;
    for (std::size_t q = 0; q < queues.size(); ++q) require(!queues[q].ready || now[q].ready || disk.is_idle());
    rings.check(before, queues, ram.bytes(), now);
    require(!disk.is_idle() || !rings.trusted() || is_stuck() || rings.idle());
    if (transport().registers.status != 0) return;
    require(disk.is_idle());
    rings.start_anew();
  }
  void check_state() {
    auto const& words = transport().configuration;
    for (std::size_t i = 0; i < words.size(); ++i) require(((words[i] ^ built[i]) & ~guests_bits(i)) == 0);
    auto is_vector = [](std::uint16_t vector) { return vector < vectors || vector == virtio::no_vector; };
    require(is_vector(transport().configuration_vector));
    for (const std::uint16_t vector : transport().queue_vectors) require(is_vector(vector));
    require(transport().registers.queue_sel <= 0xffff);
  }

  void out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    if (offset + width > window_size) return;
    const bool answered = answers();
    const auto before = transport();
    checked([&] { device->write(In<"bar">{}, MmioAccess{offset, width, value & all_ones(width)}); });
    require(answered || before == transport());
  }
  void out(PciRegister which, std::uint8_t width, std::uint32_t value) {
    out(static_cast<std::uint64_t>(which), width, value);
  }
  void in(std::uint64_t offset, std::uint8_t width) {
    if (offset + width > window_size) return;
    auto before = transport();
    MmioAccess access{offset, width, 0x5a5a'5a5a'5a5a'5a5a};
    checked([&] { device->read(In<"bar">{}, access); });
    if (!answers()) require((access.value & all_ones(width)) == all_ones(width));
    else if (offset == 0x1000) before.registers.interrupt_status = 0;
    require(before == transport());
  }
  void function_out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    if (offset + width > space_size) return;
    checked([&] { device->write(In<"function">{}, MmioAccess{offset, width, value & all_ones(width)}); });
  }
  void function_in(std::uint64_t offset, std::uint8_t width) {
    if (offset + width > space_size) return;
    auto before = transport();
    MmioAccess access{offset, width, 0x5a5a'5a5a'5a5a'5a5a};
    checked([&] { device->read(In<"function">{}, access); });
    if (offset == 0xa0) before.registers.interrupt_status = transport().registers.interrupt_status;  // through a window
    require(before == transport());
    if (offset >= 0x100) require((access.value & all_ones(width)) == all_ones(width));
  }
  void ring(std::uint16_t offset, std::uint8_t width, std::uint32_t value) {
    checked([&] { device->write(In<"doorbell">{}, PioAccess{offset, width, value}); });
  }

  /// The machine is saved, and goes on in another process; at one place there is something else.
  void restore(std::uint8_t what, std::uint16_t where, std::uint32_t value) {
    checked([&] { device->quiesce(); });
    VirtioBlkPci::State saved = device->state;
    auto& state = saved.transport;
    const auto narrow = static_cast<std::uint16_t>(value);
    switch (what % 8) {
      case 1: state.registers.queues[where % 4].next_available = narrow; break;
      case 2: state.configuration[where % state.configuration.size()] = value; break;
      case 3: state.queue_vectors[where % 4] = state.configuration_vector = narrow; break;
      case 4: state.vectors[where % vectors].address = std::uint64_t{value} << 32 | value; break;
      case 5: state.registers.status = value; break;
      case 6: state.registers.queue_sel = value; break;
      case 7: state.registers.queues[where % 4].size = value; break;
      default: break;
    }
    build();
    const std::vector<std::byte> before = ram.bytes();
    device->state = saved;
    messages = 0;
    device->restored();
    require(before == ram.bytes());
    check_state();
  }

  Ram ram;
  Loop loop;
  Disk disk;
  VirtioBlkPci::Resources resources;
  Rings<virtio::BlkCore::max_queues> rings;
  DeviceContext context;
  VirtioBlkPci::Config config;
  std::unique_ptr<VirtioBlkPci> device;
  PciConfiguration::State built{};
  std::size_t messages = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  ConstBytes input = std::as_bytes(std::span(data, size));
  if (size < 8) return 0;
  const unsigned queues = data[1] / 64 + 1u;
  auto target = std::make_unique<Target>(queues, (data[0] & 1) != 0, (data[0] & 16) != 0, (data[0] & 32) != 0);
  std::size_t length = *load<std::uint16_t>(input, 6);
  ConstBytes rest = input.subspan(8);
  if (length > rest.size()) length = rest.size();
  if (length > Ram::end) length = Ram::end;
  for (std::size_t i = 0; i < length; ++i) target->ram.put(i, rest[i]);
  rest = rest.subspan(length);

  // The way to a working device is walked for the fuzzer; the records may leave it at any point.
  const std::uint32_t features =
      ((data[0] & 2) != 0 ? 1u << 29 : 0) | ((data[0] & 4) != 0 ? 1u << 28 : 0) | ((data[0] & 8) != 0 ? 1u << 9 : 0);
  auto start = [&] {
    using enum PciRegister;
    target->function_out(0x10, 4, window_base);
    target->function_out(0x14, 4, ports);
    target->function_out(0x04, 2, 7);
    target->out(device_status, 1, 0);
    for (std::uint32_t n = 0; n < vectors && (data[0] & 64) == 0; ++n) {
      target->out(0x3000 + 16 * n, 8, 0xfee0'0000 | n << 12);
      target->out(0x3008 + 16 * n, 8, 0x40 + n);
    }
    target->function_out(0x42, 2, (data[0] & 64) == 0 ? 0x8000 : 0);
    target->out(device_status, 1, 1);
    target->out(device_status, 1, 3);
    target->out(driver_feature_select, 4, 1);
    target->out(driver_feature, 4, 1);
    target->out(driver_feature_select, 4, 0);
    target->out(driver_feature, 4, features);
    target->out(device_status, 1, 0xb);
    target->out(config_msix_vector, 2, 0);
    for (std::uint32_t q = 0; q < queues; ++q) {
      target->out(queue_select, 2, q);
      target->out(queue_size, 2, 1u << data[1] % 64 % 6);
      target->out(queue_msix_vector, 2, q + 1);
      target->out(queue_desc, 4, 0x400 * q);
      target->out(queue_driver, 4, *load<std::uint16_t>(input, 2) + 0x400 * q);
      target->out(queue_device, 4, *load<std::uint16_t>(input, 4) + 0x400 * q);
      target->out(queue_enable, 2, 1);
    }
    target->out(device_status, 1, 0xf);
  };
  start();
  for (unsigned steps = 0; rest.size() >= 8 && steps < 256; rest = rest.subspan(8), ++steps) {
    const auto what = std::to_integer<unsigned>(rest[0]);
    const auto more = std::to_integer<std::uint8_t>(rest[1]);
    const auto width = static_cast<std::uint8_t>(more % 8 + 1);
    const auto where = *load<std::uint16_t>(rest, 2);
    const auto value = *load<std::uint32_t>(rest, 4);
    const std::uint64_t wide = std::uint64_t{value} << 32 | value;
    switch (what % 8) {
      case 0:
        target->ram.put16(where, static_cast<std::uint16_t>(value));
        target->ram.put16(where + 2u, static_cast<std::uint16_t>(value >> 16));
        break;
      case 1:
        // Values of a doorbell that name no queue: the disk and the loop get their turn.
        if (value >> 16 != 0) target->disk.end(where);
        if (value >> 17 != 0 && target->loop.readable.call != nullptr) target->checked(target->loop.readable);
        if (value >> 18 != 0 && target->loop.timer.call != nullptr)
          target->checked(std::exchange(target->loop.timer, {}));
        if (value >> 16 == 0) target->ring(more % 4 == 3 ? 2 : 0, more % 8 < 6 ? 2 : 4, where);
        break;
      case 2: target->out(where % 0x40, width, wide); break;
      case 3: target->out(where % window_size, width, wide); break;
      case 4:
        if (where < 0x8000) target->in(where % window_size, width);
        else target->function_in(where % space_size, width);
        break;
      case 5:
        if (where >= 0x8000) target->disk.fails = (value & 1) != 0;
        else target->function_out(where < 0x4000 ? where % 0x100 : where % space_size, width, wide);
        break;
      case 6: target->restore(more, where, value); break;
      case 7: start(); break;
    }
  }
  return 0;
}
