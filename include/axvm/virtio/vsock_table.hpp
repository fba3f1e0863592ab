#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <axvm/core/bytes.hpp>
#include <axvm/core/counter.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/vsock_connection.hpp>

namespace axvm::inline v1::virtio {

/// What a socket device counts.
struct VsockCounters {
  Counter connections;     ///< opened, from either side
  Counter resets;          ///< RSTs sent: no such program, no room, nonsense, or the end of a connection
  Counter bytes_to_guest;  ///< of streams, headers not counted
  Counter bytes_to_host;   ///< likewise
};

/// The connections of a socket device and their streams: the half of it that has to do with the host.
class VsockTable {
 public:
  using Connection = VsockConnection;
  using Phase = VsockConnection::Phase;
  static constexpr std::uint32_t size = StreamHub::max_streams;

  /// Both must outlive it.
  VsockTable(StreamHub& hub, VsockCounters& counters) : hub_(hub), counters_(counters) {}
  VsockTable(VsockTable const&) = delete;
  VsockTable& operator=(VsockTable const&) = delete;
  ~VsockTable() { drop_all(); }

  [[nodiscard]] Connection& operator[](std::uint32_t number) { return connections_[number]; }

  /// The number of the connection between these ports, or `size`.
  [[nodiscard]] std::uint32_t find(std::uint32_t host_port, std::uint32_t guest_port) const {
    std::uint32_t number = 0;
    while (number < size && !connections_[number].is(host_port, guest_port)) ++number;
    return number;
  }

  /// Takes what the hub has to tell, some of it: it goes on telling while there is more.
  void listen() {
    std::array<StreamEvent, 16> found;
    const std::size_t count = hub_.events(found);
    for (StreamEvent const& event : std::span(found).first(count)) {
      if (event.stream == StreamEvent::arrival) arrivals_ = true;
      else if (event.stream < size) note(connections_[event.stream], event);
    }
  }

  /// Does all that can be done without the guest's doing.
  void advance() {
    while (arrivals_ && accept()) {
    }
    for (std::uint32_t number = 0; number < size; ++number) {
      Connection& connection = connections_[number];
      if (connection.phase == Phase::Greeting && connection.readable) greet(number);
      if (connection.phase == Phase::Requested && !connection.host_receives) give_up(number);
      if (connection.phase == Phase::Open) drain(number);
    }
  }

  /// Opens a connection that the guest asks for; false when there is no such program or no room.
  [[nodiscard]] bool open(VsockHeader const& asked) {
    const std::uint32_t number = free_number();
    if (number == size || !hub_.connect(number, asked.dst_port)) return false;
    Connection& connection = connections_[number] = {};
    connection.phase = Phase::Open;
    connection.readable = connection.writable = true;
    connection.host_port = asked.dst_port;
    connection.guest_port = asked.src_port;
    connection.peer_buf_alloc = asked.buf_alloc;
    connection.peer_fwd_cnt = asked.fwd_cnt;
    connection.owed = Connection::response;
    counters_.connections.add();
    return true;
  }

  /// The guest has accepted a connection: the program that asked for it is told.
  void opened(std::uint32_t number) {
    Connection& connection = connections_[number];
    connection.phase = Phase::Open;
    counters_.connections.add();
    using namespace std::string_view_literals;
    const auto line = text<31>("OK "sv, connection.host_port, "\n"sv);
    // Into the stream's empty buffer; what is counted as gone from there begins with the guest's first byte.
    connection.keep(hub_.buffer(number), std::as_bytes(std::span(line.view())));
    connection.fwd_cnt = connection.told_fwd_cnt = 0u - static_cast<std::uint32_t>(line.size());
    drain(number);
  }

  /// Bytes of the guest, which knows how much room there is, for the stream.
  void take(std::uint32_t number, std::span<const Segment> segments, std::uint32_t length) {
    Connection& connection = connections_[number];
    if (!connection.guest_sends || length > Connection::room - connection.kept) return abort(number);
    for (Segment const& segment : segments) {
      ConstBytes bytes(segment.data, segment.size);
      while (connection.kept == 0 && connection.writable && !bytes.empty()) {
        const std::size_t sent = write(number, bytes);
        if (connection.is_dead()) return;
        connection.fwd_cnt += static_cast<std::uint32_t>(sent);
        bytes = bytes.subspan(sent);
      }
      connection.keep(hub_.buffer(number), bytes);
    }
    if (connection.should_tell()) connection.owed |= Connection::credit_update;
  }

