#pragma once

// What the virtio fuzz targets hold the device against: a second, plain reading of the rings, and bounds on what may
// change in guest memory. Nothing here uses the code under test but its structures.

#include <array>
#include <bitset>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <axvm/device/context.hpp>
#include <axvm/virtio/virtio.hpp>

namespace oracle {

using axvm::virtio::Descriptor;

inline void require(bool condition) {
  if (!condition) std::abort();
}

/// Guest RAM of 4 KiB in two regions that adjoin, each in an allocation of its own, so that the address sanitizer sees
/// every step over the edge.
class Ram {
 public:
  static constexpr std::uint64_t seam = 0xc00, end = 0x1000;

  Ram() : low_(seam), high_(end - seam) {
    axvm::GuestRegion regions[] = {{0, seam, low_.data()}, {seam, end - seam, high_.data()}};
    memory = axvm::GuestMemory(regions);
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> all = low_;
    all.insert(all.end(), high_.begin(), high_.end());
    return all;
  }
  void put(std::uint64_t address, std::byte value) {
    address %= end;
    (address < seam ? low_[address] : high_[address - seam]) = value;
  }
  void put16(std::uint64_t address, std::uint16_t value) {
    put(address, static_cast<std::byte>(value));
    put(address + 1, static_cast<std::byte>(value >> 8));
  }
  /// The guest address of a byte that the device was given; aborts when it is not guest RAM.
  [[nodiscard]] std::uint64_t address_of(std::byte const* host, std::size_t size) const {
    if (host >= low_.data() && host + size <= low_.data() + low_.size())
      return static_cast<std::uint64_t>(host - low_.data());
    require(host >= high_.data() && host + size <= high_.data() + high_.size());
    return seam + static_cast<std::uint64_t>(host - high_.data());
  }
  /// Whether a range lies in one region.
  [[nodiscard]] static bool in_one_region(std::uint64_t address, std::uint64_t size) {
    return address < end && size <= end && (address < seam ? address + size <= seam : address + size <= end);
  }

  axvm::GuestMemory memory;

 private:
  std::vector<std::byte> low_, high_;
};

/// A device's registers as the guest reads them by itself.
class GuestsPage {
 public:
  /// `changes`: whether the device may write it anew when it was made.
  explicit GuestsPage(bool changes) : changes_(changes) {}

  /// For a device that is made with this context. Doorbells are not taken, so that what the guest writes there comes to
  /// the device; with `swallows` those are that nobody would hear.
  void connect(axvm::DeviceContext& context, bool swallows) {
    context.window_owner = this;
    context.add_register_page = [](void* self, std::size_t) {
      return axvm::RegisterPage(std::as_writable_bytes(std::span(static_cast<GuestsPage*>(self)->words_)), self,
                                replace);
    };
    if (swallows)
      context.add_doorbell = [](void*, axvm::DoorbellAddress const&, axvm::Callback callback) {
        return callback.call == nullptr;
      };
  }
  void clear() { words_.fill(0xffff'ffff); }
  /// Aborts where it is not what the device answers, up to `end`.
  void check(auto& device, std::uint64_t end) const {
    for (std::uint64_t offset = 0; offset < end; offset += 4) {
      axvm::MmioAccess access{offset, 4, 0};
      device.read(access);
      require(words_[offset / 4] == access.value);
    }
  }

 private:
  static void replace(void* self, axvm::ConstBytes content) {
    auto& page = *static_cast<GuestsPage*>(self);
    require(page.changes_ && content.size() <= sizeof page.words_);
    std::memcpy(page.words_.data(), content.data(), content.size());
  }

  bool changes_;
  std::array<std::uint32_t, 1024> words_{};
};

/// A set of guest bytes.
class ByteSet {
 public:
  void add(std::uint64_t address, std::uint64_t size) {
    for (std::uint64_t i = 0; i < size && address + i < Ram::end; ++i) in_.set(address + i);
  }
  void add(ByteSet const& other) { in_ |= other.in_; }
  [[nodiscard]] bool overlaps(ByteSet const& other) const { return (in_ & other.in_).any(); }
  /// Aborts when a byte outside the set differs.
  void only_these_changed(std::vector<std::byte> const& before, std::vector<std::byte> const& after) const {
    if (before == after) return;
    for (std::size_t i = 0; i < Ram::end; ++i) require(before[i] == after[i] || in_.test(i));
  }

 private:
  std::bitset<Ram::end> in_;
};

template <class T>
T get(std::vector<std::byte> const& bytes, std::uint64_t address) {
  T value;
  require(address + sizeof(T) <= bytes.size());
  std::memcpy(&value, bytes.data() + address, sizeof(T));
  return value;
}

/// A chain as the specification has it, or nothing when it is malformed.
struct PlainChain {
  std::vector<Descriptor> buffers;
  ByteSet writable;
  ByteSet read_by_device;  ///< indirect tables and readable buffers
  std::uint64_t readable_size = 0, writable_size = 0;
};

inline std::optional<PlainChain> walk(std::vector<std::byte> const& ram, axvm::virtio::QueueState const& queue,
                                      bool indirect, std::uint32_t index) {
  PlainChain chain;
  std::uint64_t table = queue.descriptor_area, entries = queue.size;
  bool inside = false;
  for (;;) {
    if (index >= entries) return {};
    auto d = get<Descriptor>(ram, table + 16 * index);
    if ((d.flags & Descriptor::INDIRECT) != 0) {
      if (!indirect || inside || (d.flags & Descriptor::NEXT) != 0 || d.len == 0 || d.len % 16 != 0 ||
          d.addr % 8 != 0 || d.len / 16 > queue.size || !Ram::in_one_region(d.addr, d.len))
        return {};
      inside = true;
      table = d.addr;
      entries = d.len / 16;
      index = 0;
      chain.read_by_device.add(d.addr, d.len);
      continue;
    }
    bool write = (d.flags & Descriptor::WRITE) != 0;
    if (d.len == 0 || d.addr >= Ram::end || d.len > Ram::end - d.addr) return {};
    if (!write && chain.writable_size != 0) return {};
    (write ? chain.writable : chain.read_by_device).add(d.addr, d.len);
    (write ? chain.writable_size : chain.readable_size) += d.len;
    chain.buffers.push_back(d);
    if (chain.buffers.size() > queue.size) return {};
    if ((d.flags & Descriptor::NEXT) == 0) return chain;
    if (chain.buffers.size() == queue.size) return {};
    index = d.next;
  }
}

}  // namespace oracle
