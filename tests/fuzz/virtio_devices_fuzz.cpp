// libFuzzer target: a network interface, a console, a socket device, a balloon or a source of random numbers, driven
// through its registers by a guest that writes anything anywhere, while the host's side does anything it may. The
// oracle, for all queues together: a head is answered once, after it was offered, with a length within its writable
// buffers; nothing but writable buffers that were offered and the used rings changes (that is not asked where buffers
// lie over what the device reads, because then the guest changes its own requests); the page of registers that the
// guest reads by itself is at all times what the device would answer; what the host is handed lies in guest memory or
// in the device, and streams and frames are used as their owners promise.
//
// An input: 24 bytes {device (u8), bit 0 EVENT_IDX, bit 1 INDIRECT_DESC, bit 2 the device's own features, bit 3
// acknowledgements of used buffers are swallowed, bit 4 InterruptStatus is exact (u8), log2 of the size of queues (u8),
// unused (u8), of three queues the addresses of descriptors, driver and device area (u16 each; descriptors at 0xffff:
// the driver does not make the queue ready), length n of what follows (u16)}, n bytes of guest memory from 0 on, then
// records of 8 bytes {what (u8), width (u8), where (u16), value (u32)}.
#include "virtio_hosts.hpp"
#include "virtio_rings.hpp"

namespace {

using namespace axvm;
using namespace oracle;
using virtio::MmioRegister;

/// What a device's state has of its transport.
template <class State>
auto& transport_of(State& state) {
  if constexpr (requires { state.transport; }) return state.transport;
  else return state;
}

template <class Device>
struct Target {
  explicit Target(bool swallows, bool exact) : far(ram) {
    config = far.config();
    config.exact_interrupt_status = exact;
    ram.memory.discard_with(&ram, [](void* self, Bytes stretch) {
      (void)static_cast<Ram*>(self)->address_of(stretch.data(), stretch.size());
      return std::uint64_t{stretch.size()};
    });
    context.memory = ram.memory;
    context.events = loop.events();
    page.connect(context, swallows);
    build();
  }
  ~Target() { device.reset(); }

  void build() {
    device.reset();
    far.gone();
    loop.forget();
    rings.start_anew();
    page.clear();
    device = far.make(config, context);
  }

  [[nodiscard]] auto& transport() { return transport_of(device->state); }

  void check_page() { page.check(*device, 0x140); }

  void out(std::uint64_t offset, std::uint8_t width, std::uint64_t value) {
    MmioAccess const access{offset, width, value};
    checked([&] { device->write(access); });
    if (transport().status == 0) rings.start_anew();
  }
  void out(MmioRegister which, std::uint32_t value) { out(static_cast<std::uint64_t>(which), 4, value); }

  /// Does something with the device and holds what it did to guest memory against the rings as they were.
  template <class Action>
  void checked(Action&& action) {
    const std::vector<std::byte> before = ram.bytes();
    const auto queues = transport().queues;
    action();
    check_page();
    rings.check(before, queues, ram.bytes(), transport().queues);
  }

  /// The machine is saved, and goes on in another process.
  void restore(std::uint16_t where, std::uint16_t value) {
    auto saved = std::make_unique<typename Device::State>(device->state);
    if (where != 0) {
      auto& queues = transport_of(*saved).queues;
      queues[where % queues.size()].next_available = value;
    }
    build();
    const std::vector<std::byte> before = ram.bytes();
    device->state = *saved;
    device->restored();
    require(before == ram.bytes());
    check_page();
  }

