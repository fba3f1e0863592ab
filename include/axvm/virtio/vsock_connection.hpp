#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/device/stream_hub.hpp>
#include <axvm/virtio/vsock_packet.hpp>

namespace axvm::inline v1::virtio {

/// Reads what a program says when it connects to the socket of a guest, up to and with the end of the line:
/// "CONNECT 1234\n". The port, or nothing.
constexpr std::optional<std::uint32_t> parse_vsock_connect(std::string_view line) {
  constexpr std::string_view begin("CONNECT ", 8);
  if (!line.starts_with(begin) || !line.ends_with('\n')) return std::nullopt;
  line.remove_prefix(begin.size());
  line.remove_suffix(1);
  if (line.empty() || line.size() > 10) return std::nullopt;
  std::uint64_t port = 0;
  for (char digit : line) {
    if (digit < '0' || digit > '9') return std::nullopt;
    port = port * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  if (port > 0xffff'fffe) return std::nullopt;  // all-ones is "any port" to those who bind
  return static_cast<std::uint32_t>(port);
}
static_assert(parse_vsock_connect("CONNECT 52\n") == 52u && !parse_vsock_connect("CONNECT 4294967295\n"));
static_assert(!parse_vsock_connect("CONNECT 52") && !parse_vsock_connect("CONNECT \n") && !parse_vsock_connect("\n"));

/// One connection between a program of the host and one of the guest.
struct VsockConnection {
  enum class Phase : std::uint8_t {
    Free,
    Greeting,   ///< a program has connected and not yet said to which port
    Requested,  ///< the guest was asked, or is to be
    Open,
  };
  /// What the guest is to be told.
  enum Owed : std::uint8_t { request = 1, response = 2, shutdown = 4, credit_update = 8, reset = 16 };

  static constexpr std::uint32_t room = StreamHub::buffer_size;  ///< buf_alloc

  Phase phase = Phase::Free;
  std::uint8_t owed = 0;
  bool readable = false, writable = false;  ///< the stream, as far as is known
  bool ending = false;                      ///< its end is behind what there still is to read
  bool host_sends = true, host_receives = true;
  bool guest_sends = true, guest_receives = true;
  bool finished = false;    ///< the stream was told that nothing more comes
  std::uint8_t length = 0;  ///< of the greeting so far
  std::array<char, 24> greeting{};
  std::uint32_t host_port = 0, guest_port = 0;
  // From the guest: what the stream did not take yet is in its buffer, a ring.
  std::uint32_t head = 0, kept = 0;  ///< bytes
  std::uint32_t fwd_cnt = 0;         ///< bytes that have left the buffer
  std::uint32_t told_fwd_cnt = 0;    ///< what the guest knows of that
  // To the guest.
  std::uint32_t tx_cnt = 0;  ///< bytes sent
  std::uint32_t peer_buf_alloc = 0, peer_fwd_cnt = 0;

  [[nodiscard]] bool is(std::uint32_t host, std::uint32_t guest) const {
    return (phase == Phase::Open || phase == Phase::Requested) && host_port == host && guest_port == guest;
  }
  /// Whether it is over, but for telling the guest.
  [[nodiscard]] bool is_dead() const { return (owed & reset) != 0; }
  /// Takes something from what is owed; whether it was.
  bool take_owed(Owed what) {
    const bool was_owed = (owed & what) != 0;
    owed = static_cast<std::uint8_t>(owed & ~unsigned{what});
    return was_owed;
  }
  /// Bytes that the guest has room for. A guest whose numbers make no sense gets nothing.
  [[nodiscard]] std::uint32_t credit() const {
    const std::uint32_t under_way = tx_cnt - peer_fwd_cnt;
    return under_way < peer_buf_alloc ? peer_buf_alloc - under_way : 0;
  }
  /// Whether there may be bytes of the stream to hand on now.
  [[nodiscard]] bool can_forward() const {
    return phase == Phase::Open && readable && host_sends && guest_receives && credit() != 0;
  }
  /// Whether the guest should hear how much room there is: it may think that there is little.
  [[nodiscard]] bool should_tell() const { return fwd_cnt - told_fwd_cnt >= room / 4; }

  /// Keeps bytes from the guest; at most room - kept.
  void keep(Bytes buffer, ConstBytes bytes) {
    while (!bytes.empty()) {
      const std::uint32_t tail = (head + kept) % room;
      const std::size_t space = room - tail;
      const std::size_t count = bytes.size() < space ? bytes.size() : space;
      std::memcpy(buffer.data() + tail, bytes.data(), count);
      kept += static_cast<std::uint32_t>(count);
      bytes = bytes.subspan(count);
    }
  }
  /// The oldest bytes that are kept, as many as lie in one piece.
  [[nodiscard]] ConstBytes oldest(Bytes buffer) const {
    return buffer.subspan(head, kept < room - head ? kept : room - head);
  }
  /// So many of them are gone.
  void forget(std::size_t count) {
    head = static_cast<std::uint32_t>((head + count) % room);
    kept -= static_cast<std::uint32_t>(count);
    fwd_cnt += static_cast<std::uint32_t>(count);
  }
};

}  // namespace axvm::inline v1::virtio
