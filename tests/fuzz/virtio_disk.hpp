#pragma once

// A disk image for the fuzz targets of disks, which is only ever asked for what there is, and the event loop beside it.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <axvm/device/block_image.hpp>
#include <axvm/device/events.hpp>

#include "virtio_oracle.hpp"

namespace oracle {

using namespace axvm;

/// Carries requests out one by one, or has a queue that ends them in the order that the input says.
struct Disk {
  static constexpr std::uint64_t sectors = 8;
  static constexpr std::uint64_t size = 512 * sectors + 17;
  static constexpr std::size_t most_under_way = 257;

  Ram const& ram;
  bool read_only;
  bool in_parts;
  bool fails = false;
  std::vector<std::byte> bytes = std::vector<std::byte>(size, std::byte{0x5a});
  std::vector<BlockRequest> begun{}, submitted{};
  std::vector<BlockCompletion> ended{};

  /// The image that a device gets.
  [[nodiscard]] BlockImage image(bool has_queue) {
    return BlockImage(this, &operations, size, read_only, {.can_discard = true, .can_write_zeroes = true},
                      has_queue ? &queue : nullptr);
  }
  [[nodiscard]] std::uint64_t check(std::uint64_t offset, std::span<const Segment> segments) const {
    std::uint64_t sum = 0;
    for (Segment const& segment : segments) {
      require(segment.size != 0);
      (void)ram.address_of(segment.data, segment.size);
      sum += segment.size;
    }
    require(sum != 0);
    check_range(offset, sum);
    return sum;
  }
  void check_range(std::uint64_t offset, std::uint64_t count) const {
    require(in_parts || (offset % 512 == 0 && count % 512 == 0));
    require(offset <= 512 * sectors && count <= 512 * sectors - offset);
  }
  /// Carries it out, `most` bytes of it at most; how many that were.
  std::uint64_t move(BlockRequest const& request, std::uint64_t most) {
    std::uint64_t offset = request.offset, moved = 0;
    for (Segment const& segment : request.segments) {
      const std::size_t count = most - moved < segment.size ? most - moved : segment.size;
      if (request.operation == BlockOperation::Read) std::memcpy(segment.data, bytes.data() + offset, count);
      else std::memcpy(bytes.data() + offset, segment.data, count);
      offset += count;
      moved += count;
    }
    return moved;
  }
  void check(BlockRequest const& request) const {
    const bool moves = request.operation == BlockOperation::Read || request.operation == BlockOperation::Write;
    require(!read_only || request.operation == BlockOperation::Read || request.operation == BlockOperation::Flush);
    if (moves) (void)check(request.offset, request.segments);
    else check_range(request.offset, request.size);
  }
  int carry_out(BlockRequest const& request) {
    check(request);
    if (!fails) move(request, ~0ull);
    return fails ? 5 : 0;
  }
  /// Ends one of the requests that are under way.
  void end(std::size_t which) {
    if (submitted.empty()) return;
    auto const found = submitted.begin() + static_cast<std::ptrdiff_t>(which % submitted.size());
    const BlockRequest request = *found;
    submitted.erase(found);
    BlockCompletion completion{.token = request.token, .error = fails ? 5 : 0};
    if (!fails) completion.moved = move(request, in_parts ? which % 700 + 1 : ~0ull);
    if (which % 16 == 15) completion = {.token = request.token, .error = BlockImage::perform_now};
    ended.push_back(completion);
  }

  [[nodiscard]] bool is_idle() const { return begun.empty() && submitted.empty() && ended.empty(); }

  static Disk& of(void* self) { return *static_cast<Disk*>(self); }
  static const BlockImage::Operations operations;
  static const BlockImage::Queue queue;
};

inline constexpr BlockImage::Operations Disk::operations{
    [](void* self, std::uint64_t offset, std::span<const Segment> segments) {
      return of(self).carry_out({.operation = BlockOperation::Read, .offset = offset, .segments = segments});
    },
    [](void* self, std::uint64_t offset, std::span<const Segment> segments) {
      return of(self).carry_out({.operation = BlockOperation::Write, .offset = offset, .segments = segments});
    },
    [](void* self) { return of(self).carry_out({.operation = BlockOperation::Flush}); },
    [](void*) {},
    [](void* self, std::uint64_t offset, std::uint64_t count) {
      return of(self).carry_out({.operation = BlockOperation::Discard, .offset = offset, .size = count});
    },
    [](void* self, std::uint64_t offset, std::uint64_t count, bool) {
      return of(self).carry_out({.operation = BlockOperation::WriteZeroes, .offset = offset, .size = count});
    }};

inline constexpr BlockImage::Queue Disk::queue{
    [](void* self, BlockRequest const& request) {
      Disk& disk = of(self);
      disk.check(request);
      for (BlockRequest const& other : disk.submitted) require(other.token != request.token);
      disk.begun.push_back(request);
      require(disk.begun.size() + disk.submitted.size() <= most_under_way);
      return true;
    },
    [](void* self) {
      Disk& disk = of(self);
      disk.submitted.insert(disk.submitted.end(), disk.begun.begin(), disk.begun.end());
      disk.begun.clear();
    },
    [](void* self, std::span<BlockCompletion> into) {
      auto& ended = of(self).ended;
      const std::size_t count = ended.size() < into.size() ? ended.size() : into.size();
      std::copy_n(ended.begin(), count, into.begin());
      ended.erase(ended.begin(), ended.begin() + static_cast<std::ptrdiff_t>(count));
      return count;
    },
    [](void* self) {
      Disk& disk = of(self);
      require(disk.begun.empty() && !(disk.ended.empty() && disk.submitted.empty()));
      if (disk.ended.empty()) disk.end(0);
    },
    [](void* self) {
      Disk& disk = of(self);
      for (BlockRequest const& request : disk.submitted) disk.ended.push_back({.token = request.token, .error = 125});
      disk.submitted.clear();
    },
    [](void*) { return 0; }};

/// An event loop that calls back when it is told.
struct Loop {
  Callback readable, timer;

  Events events() { return {this, &operations}; }
  static const Events::Operations operations;
};
inline constexpr Events::Operations Loop::operations{
    [](void* self, int, Interest, Callback callback) {
      static_cast<Loop*>(self)->readable = callback;
      return true;
    },
    [](void* self, unsigned, std::uint64_t, Callback callback) { static_cast<Loop*>(self)->timer = callback; },
    [](void*) { return std::uint64_t{1}; }};

}  // namespace oracle
