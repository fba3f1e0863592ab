#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <axvm/memory/swapped_memory.hpp>

#include "virtio_driver.hpp"

/// A virtio device for tests of its transport, and the guest that drives it.
namespace guest {

namespace virtio = axvm::virtio;

/// A device with two queues of different sizes that copies what is readable into what is writable, and whose
/// configuration space changes.
class EchoCore {
 public:
  static constexpr std::uint32_t device_type = 77;
  static constexpr std::array<std::uint32_t, 2> queue_sizes = {8, 1024};
  static constexpr std::uint64_t SHOUT = 1ull << 3, HIGH = 1ull << 40;

  struct Config {
    std::uint32_t a = 0x11223344;
    std::uint16_t b = 0x5566;
    std::uint16_t c = 0x7788;
  } space;
  std::array<unsigned, 2> rounds{};
  unsigned resets = 0;

  std::uint64_t features() const { return SHOUT | HIGH; }
  axvm::ConstBytes config() const { return axvm::bytes_of(space); }
  template <virtio::Transport T>
  void notified(T& transport, std::size_t index) {
    ++rounds[index];
    virtio::Queue& queue = transport.queue(index);
    queue.refresh();
    while (queue.pop(chain_)) {
      std::vector<std::byte> copy(chain_.readable_size());
      if (!virtio::gather(chain_.readable(), 0, copy)) throw "gather";
      std::size_t size = std::min<std::size_t>(copy.size(), chain_.writable_size());
      if (!virtio::scatter(chain_.writable(), 0, axvm::ConstBytes(copy).first(size))) throw "scatter";
      queue.push(chain_.head(), static_cast<std::uint32_t>(size));
    }
    transport.completed(index);
  }
  void reset() { ++resets; }

 private:
  std::array<axvm::Segment, 1024> segments_{};
  virtio::Chain chain_{segments_};
};

/// What the hypervisor does for the device's window, and how the device is set.
struct EchoOptions {
  bool doorbells = false;  ///< and swallowed writes
  bool page = false;
  bool exact = false;
};

/// The guest of an echo device: memory and two rings.
struct EchoGuest {
  /// Puts one echo of `text` into a ring, without a notification.
  void put(Ring& ring, std::uint16_t head, std::string_view text) {
    std::uint64_t at = 0x4'0000 + 0x100u * head;
    ram.put_text(at, text);
    ring.describe(head, {{at, static_cast<std::uint32_t>(text.size()), false}, {at + 0x80, 0x80, true}});
    ring.offer(head);
  }
  std::string echo(std::uint16_t head, std::size_t size) { return ram.text(0x4'0000 + 0x100u * head + 0x80, size); }

  Ram ram;
  Ring small{ram, 8, 0x8000};
  Ring large{ram, 1024, 0x1'0000};
};

template <class Core = EchoCore>
struct EchoMachineOf : EchoGuest {
  explicit EchoMachineOf(EchoOptions const& chosen = {}) : options(chosen), context(connect()) {}

  axvm::DeviceContext connect() {
    axvm::DeviceContext made;
    made.memory = ram.memory;
    made.lines[0] = interrupt.line();
    made.window_owner = this;
    if (options.doorbells)
      made.add_doorbell = [](void* self, axvm::DoorbellAddress const& bell, axvm::Callback callback) {
        auto& machine = *static_cast<EchoMachineOf*>(self);
        (callback.call != nullptr ? machine.bells : machine.swallowed).push_back({bell, callback});
        return true;
      };
    if (options.page) {
      auto made_page = axvm::SwappedMemory::make(0x1000);
      if (!made_page) throw "no memory";
      page.emplace(std::move(*made_page));
      made.add_register_page = [](void* self, std::size_t) {
        auto& memory = *static_cast<EchoMachineOf*>(self)->page;
        return axvm::RegisterPage(memory.bytes(), &memory, [](void* kept, axvm::ConstBytes content) {
          if (!static_cast<axvm::SwappedMemory*>(kept)->swap(content)) throw "no memory";
        });
      };
    }
    return made;
  }
  /// To DRIVER_OK with both queues.
  bool start(std::uint64_t features = ~0ull) {
    small = Ring(ram, 8, 0x8000);
    large = Ring(ram, 1024, 0x1'0000);
    if (!driver.negotiate(features) || !driver.enable_queue(0, small) || !driver.enable_queue(1, large)) return false;
    driver.add_status(status::DRIVER_OK);
    return true;
  }
  /// 32 bits as a guest's load finds them in the page.
  [[nodiscard]] std::uint32_t shown(std::uint64_t offset) const {
    return __atomic_load_n(reinterpret_cast<std::uint32_t const*>(page->bytes().data() + offset), __ATOMIC_ACQUIRE);
  }
  [[nodiscard]] std::uint32_t shown(MmioRegister which) const { return shown(static_cast<std::uint64_t>(which)); }

  EchoOptions options;
  fakes::InterruptRecorder interrupt;
  std::vector<std::pair<axvm::DoorbellAddress, axvm::Callback>> bells, swallowed;
  std::optional<axvm::SwappedMemory> page;
  axvm::DeviceContext context;
  Core core;
  typename virtio::MmioTransport<Core>::State state;
  virtio::TransportCounters counters;
  virtio::MmioTransport<Core> device{core, state, counters, "echo", context, options.exact};
  Driver<virtio::MmioTransport<Core>> driver{device};
};
using EchoMachine = EchoMachineOf<>;

/// The device status of an echo machine moves on in order and never back; `put` writes it and gives what is read then.
template <class Machine, class Put>
void check_status_moves(Machine& m, Put const& put) {
  CHECK(put(status::DRIVER) == 0);
  CHECK(put(status::FEATURES_OK) == 0);
  CHECK(put(status::DRIVER_OK) == 0);
  CHECK(put(status::DEVICE_NEEDS_RESET) == 0);
  CHECK(put(1) == 1);
  CHECK(put(1 | status::DRIVER_OK) == 1);
  CHECK(put(3 | 0x30) == 3);
  CHECK(put(1) == 3);
  CHECK(put(3 | status::DRIVER_OK) == 3);
  CHECK(put(3 | status::FEATURES_OK) == 3);  // VERSION_1 was not accepted
  m.driver.accept(feature::VERSION_1);
  CHECK(put(3 | status::FEATURES_OK) == 0xb);
  CHECK(put(3) == 0xb);
  CHECK(put(0xf) == 0xf);
  CHECK(put(0xb) == 0xf);
  CHECK(put(0xf | status::DEVICE_NEEDS_RESET) == 0xf);
  CHECK(put(0xf | 0xffff'ff00) == 0xf);
  CHECK(put(status::FAILED) == 0x8f);
  CHECK(put(0xf) == 0x8f);
  const unsigned resets = m.core.resets;
  CHECK(put(0) == 0);
  CHECK(m.core.resets == resets + 1);
}

}  // namespace guest
