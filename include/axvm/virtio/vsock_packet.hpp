#pragma once

#include <cstddef>
#include <cstdint>

namespace axvm::inline v1::virtio {

/// Feature bits of the socket device, [virtio/1.2] 5.10.3.
namespace vsock_feature {
inline constexpr std::uint64_t STREAM = 1ull << 0;     ///< stream sockets
inline constexpr std::uint64_t SEQPACKET = 1ull << 1;  ///< never offered
}  // namespace vsock_feature

/// struct virtio_vsock_config, [virtio/1.2] 5.10.4.
struct VsockConfig {
  std::uint64_t guest_cid = 0;  ///< the guest's address; the upper 32 bits are zero
};
static_assert(sizeof(VsockConfig) == 8);

/// The addresses that mean something to everybody, [virtio/1.2] 5.10.4.1.
inline constexpr std::uint64_t vsock_host_cid = 2;
inline constexpr std::uint64_t vsock_first_guest_cid = 3;

/// VIRTIO_VSOCK_OP_*, [virtio/1.2] 5.10.6.
enum class VsockOp : std::uint16_t {
  INVALID = 0,
  REQUEST = 1,         ///< opens a connection
  RESPONSE = 2,        ///< accepts it
  RST = 3,             ///< ends it, or refuses it
  SHUTDOWN = 4,        ///< says what the sender will not do any more: `flags`
  RW = 5,              ///< carries bytes
  CREDIT_UPDATE = 6,   ///< tells buf_alloc and fwd_cnt, as all do
  CREDIT_REQUEST = 7,  ///< asks for one
};

/// virtio_vsock_hdr, [virtio/1.2] 5.10.6: what every packet begins with.
struct VsockHeader {
  std::uint64_t src_cid = 0;
  std::uint64_t dst_cid = 0;
  std::uint32_t src_port = 0;
  std::uint32_t dst_port = 0;
  std::uint32_t len = 0;  ///< bytes that follow
  std::uint16_t type = 0;
  std::uint16_t op = 0;  ///< VsockOp
  std::uint32_t flags = 0;
  std::uint32_t buf_alloc = 0;  ///< the sender's room for the stream, bytes
  std::uint32_t fwd_cnt = 0;    ///< bytes of the stream that have left it again; counts modulo 2^32

  static constexpr std::size_t size = 44;  ///< in the queue: no padding
  static constexpr std::uint16_t STREAM = 1;
  static constexpr std::uint32_t SHUTDOWN_RCV = 1u << 0;   ///< the sender will receive no more
  static constexpr std::uint32_t SHUTDOWN_SEND = 1u << 1;  ///< the sender will send no more
};
static_assert(offsetof(VsockHeader, fwd_cnt) == 40 && offsetof(VsockHeader, type) == 28);

/// struct virtio_vsock_event, [virtio/1.2] 5.10.6.7. The only id is 0, TRANSPORT_RESET: all connections are gone.
struct VsockEvent {
  std::uint32_t id = 0;
};

}  // namespace axvm::inline v1::virtio
