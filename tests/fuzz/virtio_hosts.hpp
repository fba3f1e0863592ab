#pragma once

// The host's sides of virtio devices for their fuzz target: each does what the input says, and aborts where a device
// breaks what its interface asks of it.

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "virtio_oracle.hpp"

namespace oracle {

/// An event loop that calls back when it is told.
class Loop {
 public:
  axvm::Events events() { return {this, &operations}; }

  /// One of the callbacks that are due or could be, with a timer taken out; nothing where there is none.
  axvm::Callback next(unsigned which) {
    const std::size_t count = watched_.size() + timers_.size();
    if (count == 0) return {};
    std::size_t index = which % count;
    if (index < watched_.size()) return std::next(watched_.begin(), static_cast<std::ptrdiff_t>(index))->second;
    index -= watched_.size();
    const auto timer = std::next(timers_.begin(), static_cast<std::ptrdiff_t>(index));
    const axvm::Callback callback = timer->second;
    timers_.erase(timer);
    now_ += 1'000'000'000;
    return callback;
  }
  /// The device is gone.
  void forget() {
    watched_.clear();
    timers_.clear();
  }

 private:
  static Loop& of(void* self) { return *static_cast<Loop*>(self); }
  static const axvm::Events::Operations operations;

  std::map<int, axvm::Callback> watched_;
  std::map<unsigned, axvm::Callback> timers_;
  std::uint64_t now_ = 1;
};

inline constexpr axvm::Events::Operations Loop::operations{
    [](void* self, int descriptor, axvm::Interest interest, axvm::Callback callback) {
      require(descriptor >= 0);
      if (interest == axvm::Interest::Nothing) of(self).watched_.erase(descriptor);
      else of(self).watched_[descriptor] = callback;
      return true;
    },
    [](void* self, unsigned timer, std::uint64_t deadline, axvm::Callback callback) {
      require(timer < axvm::Events::max_timers);
      if (deadline == 0) of(self).timers_.erase(timer);
      else of(self).timers_[timer] = callback;
    },
    [](void* self) { return of(self).now_; }};

/// What a device is connected to: config(), make() with a device that it belongs to, gone() when that is no more, and
/// happens() with whatever the input says.
template <class Device>
struct Far;

/// A TAP interface: `size` bytes of a frame wait, or nothing.
template <>
struct Far<axvm::VirtioNet> {
  using Device = axvm::VirtioNet;
  explicit Far(Ram const& guest) : ram(guest) {}
  static Device::Config config() { return {.tap = "tap0", .mac = {}}; }
  std::unique_ptr<Device> make(Device::Config const& config, axvm::DeviceContext& context) {
    resources =
        std::make_unique<Device::Resources>(Device::Resources{axvm::FramePort(this, &operations), {2, 0, 0, 0, 0, 1}});
    return std::make_unique<Device>(config, *resources, context);
  }
  void gone() {}
  void happens(unsigned where, std::uint32_t value) {
    waiting = where % 4;
    size = 12 + value % 65'551;
    takes = value >> 31 == 0;
  }

  std::uint64_t check(std::span<const axvm::Segment> segments) const {
    std::uint64_t sum = 0;
    for (axvm::Segment const& segment : segments) {
      require(segment.size != 0);
      (void)ram.address_of(segment.data, segment.size);
      sum += segment.size;
    }
    return sum;
  }
  static Far& of(void* self) { return *static_cast<Far*>(self); }
  static const axvm::FramePort::Operations operations;