  Ram ram;
  Loop loop;
  Far<Device> far;
  Rings<std::tuple_size_v<
      decltype(std::remove_cvref_t<decltype(transport_of(std::declval<typename Device::State&>()))>::queues)>>
      rings;
  DeviceContext context;
  GuestsPage page{true};
  typename Device::Config config;
  std::unique_ptr<Device> device;
};

template <class Device>
void run(ConstBytes input) {
  const auto byte = [&](std::size_t at) { return std::to_integer<unsigned>(input[at]); };
  const unsigned flags = byte(1);
  auto target = std::make_unique<Target<Device>>((flags & 8) != 0, (flags & 16) != 0);
  std::size_t length = *load<std::uint16_t>(input, 22);
  ConstBytes rest = input.subspan(24);
  if (length > rest.size()) length = rest.size();
  if (length > Ram::end) length = Ram::end;
  for (std::size_t i = 0; i < length; ++i) target->ram.put(i, rest[i]);
  rest = rest.subspan(length);

  // The way to a working device is walked for the fuzzer; the records may leave it at any point.
  auto start = [&] {
    target->out(MmioRegister::Status, 0);
    target->out(MmioRegister::Status, 1);
    target->out(MmioRegister::Status, 3);
    target->out(MmioRegister::DeviceFeaturesSel, 0);
    MmioAccess offered{static_cast<std::uint64_t>(MmioRegister::DeviceFeatures), 4, 0};
    target->device->read(offered);
    const auto own = static_cast<std::uint32_t>(offered.value) & 0x00ff'ffff;
    target->out(MmioRegister::DriverFeaturesSel, 1);
    target->out(MmioRegister::DriverFeatures, 1);
    target->out(MmioRegister::DriverFeaturesSel, 0);
    target->out(MmioRegister::DriverFeatures,
                ((flags & 1) != 0 ? 1u << 29 : 0) | ((flags & 2) != 0 ? 1u << 28 : 0) | ((flags & 4) != 0 ? own : 0));
    target->out(MmioRegister::Status, 0xb);
    for (std::uint32_t q = 0; q < target->transport().queues.size(); ++q) {
      const auto area = [&](std::size_t which) { return *load<std::uint16_t>(input, 4 + 6 * q + 2 * which); };
      if (area(0) == 0xffff) continue;
      target->out(MmioRegister::QueueSel, q);
      target->out(MmioRegister::QueueNum, 1u << byte(2) % 6);
      target->out(MmioRegister::QueueDescLow, area(0));
      target->out(MmioRegister::QueueDriverLow, area(1));
      target->out(MmioRegister::QueueDeviceLow, area(2));
      target->out(MmioRegister::QueueReady, 1);
    }
    target->out(MmioRegister::Status, 0xf);
  };
  start();
  for (unsigned steps = 0; rest.size() >= 8 && steps < 256; rest = rest.subspan(8), ++steps) {
    const auto what = std::to_integer<unsigned>(rest[0]);
    const auto width = static_cast<std::uint8_t>(std::to_integer<unsigned>(rest[1]) % 8 + 1);
    const auto where = *load<std::uint16_t>(rest, 2);
    const auto value = *load<std::uint32_t>(rest, 4);
    switch (what % 8) {
      case 0:
        target->ram.put16(where, static_cast<std::uint16_t>(value));
        target->ram.put16(where + 2u, static_cast<std::uint16_t>(value >> 16));
        break;
      case 1:
        // Values of a notification that name no queue: the loop gets its turn.
        if (value >> 16 == 0) target->out(MmioRegister::QueueNotify, where % 4);
        else if (Callback ready = target->loop.next(where); ready.call != nullptr) target->checked(ready);
        break;
      case 2: target->out(where % 0x80 * 4, 4, value); break;
      case 3: target->out(where % 0x140, width, value); break;
      case 4: {
        MmioAccess access{where % 0x200u, width, 0};
        target->checked([&] { target->device->read(access); });
        require((access.value & ~all_ones(width)) == 0);
        break;
      }
      case 5:
        target->far.happens(where, value);
        if constexpr (requires { target->device->terminal_resized(); })
          target->checked([&] { target->device->terminal_resized(); });
        if constexpr (requires { target->device->resize(0); }) target->checked([&] { target->device->resize(value); });
        break;
      case 6: target->restore(where, static_cast<std::uint16_t>(value)); break;
      case 7: start(); break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  const ConstBytes input = std::as_bytes(std::span(data, size));
  if (size < 24) return 0;
  switch (data[0] % 5) {
    case 0: run<VirtioNet>(input); break;
    case 1: run<VirtioConsole>(input); break;
    case 2: run<VirtioVsock>(input); break;
    case 3: run<VirtioBalloon>(input); break;
    case 4: run<VirtioRng>(input); break;
  }
  return 0;
}
