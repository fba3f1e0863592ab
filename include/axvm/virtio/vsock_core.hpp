#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <axvm/core/bytes.hpp>
#include <axvm/device/events.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/round.hpp>
#include <axvm/virtio/segments.hpp>
#include <axvm/virtio/transport.hpp>
#include <axvm/virtio/vsock_table.hpp>

// The virtio socket device, [virtio/1.2] 5.10, without a transport.
// Modelled: stream sockets between the guest and the host (CID 2), opened from either side, with credits; half-closed
//   connections; TRANSPORT_RESET after the device's state was restored.
// Left out: SEQPACKET (answered with RST), other guests (any CID but 2: RST), datagrams.
// Ignored: packets that are not from the guest's own CID, reserved flags.
//
// At most StreamHub::max_streams connections at a time; one more is refused with RST. What a program of the host does
// not take waits in StreamHub::buffer_size bytes for each connection, which is the credit that the guest gets; a guest
// that sends more loses the connection. While the guest has no room for answers its packets are left in the queue.

namespace axvm::inline v1::virtio {

/// Hands packets between two queues and a hub of streams.
class VsockCore {
 public:
  static constexpr std::uint32_t device_type = device_type::socket;
  static constexpr std::array<std::uint32_t, 3> queue_sizes = {128, 128, 16};
  static constexpr std::size_t rx = 0, tx = 1, event = 2;
  /// Bytes of a stream in one packet to the guest, at most.
  static constexpr std::uint32_t largest_packet = 64 * KiB;
  /// How many bytes one round may move before others get their turn.
  static constexpr std::uint64_t round_budget = MiB;

  /// All but the events must outlive it. `attend` is handed on to attend() by the device, with its transport.
  VsockCore(StreamHub& hub, std::uint32_t guest_cid, Events events, Callback attend, VsockCounters& counters)
      : config_{guest_cid}, counters_(counters), table_(hub, counters) {
    (void)events.watch(hub.descriptor(), Interest::Readable, attend);
  }
  VsockCore(VsockCore const&) = delete;
  VsockCore& operator=(VsockCore const&) = delete;

  [[nodiscard]] std::uint64_t features() const { return vsock_feature::STREAM; }
  [[nodiscard]] ConstBytes config() const { return bytes_of(config_); }

  template <Transport T>
  void notified(T& transport, std::size_t index) {
    live_ = true;
    if (index == event) return tell(transport);
    if (index == tx) receive(transport);
    work(transport);
  }

  /// The driver starts anew: no connection survives that.
  void reset() {
    forget();
    live_ = lost_connections_ = false;
  }

  /// The hub has events.
  template <Transport T>
  void attend(T& transport) {
    table_.listen();
    work(transport);
  }

  /// The device's state was restored, and with it none of the guest's connections.
  void restored() {
    forget();
    lost_connections_ = true;
  }

 private:
  using Connection = VsockConnection;
  using Phase = Connection::Phase;
  static constexpr std::uint32_t none = VsockTable::size;

  /// An RST for what is no connection.
  struct Refusal {
    std::uint64_t cid = 0;  ///< the address that the guest took for the host's
    std::uint32_t host_port = 0, guest_port = 0;
    std::uint16_t type = 0;
  };

  void forget() {
    table_.drop_all();
    refusals_count_ = 0;
  }

  /// What the host's side can do now, then what the guest is to be told.
  template <Transport T>
  void work(T& transport) {
    table_.advance();
    if (!live_) return;
    const bool was_full = refusals_count_ == refusals_.size();
    send(transport);
    // There were packets left in the queue for want of room for answers.
    if (was_full && refusals_count_ != refusals_.size()) (void)transport.again();
  }

  // ---- what the guest sends