  Ram const& ram;
  std::unique_ptr<Device::Resources> resources;
  unsigned waiting = 0;
  std::uint64_t size = 60;
  bool takes = true;
};

inline constexpr axvm::FramePort::Operations Far<axvm::VirtioNet>::operations{
    [](void*) { return 7; },
    [](void* self, std::span<const axvm::Segment> into) -> std::size_t {
      Far& far = of(self);
      const std::uint64_t room = far.check(into);
      require(room > 12);
      if (far.waiting == 0) return 0;
      --far.waiting;
      std::uint64_t left = far.size < room ? far.size : room;
      const auto all = static_cast<std::size_t>(left);
      for (axvm::Segment const& segment : into) {
        const std::uint64_t here = left < segment.size ? left : segment.size;
        std::memset(segment.data, 0x77, static_cast<std::size_t>(here));
        left -= here;
      }
      return all;
    },
    [](void* self, std::span<const axvm::Segment> frame) {
      const std::uint64_t sum = of(self).check(frame);
      require(sum > 12 && sum <= 65'562);
      return of(self).takes;
    },
    [](void*, axvm::FrameOffloads offloads) { require(offloads.checksum || (!offloads.tso4 && !offloads.tso6)); },
    [](void*) {}};

/// A terminal: `typed` bytes wait, and so many are taken.
template <>
struct Far<axvm::VirtioConsole> {
  using Device = axvm::VirtioConsole;
  explicit Far(Ram const&) {}
  static Device::Config config() { return {.port = "stdio"}; }
  std::unique_ptr<Device> make(Device::Config const& config, axvm::DeviceContext& context) {
    static constexpr axvm::CharacterConnection::Operations connection{.size = [](void* self) { return of(self).size; }};
    resources = std::make_unique<Device::Resources>(
        Device::Resources{axvm::CharacterConnection(this, &connection, {this, &operations})});
    return std::make_unique<Device>(config, *resources, context);
  }
  void gone() {}
  void happens(unsigned where, std::uint32_t value) {
    typed = where % 3000;
    room = value % 5000;
    if ((value & 1) != 0) size = {static_cast<std::uint16_t>(value >> 16), static_cast<std::uint16_t>(where)};
  }

  static Far& of(void* self) { return *static_cast<Far*>(self); }
  static std::size_t some(std::size_t& there, std::size_t wanted) {
    const std::size_t count = there < wanted ? there : wanted;
    there -= count;
    return count;
  }
  static const axvm::CharacterPort::Operations operations;

  std::unique_ptr<Device::Resources> resources;
  std::size_t typed = 0, room = 0;
  axvm::TerminalSize size{80, 25};
};

inline constexpr axvm::CharacterPort::Operations Far<axvm::VirtioConsole>::operations{
    .write = [](void* self, axvm::ConstBytes bytes) -> std::size_t {
      static volatile unsigned sum = 0;  // every byte must be one that can be read
      for (std::byte byte : bytes) sum = sum + std::to_integer<unsigned>(byte);
      return some(of(self).room, bytes.size());
    },
    .read = [](void* self, axvm::Bytes into) -> std::size_t {
      require(!into.empty());
      const std::size_t count = some(of(self).typed, into.size());
      std::memset(into.data(), 'x', count);
      return count;
    },
    .input = [](void*) { return 8; },
    .output = [](void*) { return 9; }};

/// Programs behind sockets: some connect, each says so many bytes, beginning with a greeting, and takes so many.
template <>
struct Far<axvm::VirtioVsock> {
  using Device = axvm::VirtioVsock;
  explicit Far(Ram const&) {}
  static Device::Config config() { return {.path = "sockets"}; }
  std::unique_ptr<Device> make(Device::Config const& config, axvm::DeviceContext& context) {
    resources = std::make_unique<Device::Resources>(Device::Resources{axvm::StreamHub(this, &operations)});
    return std::make_unique<Device>(config, *resources, context);
  }
  void gone() { require(open.empty()); }
  void happens(unsigned where, std::uint32_t value) {
    if ((value & 1) != 0) ++arrivals;
    listens = (value & 2) == 0;
    over = (value & 4) != 0;
    says = value >> 16;
    takes = where % 1000;
    axvm::StreamEvent event{.stream = where % 65, .readable = (value & 8) != 0, .writable = (value & 16) != 0};
    event.ended = (value & 32) != 0;
    event.hung_up = (value & 64) != 0;
    if (event.stream == 64) event.stream = axvm::StreamEvent::arrival;
    events.push_back(event);
  }

  struct Stream {
    std::vector<std::byte> buffer = std::vector<std::byte>(axvm::StreamHub::buffer_size);
    std::size_t said = 0;
    bool finished = false;
  };
  bool begin(std::uint32_t stream, bool greets) {
    require(stream < axvm::StreamHub::max_streams && !open.contains(stream));
    open[stream].said = greets ? 0 : greeting.size();
    return true;
  }
  Stream& at(std::uint32_t stream) {
    require(open.contains(stream));
    return open[stream];
  }
  static Far& of(void* self) { return *static_cast<Far*>(self); }
  static constexpr std::string_view greeting = "CONNECT 1025\n";
  static const axvm::StreamHub::Operations operations;

  std::unique_ptr<Device::Resources> resources;
  std::map<std::uint32_t, Stream> open;
  std::vector<axvm::StreamEvent> events;
  unsigned arrivals = 0;
  bool listens = true, over = false;
  std::size_t says = 0, takes = 0;
};

inline constexpr axvm::StreamHub::Operations Far<axvm::VirtioVsock>::operations{
    .descriptor = [](void*) { return 10; },
    .events = [](void* self, std::span<axvm::StreamEvent> into) -> std::size_t {
      auto& events = of(self).events;
      const std::size_t count = events.size() < into.size() ? events.size() : into.size();
      std::copy_n(events.begin(), count, into.begin());
      events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count));
      return count;
    },
    .accept =
        [](void* self, std::uint32_t stream) {
          if (of(self).arrivals == 0) return false;
          --of(self).arrivals;
          return of(self).begin(stream, true);
        },
    .connect = [](void* self, std::uint32_t stream,
                  std::uint32_t) { return of(self).listens && of(self).begin(stream, false); },
    .read = [](void* self, std::uint32_t number, axvm::Bytes into) -> axvm::StreamTransfer {
      require(!into.empty());
      Far& far = of(self);
      Stream& stream = far.at(number);
      for (std::size_t i = 0; i < into.size(); ++i) {
        if (stream.said < greeting.size()) into[i] = static_cast<std::byte>(greeting[stream.said++]);
        else if (far.says == 0) return {i, i == 0 && far.over};
        else --far.says, into[i] = std::byte{'s'};
      }
      return {into.size(), false};
    },
    .write = [](void* self, std::uint32_t number, axvm::ConstBytes from) -> axvm::StreamTransfer {
      require(!from.empty() && !of(self).at(number).finished);
      static volatile unsigned sum = 0;
      for (std::byte byte : from) sum = sum + std::to_integer<unsigned>(byte);
      const std::size_t count = from.size() < of(self).takes ? from.size() : of(self).takes;
      of(self).takes -= count;
      return {count, count == 0 && of(self).over};
    },
    .buffer = [](void* self, std::uint32_t stream) { return axvm::Bytes(of(self).at(stream).buffer); },
    .finish =
        [](void* self, std::uint32_t stream) {
          require(!of(self).at(stream).finished);
          of(self).at(stream).finished = true;
        },
    .drop = [](void* self, std::uint32_t stream) { require(of(self).open.erase(stream) == 1); },
    .close = [](void* self) { require(of(self).open.empty()); }};

