#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "virtio_pci_echo.hpp"

using namespace guest;

// A driver on one thread, the device's event loop on another, changes of the configuration from a third; the device is
// called under its lock, as machines do. The driver handles interrupts as Linux does and does nothing without one: a
// lost interrupt stops it for ever.

namespace {

constexpr unsigned limit = 2'000'000;  ///< turns of waiting after which what one waits for is lost

template <class Machine>
class Interrupts {
 public:
  static constexpr bool by_messages = requires(Machine& machine) { machine.apics; };

  template <class Options>
  explicit Interrupts(Options const& options) : m(options) {
    if constexpr (by_messages)
      m.apics.on_message = [this](axvm::Message const& sent) {
        told |= sent == message(0) ? virtio::interrupt::configuration_change : interrupt_used;
        ++edges;
      };
    else m.interrupt.on_edge = [this] { ++edges; };
  }

  /// Answers `total` requests and changes the configuration `changes` times; whether the driver has seen it all.
  bool run(std::uint32_t total, std::uint32_t changes) {
    if (!m.start()) return false;
    for (std::uint16_t head = 0; head < 8; ++head) m.small.describe(head, {{0x4'0000, 1, true}});
    std::thread loop([&] { serve(); });
    std::thread changer([&] { change(changes); });
    const bool seen = drive(total, changes);
    end = true;
    loop.join();
    changer.join();
    return seen;
  }

  Machine m;
  std::uint32_t torn = 0;

 private:
  /// The event loop: the doorbell rings at least once after each time it was rung.
  void serve() {
    for (unsigned seen = 0; !end;) {
      const unsigned now = kicks;
      if (now == seen) {
        std::this_thread::yield();
        continue;
      }
      seen = now;
      const std::lock_guard guard(lock);
      m.bells[0].second();
    }
  }
  void change(std::uint32_t changes) {
    for (std::uint32_t i = 1; i <= changes && !end; ++i) {
      {
        const std::lock_guard guard(lock);
        m.core.space.a = i;
        m.core.space.b = static_cast<std::uint16_t>(i);
        m.core.space.c = static_cast<std::uint16_t>(i >> 16);
        m.device.configuration_changed();
      }
      std::this_thread::yield();
    }
  }

  std::uint16_t* at(std::uint64_t address) const {
    return reinterpret_cast<std::uint16_t*>(m.ram.memory.at(address, 2));
  }
  [[nodiscard]] std::uint16_t used_index() const {
    return __atomic_load_n(at(m.small.used + RingLayout::idx), __ATOMIC_ACQUIRE);
  }
  void offer_all() {
    while (static_cast<std::uint16_t>(next - done) < 8) {
      __atomic_store_n(at(m.small.available + RingLayout::ring + 2u * (next % 8)), static_cast<std::uint16_t>(next % 8),
                       __ATOMIC_RELAXED);
      const std::uint16_t old = next++;
      __atomic_store_n(at(m.small.available + RingLayout::idx), next, __ATOMIC_RELEASE);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      const auto event = __atomic_load_n(at(m.small.used + m.small.layout.avail_event()), __ATOMIC_RELAXED);
      if (static_cast<std::uint16_t>(next - event - 1) < static_cast<std::uint16_t>(next - old)) ++kicks;
    }
  }

  bool drive(std::uint32_t total, std::uint32_t changes) {
    std::uint32_t answered = 0, configured = 0;
    unsigned handled = 0;
    offer_all();
    while (answered < total || configured < changes) {
      unsigned stalls = 0;
      for (; edges == handled; ++stalls) {
        if (stalls == limit) return false;
        std::this_thread::yield();
      }
      handled = edges;
      const std::uint32_t causes = acknowledge();
      if ((causes & virtio::interrupt::configuration_change) != 0) configured = read_config();
      if ((causes & virtio::interrupt::used_buffer) == 0) continue;
      // What comes while it looks makes no edge unless it asks for that and looks again.
      do {
        const std::uint16_t now = used_index();
        answered += static_cast<std::uint16_t>(now - done);
        done = now;
        offer_all();
        __atomic_store_n(at(m.small.available + m.small.layout.used_event()), done, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
      } while (used_index() != done);
    }
    return true;
  }
  /// vm_interrupt() of Linux: status and acknowledgement, then, in drive(), configuration and rings. Messages have a
  /// handler each.
  std::uint32_t acknowledge() {
    if constexpr (by_messages) {
      return told.exchange(0);
    } else {
      const std::uint32_t causes = m.shown(MmioRegister::InterruptStatus);
      if (m.options.exact || causes != interrupt_used) {
        const std::lock_guard guard(lock);
        m.driver.out(MmioRegister::InterruptACK, causes);
      }
      return causes;
    }
  }
  std::uint32_t read_config() {
    for (;;) {
      const std::uint32_t now = generation();
      const std::uint32_t low = field(0), high = field(4);
      if (generation() != now) continue;
      if (low != high) ++torn;
      return low;
    }
  }
  std::uint32_t generation() {
    if constexpr (by_messages) {
      const std::lock_guard guard(lock);
      return m.driver.in(PciRegister::config_generation);
    } else {
      return m.shown(MmioRegister::ConfigGeneration);
    }
  }
  std::uint32_t field(std::uint64_t offset) {
    if constexpr (by_messages) {
      const std::lock_guard guard(lock);
      return static_cast<std::uint32_t>(m.driver.in(m.driver.device_config, offset, 4));
    } else {
      return m.shown(virtio::mmio_config_offset + offset);
    }
  }

  static constexpr std::uint32_t interrupt_used = virtio::interrupt::used_buffer;
  std::mutex lock;
  std::atomic<unsigned> kicks = 0, edges = 0, told = 0;
  std::atomic<bool> end = false;
  std::uint16_t next = 0, done = 0;
};

}  // namespace

TEST_CASE("virtio over MMIO: no interrupt is lost between threads, acknowledged for nothing or exactly") {
  for (const bool exact : {false, true}) {
    CAPTURE(exact);
    Interrupts<EchoMachine> test(EchoOptions{.doorbells = true, .page = true, .exact = exact});
    CHECK(test.run(20'000, 2'000));
    CHECK(test.torn == 0);
    CHECK(test.m.counters.malformed_rings.value() == 0);
  }
}

TEST_CASE("virtio over PCI: no message is lost between threads") {
  Interrupts<PciEchoMachine> test(true);
  CHECK(test.run(20'000, 2'000));
  CHECK(test.torn == 0);
  CHECK(test.m.counters.malformed_rings.value() == 0);
  CHECK(test.m.driver.acknowledge() == virtio::interrupt::configuration_change);  // nobody has read it
}