  template <Transport T>
  void receive(T& transport) {
    Queue& queue = transport.queue(tx);
    Round round(queue);
    std::uint64_t moved = 0;
    while (refusals_count_ != refusals_.size() && round.pop(chain_)) {
      std::array<std::byte, sizeof(VsockHeader)> raw{};
      if (!gather(chain_.readable(), 0, Bytes(raw).first(VsockHeader::size))) {
        queue.fail(RingFault::BadRequest);
        break;
      }
      VsockHeader header;
      std::memcpy(&header, raw.data(), sizeof header);
      if (header.src_cid == config_.guest_cid) handle(header);
      queue.push(chain_.head(), 0);
      moved += chain_.readable_size();
      if (moved > round_budget && transport.again()) break;
    }
    if (refusals_count_ == refusals_.size()) queue.refresh();  // for want of room: the next may find some
    transport.completed(tx);
  }

  void handle(VsockHeader const& header) {
    const auto op = static_cast<VsockOp>(header.op);
    if (header.dst_cid != vsock_host_cid || header.type != VsockHeader::STREAM ||
        header.len > chain_.readable_size() - VsockHeader::size) {
      if (op != VsockOp::RST) refuse(header);
      return;
    }
    const std::uint32_t number = table_.find(header.dst_port, header.src_port);
    if (number == none) {
      if (op == VsockOp::REQUEST ? !table_.open(header) : op != VsockOp::RST) refuse(header);
      return;
    }
    if (op == VsockOp::RST) return table_.drop(number);
    Connection& connection = table_[number];
    if (connection.is_dead()) return;
    connection.peer_buf_alloc = header.buf_alloc;
    connection.peer_fwd_cnt = header.fwd_cnt;
    const bool asked = connection.phase == Phase::Requested && (connection.owed & Connection::request) == 0;
    if (asked && op == VsockOp::RESPONSE) return table_.opened(number);
    if (connection.phase != Phase::Open) return table_.abort(number);
    switch (op) {
      case VsockOp::RW:
        return table_.take(number, narrow(chain_.readable(), VsockHeader::size, header.len), header.len);
      case VsockOp::SHUTDOWN:
        if ((header.flags & VsockHeader::SHUTDOWN_RCV) != 0) connection.guest_receives = false;
        if ((header.flags & VsockHeader::SHUTDOWN_SEND) != 0) connection.guest_sends = false;
        return;
      case VsockOp::CREDIT_REQUEST: connection.owed |= Connection::credit_update; return;
      case VsockOp::CREDIT_UPDATE: return;
      default: return table_.abort(number);
    }
  }

  void refuse(VsockHeader const& header) {
    refusals_[(refusals_head_ + refusals_count_++) % refusals_.size()] = {header.dst_cid, header.dst_port,
                                                                          header.src_port, header.type};
  }

  // ---- what the guest is sent

  /// Fills the guest's buffers with what it is owed, connection after connection.
  template <Transport T>
  void send(T& transport) {
    Queue& queue = transport.queue(rx);
    std::uint32_t room = queue.refresh();
    std::uint64_t moved = 0;
    std::uint32_t idle = 0;  // connections in a row without anything
    while (room != 0 && queue.running() && (refusals_count_ != 0 || idle != none)) {
      if (refusals_count_ == 0 && !has_something(turn_)) {
        turn_ = (turn_ + 1) % none;
        ++idle;
        continue;
      }
      idle = 0;
      if (!queue.pop(chain_)) break;
      --room;
      if (chain_.writable_size() < VsockHeader::size) {
        queue.fail(RingFault::BadRequest);
        break;
      }
      VsockHeader header = refusals_count_ != 0 ? next_refusal() : next_of(turn_);
      moved += header.len;
      if (!scatter(chain_.writable(), 0, bytes_of(header).first(VsockHeader::size))) break;
      queue.push(chain_.head(), static_cast<std::uint32_t>(VsockHeader::size) + header.len);
      if (moved > round_budget && transport.again()) break;
    }
    transport.completed(rx);
  }

  [[nodiscard]] bool has_something(std::uint32_t number) {
    return table_[number].owed != 0 || table_[number].can_forward();
  }

  VsockHeader next_refusal() {
    const Refusal refusal = refusals_[refusals_head_];
    refusals_head_ = (refusals_head_ + 1) % static_cast<std::uint32_t>(refusals_.size());
    --refusals_count_;
    counters_.resets.add();
    VsockHeader header;
    header.src_cid = refusal.cid;
    header.dst_cid = config_.guest_cid;
    header.src_port = refusal.host_port;
    header.dst_port = refusal.guest_port;
    header.type = refusal.type;
    header.op = static_cast<std::uint16_t>(VsockOp::RST);
    return header;
  }