template <>
struct Far<axvm::VirtioBalloon> {
  using Device = axvm::VirtioBalloon;
  explicit Far(Ram const&) {}
  static Device::Config config() { return {.enabled = true}; }
  std::unique_ptr<Device> make(Device::Config const& config, axvm::DeviceContext& context) {
    return std::make_unique<Device>(config, context);
  }
  void gone() {}
  void happens(unsigned, std::uint32_t) {}
};

/// The host's random numbers: `left` bytes of them.
template <>
struct Far<axvm::VirtioRng> {
  using Device = axvm::VirtioRng;
  explicit Far(Ram const& guest) : ram(guest) {}
  static Device::Config config() { return {}; }
  std::unique_ptr<Device> make(Device::Config const& config, axvm::DeviceContext& context) {
    resources.source = axvm::EntropySource(this, [](void* self, axvm::Bytes into) {
      auto& far = *static_cast<Far*>(self);
      require(!into.empty());
      (void)far.ram.address_of(into.data(), into.size());
      const std::size_t count = far.left < into.size() ? far.left : into.size();
      far.left -= count;
      std::memset(into.data(), 0xe7, count);
      return count;
    });
    return std::make_unique<Device>(config, resources, context);
  }
  void gone() {}
  void happens(unsigned, std::uint32_t value) { left = value % 10'000; }

  Ram const& ram;
  Device::Resources resources;
  std::size_t left = 5000;
};

}  // namespace oracle
