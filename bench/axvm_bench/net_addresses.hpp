#pragma once

// Where the two ends of bench/network find each other.
#include <netinet/in.h>

#include <cstdint>

namespace net {

inline constexpr std::uint32_t host = 0x0a09'0001;   ///< 10.9.0.1
inline constexpr std::uint32_t guest = 0x0a09'0002;  ///< 10.9.0.2
inline constexpr std::uint32_t mask = 0xffff'ff00;   ///< of both

inline constexpr std::uint16_t swallow = 7001;    ///< TCP: reads until the end, then answers with a byte
inline constexpr std::uint16_t give = 7002;       ///< TCP: reads how many bytes, 64 bits, and sends as many
inline constexpr std::uint16_t echo = 7003;       ///< TCP: sends back what comes
inline constexpr std::uint16_t datagrams = 7010;  ///< UDP: this port and the one behind it; nobody reads them
inline constexpr unsigned most_senders = 2;       ///< of datagrams, and so many ports

/// An address as sockets have it.
inline sockaddr_in address(std::uint32_t who, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = __builtin_bswap16(port);
  made.sin_addr.s_addr = __builtin_bswap32(who);
  return made;
}

}  // namespace net
