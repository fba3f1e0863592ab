#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/device/host.hpp>

namespace axvm::inline v1::virtio {

/// The bytes that the segments hold together.
constexpr std::uint64_t size_of(std::span<const Segment> segments) {
  std::uint64_t sum = 0;
  for (Segment const& segment : segments) sum += segment.size;
  return sum;
}

/// What gather() does where the bytes do not all lie in the first segment.
[[nodiscard, gnu::noinline]] inline bool gather_from_several(std::span<const Segment> segments, std::uint64_t offset,
                                                             Bytes into) {
  if (!range_fits(offset, into.size(), size_of(segments))) return false;
  std::size_t done = 0;
  for (Segment const& segment : segments) {
    if (done == into.size()) break;
    if (offset >= segment.size) {
      offset -= segment.size;
      continue;
    }
    std::size_t room = segment.size - static_cast<std::size_t>(offset);
    std::size_t count = into.size() - done < room ? into.size() - done : room;
    std::memcpy(into.data() + done, segment.data + offset, count);
    done += count;
    offset = 0;
  }
  return true;
}

/// Copies bytes out of the segments, which are seen as one stretch, from `offset` on. False, and `into` unchanged, when
/// they do not hold so many. What was copied is the value from then on: the guest may change its memory, the copy
/// stays.
[[nodiscard]] inline bool gather(std::span<const Segment> segments, std::uint64_t offset, Bytes into) {
  if (!segments.empty() && range_fits(offset, into.size(), segments.front().size))
    std::memcpy(into.data(), segments.front().data + offset, into.size());
  else if (!gather_from_several(segments, offset, into)) return false;
  // Keeps the compiler from reading guest memory a second time in place of the copy.
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  return true;
}

/// Copies bytes into the segments, which are seen as one stretch, from `offset` on. False, and nothing written, when
/// they do not hold so many.
[[nodiscard]] inline bool scatter(std::span<const Segment> segments, std::uint64_t offset, ConstBytes from) {
  if (!range_fits(offset, from.size(), size_of(segments))) return false;
  std::size_t done = 0;
  for (Segment const& segment : segments) {
    if (done == from.size()) break;
    if (offset >= segment.size) {
      offset -= segment.size;
      continue;
    }
    std::size_t room = segment.size - static_cast<std::size_t>(offset);
    std::size_t count = from.size() - done < room ? from.size() - done : room;
    std::memcpy(segment.data + offset, from.data() + done, count);
    done += count;
    offset = 0;
  }
  return true;
}

/// The part `[offset, offset + length)` of the segments, cut in place: the first and the last of them are shortened and
/// the ones between returned with them. Nothing is copied. Empty when the segments do not hold so many bytes or
/// `length` is 0.
[[nodiscard]] constexpr std::span<Segment> narrow(std::span<Segment> segments, std::uint64_t offset,
                                                  std::uint64_t length) {
  if (length == 0 || !range_fits(offset, length, size_of(segments))) return {};
  std::size_t first = 0;
  while (offset >= segments[first].size) offset -= segments[first++].size;
  segments[first].data += offset;
  segments[first].size -= static_cast<std::size_t>(offset);
  std::size_t last = first;
  while (length > segments[last].size) length -= segments[last++].size;
  segments[last].size = static_cast<std::size_t>(length);
  return segments.subspan(first, last - first + 1);
}

}  // namespace axvm::inline v1::virtio