  /// The next packet of a connection, whose bytes are then in the chain. There always is one: a credit update, where
  /// the stream has nothing after all.
  VsockHeader next_of(std::uint32_t number) {
    Connection& connection = table_[number];
    VsockHeader header;
    header.src_cid = vsock_host_cid;
    header.dst_cid = config_.guest_cid;
    header.src_port = connection.host_port;
    header.dst_port = connection.guest_port;
    header.type = VsockHeader::STREAM;
    const VsockOp op = choose(number, header);
    header.op = static_cast<std::uint16_t>(op);
    if (op == VsockOp::RST) {
      counters_.resets.add();
      table_.drop(number);
    } else {
      header.buf_alloc = Connection::room;
      header.fwd_cnt = connection.told_fwd_cnt = connection.fwd_cnt;
      turn_ = (turn_ + 1) % none;
    }
    return header;
  }

  VsockOp choose(std::uint32_t number, VsockHeader& header) {
    Connection& connection = table_[number];
    if (connection.take_owed(Connection::reset)) return VsockOp::RST;
    if (connection.take_owed(Connection::request)) return VsockOp::REQUEST;
    if (connection.take_owed(Connection::response)) return VsockOp::RESPONSE;
    if (connection.can_forward() && forward(number, header)) return VsockOp::RW;
    if (connection.take_owed(Connection::shutdown)) {
      header.flags = VsockHeader::SHUTDOWN_SEND | (connection.host_receives ? 0 : VsockHeader::SHUTDOWN_RCV);
      return VsockOp::SHUTDOWN;
    }
    (void)connection.take_owed(Connection::credit_update);
    return VsockOp::CREDIT_UPDATE;
  }

  /// Reads from the stream straight into the guest's buffer, behind the header's place. Whether there was anything.
  bool forward(std::uint32_t number, VsockHeader& header) {
    Connection& connection = table_[number];
    std::uint64_t most = chain_.writable_size() - VsockHeader::size;
    if (most > connection.credit()) most = connection.credit();
    if (most > largest_packet) most = largest_packet;
    std::uint64_t skip = VsockHeader::size;
    for (Segment const& segment : chain_.writable()) {
      if (skip >= segment.size) {
        skip -= segment.size;
        continue;
      }
      const std::uint64_t here = segment.size - skip < most - header.len ? segment.size - skip : most - header.len;
      if (here == 0) break;
      const std::size_t got = table_.read(number, {segment.data + skip, static_cast<std::size_t>(here)});
      skip = 0;
      header.len += static_cast<std::uint32_t>(got);
      if (got < here) break;
    }
    connection.tx_cnt += header.len;
    return header.len != 0;
  }

  /// Tells the guest, once it has a buffer for that, that its connections are no more.
  template <Transport T>
  void tell(T& transport) {
    Queue& queue = transport.queue(event);
    queue.refresh();
    if (lost_connections_ && queue.pop(chain_)) {
      const VsockEvent transport_reset{};
      if (scatter(chain_.writable(), 0, bytes_of(transport_reset))) {
        queue.push(chain_.head(), sizeof transport_reset);
        lost_connections_ = false;
      } else {
        queue.fail(RingFault::BadRequest);
      }
    }
    transport.completed(event);
  }

  VsockConfig config_;
  VsockCounters& counters_;
  VsockTable table_;
  bool live_ = false;                   ///< the driver works with its queues
  bool lost_connections_ = false;       ///< the guest is to be told so
  std::uint32_t turn_ = 0;              ///< the connection that is looked at next
  std::array<Refusal, 64> refusals_{};  ///< a ring
  std::uint32_t refusals_head_ = 0, refusals_count_ = 0;
  std::array<Segment, 128 + GuestMemory::max_regions> segments_{};
  Chain chain_{segments_};
};

static_assert(Core<VsockCore> && are_queue_sizes(VsockCore::queue_sizes));

}  // namespace axvm::inline v1::virtio
