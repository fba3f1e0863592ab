// libFuzzer target: a virtqueue in a guest that writes anything anywhere. The oracle is a second reading of the rings:
// a chain is taken exactly when that finds it sound, with the same buffers; no head is taken twice before it was handed
// back, each is handed back once, rounds are bounded by the queue, and nothing but writable buffers and the used ring
// changes.
//
// An input: 12 bytes {log2 of the size (u8), bit 0 INDIRECT_DESC, bit 1 EVENT_IDX, bit 2 every other round asks for no
// notification (u8), how many chains are kept in flight (u8), how much is written (u8), addresses of descriptors,
// driver and device area (u16 each), length n of what follows (u16)}, n bytes of guest memory from 0 on, then records
// {address (u16), value (u16)} that change guest memory; with bit 15 of the address the device also does a round.
#include <deque>
#include <memory>

#include "virtio_oracle.hpp"

namespace {

using namespace axvm;
using namespace oracle;

struct Target {
  struct Taken {
    std::uint16_t head;
    std::uint64_t writable;
  };

  Target(virtio::QueueState const& registers, std::uint64_t feature_bits, std::uint8_t keep, std::uint8_t amount)
      : state(registers), features(feature_bits), kept(keep), written(amount) {}

  bool start() {
    bool sound = state.size <= 32 && state.descriptor_area % 16 == 0 && state.driver_area % 2 == 0 &&
                 state.device_area % 4 == 0 && Ram::in_one_region(state.descriptor_area, 16 * state.size) &&
                 Ram::in_one_region(state.driver_area, 6 + 2 * state.size) &&
                 Ram::in_one_region(state.device_area, 6 + 8 * state.size);
    require((queue.start(32, features) == virtio::RingFault::None) == sound);
    return sound;
  }

  void round() {
    std::vector<std::byte> before = ram.bytes();
    ByteSet allowed;
    allowed.add(state.device_area, 6 + 8 * state.size);
    std::uint32_t waiting = looks && rounds++ % 2 != 0 ? queue.look() : queue.refresh();
    require(waiting <= state.size);
    for (std::uint32_t taken = 0;; ++taken) {
      std::vector<std::byte> now = ram.bytes();
      std::uint64_t slot = state.next_available % state.size;
      auto head = get<std::uint16_t>(now, state.driver_area + 4 + 2 * slot);
      auto plain = walk(now, state, (features & virtio::feature::INDIRECT_DESC) != 0, head);
      bool busy = false;
      for (Taken const& one : in_flight) busy |= one.head == head;
      for (std::uint16_t one : unseen) busy |= one == head;
      if (!queue.pop(chain)) {
        require(taken == waiting || ((!plain || busy) && queue.fault() != virtio::RingFault::None));
        break;
      }
      require(taken < waiting && plain && !busy && chain.head() == head);
      require(chain.readable_size() == plain->readable_size && chain.writable_size() == plain->writable_size);
      compare(*plain);
      write(*plain, allowed);
      in_flight.push_back({head, chain.writable_size()});
      while (in_flight.size() > kept) hand_back();
    }
    if (!queue.running())
      while (!in_flight.empty()) hand_back();
    std::uint16_t used = state.used_index;
    if (looks) (void)queue.show();
    (void)queue.publish();
    require(!queue.show());  // nothing is owed any more
    require(state.used_index == static_cast<std::uint16_t>(used + unseen.size()));
    if (!unseen.empty()) require(get<std::uint16_t>(ram.bytes(), state.device_area + 2) == state.used_index);
    unseen.clear();
    allowed.only_these_changed(before, ram.bytes());
  }

  /// The segments are the buffers, in order, readable ones first, whatever region they lie in.
  void compare(PlainChain const& plain) const {
    std::size_t next = 0;
    auto match = [&](std::span<const Segment> part, bool writable) {
      std::uint64_t left = 0, expected = 0;
      for (Segment const& segment : part) {
        if (left == 0) {
          require(next < plain.buffers.size());
          require(((plain.buffers[next].flags & Descriptor::WRITE) != 0) == writable);
          left = plain.buffers[next].len;
          expected = plain.buffers[next++].addr;
        }
        require(segment.size != 0 && segment.size <= left);
        require(ram.address_of(segment.data, segment.size) == expected);
        left -= segment.size;
        expected += segment.size;
      }
      require(left == 0);
    };
    match(chain.readable(), false);
    match(chain.writable(), true);
    require(next == plain.buffers.size());
  }

  void write(PlainChain const& plain, ByteSet& allowed) {
    std::vector<std::byte> data(static_cast<std::size_t>(chain.writable_size() * written / 255), std::byte{0xa5});
    require(virtio::scatter(chain.writable(), 0, data));
    for (Descriptor const& buffer : plain.buffers)
      if ((buffer.flags & Descriptor::WRITE) != 0) allowed.add(buffer.addr, buffer.len);
  }

  void hand_back() {
    Taken one = in_flight.front();
    in_flight.pop_front();
    auto length = static_cast<std::uint32_t>(one.writable * written / 255);
    std::uint64_t slot = (state.used_index + unseen.size()) % state.size;
    queue.push(one.head, length);
    queue.push(one.head, 0);  // once more does nothing
    auto element = get<virtio::UsedElement>(ram.bytes(), state.device_area + 4 + 8 * slot);
    require(element.id == one.head && element.len == length && element.len <= one.writable);
    unseen.push_back(one.head);
  }

  Ram ram;
  virtio::QueueState state;
  std::uint64_t features;
  bool looks = false;
  unsigned rounds = 0;
  std::size_t kept;
  std::uint64_t written;
  virtio::Queue queue{state, ram.memory};
  std::array<Segment, 40> segments{};
  virtio::Chain chain{segments};
  std::deque<Taken> in_flight;
  std::vector<std::uint16_t> unseen;  // handed back since the last publish
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  ConstBytes input = std::as_bytes(std::span(data, size));
  if (size < 12) return 0;
  virtio::QueueState registers;
  registers.size = 1u << data[0] % 7;
  registers.descriptor_area = *load<std::uint16_t>(input, 4);
  registers.driver_area = *load<std::uint16_t>(input, 6);
  registers.device_area = *load<std::uint16_t>(input, 8);
  std::uint64_t features =
      ((data[1] & 1) != 0 ? virtio::feature::INDIRECT_DESC : 0) | ((data[1] & 2) != 0 ? virtio::feature::EVENT_IDX : 0);
  auto target = std::make_unique<Target>(registers, features, data[2] % 8, data[3]);
  target->looks = (data[1] & 4) != 0;
  if (!target->start()) return 0;
  std::size_t length = *load<std::uint16_t>(input, 10);
  ConstBytes rest = input.subspan(12);
  if (length > rest.size()) length = rest.size();
  if (length > Ram::end) length = Ram::end;
  for (std::size_t i = 0; i < length; ++i) target->ram.put(i, rest[i]);
  rest = rest.subspan(length);
  target->round();
  for (unsigned rounds = 0; rest.size() >= 4 && rounds < 64; rest = rest.subspan(4)) {
    auto address = *load<std::uint16_t>(rest, 0);
    target->ram.put16(address & 0x7fff, *load<std::uint16_t>(rest, 2));
    if ((address & 0x8000) == 0) continue;
    target->round();
    ++rounds;
  }
  return 0;
}