  /// Reads from the stream into `into`. Sets what follows from its end.
  [[nodiscard]] std::size_t read(std::uint32_t number, Bytes into) {
    Connection& connection = connections_[number];
    const StreamTransfer got = hub_.read(number, into);
    if (got.over) {
      connection.host_sends = false;
      connection.owed |= Connection::shutdown;
    } else if (got.count < into.size() && !connection.ending) {
      connection.readable = false;  // until the hub says otherwise
    }
    counters_.bytes_to_guest.add(got.count);
    return got.count;
  }

  /// Ends a connection: the guest is to be told, and then its number is free.
  void abort(std::uint32_t number) {
    connections_[number].owed = Connection::reset;
    connections_[number].kept = 0;
  }
  /// Forgets a connection at once.
  void drop(std::uint32_t number) {
    if (connections_[number].phase == Phase::Free) return;
    hub_.drop(number);
    connections_[number] = {};
  }
  void drop_all() {
    for (std::uint32_t number = 0; number < size; ++number) drop(number);
  }

 private:
  static void note(Connection& connection, StreamEvent const& event) {
    connection.readable |= event.readable;
    connection.writable |= event.writable;
    connection.ending |= event.ended;
    if (event.hung_up && connection.host_receives) {
      connection.host_receives = false;
      if (!connection.host_sends) connection.owed |= Connection::shutdown;  // once more, for now it is both ways
    }
  }

  bool accept() {
    const std::uint32_t number = free_number();
    if (number == size) return false;
    if (!hub_.accept(number)) return arrivals_ = false;
    Connection& connection = connections_[number] = {};
    connection.phase = Phase::Greeting;
    connection.readable = connection.writable = true;
    return true;
  }

  /// Reads the line that says where a program wants to go: byte by byte, for what follows is the guest's.
  void greet(std::uint32_t number) {
    Connection& connection = connections_[number];
    while (connection.length < connection.greeting.size()) {
      char& next = connection.greeting[connection.length];
      const StreamTransfer got = hub_.read(number, {reinterpret_cast<std::byte*>(&next), 1});
      if (got.over) break;
      if (got.count == 0) {
        connection.readable = false;
        return;
      }
      ++connection.length;
      if (next != '\n') continue;
      const auto port = parse_vsock_connect({connection.greeting.data(), connection.length});
      if (!port) break;
      connection.host_port = free_port(*port);
      connection.guest_port = *port;
      connection.phase = Phase::Requested;
      connection.owed = Connection::request;
      return;
    }
    drop(number);
  }

  /// The program has gone before the guest answered.
  void give_up(std::uint32_t number) {
    if ((connections_[number].owed & Connection::request) != 0) drop(number);
    else abort(number);
  }

  /// Gives the stream what was kept for it, and then the end, if that was all.
  void drain(std::uint32_t number) {
    Connection& connection = connections_[number];
    while (connection.kept != 0 && connection.writable) {
      const std::size_t sent = write(number, connection.oldest(hub_.buffer(number)));
      if (connection.is_dead()) return;
      connection.forget(sent);
    }
    if (connection.should_tell()) connection.owed |= Connection::credit_update;
    if (connection.kept != 0 || connection.guest_sends) return;
    if (!connection.guest_receives) return abort(number);
    if (!connection.finished) hub_.finish(number);
    connection.finished = true;
  }

  std::size_t write(std::uint32_t number, ConstBytes bytes) {
    const StreamTransfer sent = hub_.write(number, bytes);
    if (sent.over) abort(number);
    else if (sent.count == 0) connections_[number].writable = false;
    counters_.bytes_to_host.add(sent.count);
    return sent.count;
  }

  [[nodiscard]] std::uint32_t free_number() const {
    std::uint32_t number = 0;
    while (number < size && connections_[number].phase != Phase::Free) ++number;
    return number;
  }
  /// A port of the host's that no connection to this port of the guest has.
  [[nodiscard]] std::uint32_t free_port(std::uint32_t guest_port) {
    do next_port_ = next_port_ == 0xffff'fffe ? first_port : next_port_ + 1;
    while (find(next_port_, guest_port) != size);
    return next_port_;
  }

  static constexpr std::uint32_t first_port = 1u << 30;

  StreamHub& hub_;
  VsockCounters& counters_;
  bool arrivals_ = false;  ///< a program waits to be accepted
  std::uint32_t next_port_ = first_port;
  std::array<Connection, size> connections_{};
};

}  // namespace axvm::inline v1::virtio
