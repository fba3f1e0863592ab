#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/stream_hub.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/system_part.hpp>
#include <axvm/io/unix_socket.hpp>

namespace axvm::inline v1 {

/// The streams of a device as sockets of the file system: programs connect to PATH; a stream to port N goes to the
/// program that listens at PATH_N.
class SocketHub {
 public:
  [[nodiscard, gnu::cold, AXVM_ONCE]] static Result<StreamHub> open(std::string_view path) {
    auto listener = UnixListener::open(path);
    if (!listener) return std::unexpected(listener.error());
    auto made = std::make_unique<SocketHub>();
    made->path_ = path;
    made->listener_ = std::move(*listener);
    made->poll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    if (!made->poll_ || !made->watch(made->listener_.get(), StreamEvent::arrival))
      return failure(ErrorCode::HostIo, text<1023>("watch the socket ", path),
                     "raise the limit on open files (ulimit -n)", errno);
    return StreamHub(made.release(), &operations);
  }

 private:
  struct Stream {
    Descriptor socket;
    std::unique_ptr<std::byte[]> buffer;
  };

  static SocketHub& of(void* self) { return *static_cast<SocketHub*>(self); }

  /// For edges: each change is told once.
  bool watch(int descriptor, std::uint32_t number) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u32 = number;
    return ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
  }

  bool take(std::uint32_t number, Descriptor socket) {
    if (!socket) return false;
    Stream& stream = streams_[number];
    stream.buffer.reset(new (std::nothrow) std::byte[StreamHub::buffer_size]);
    if (stream.buffer == nullptr || !watch(socket.get(), number)) return false;
    stream.socket = std::move(socket);
    return true;
  }

  bool connect(std::uint32_t number, std::uint32_t port) {
    const auto path = text<127>(path_, "_", port);
    return !path.truncated() && take(number, connect_unix(path));
  }

  static std::size_t events(void* self, std::span<StreamEvent> into) {
    std::array<epoll_event, 16> found;
    const auto most = static_cast<int>(into.size() < found.size() ? into.size() : found.size());
    const int count = ::epoll_wait(of(self).poll_.get(), found.data(), most, 0);
    for (int i = 0; i < count; ++i) {
      epoll_event const& event = found[static_cast<std::size_t>(i)];
      into[static_cast<std::size_t>(i)] = {.stream = event.data.u32,
                                           .readable = (event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0,
                                           .writable = (event.events & (EPOLLOUT | EPOLLERR)) != 0,
                                           .ended = (event.events & (EPOLLRDHUP | EPOLLHUP)) != 0,
                                           .hung_up = (event.events & (EPOLLHUP | EPOLLERR)) != 0};
    }
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  static StreamTransfer outcome(ssize_t moved, bool end_is_zero) {
    if (moved > 0) return {.count = static_cast<std::size_t>(moved)};
    return {.over = moved == 0 ? end_is_zero : errno != EAGAIN};
  }
  StreamTransfer read(std::uint32_t number, Bytes into) {
    return outcome(retry_interrupted(
                       [&] { return ::recv(streams_[number].socket.get(), into.data(), into.size(), MSG_DONTWAIT); }),
                   !into.empty());
  }
  StreamTransfer write(std::uint32_t number, ConstBytes from) {
    return outcome(retry_interrupted([&] {
                     return ::send(streams_[number].socket.get(), from.data(), from.size(),
                                   MSG_DONTWAIT | MSG_NOSIGNAL);
                   }),
                   false);
  }

  static const StreamHub::Operations operations;

  Text<107> path_;
  UnixListener listener_;
  Descriptor poll_;
  std::array<Stream, StreamHub::max_streams> streams_;
};

inline constexpr StreamHub::Operations SocketHub::operations{
    .descriptor = [](void* self) { return of(self).poll_.get(); },
    .events = events,
    .accept = [](void* self, std::uint32_t stream) { return of(self).take(stream, of(self).listener_.accept()); },
    .connect = [](void* self, std::uint32_t stream, std::uint32_t port) { return of(self).connect(stream, port); },
    .read = [](void* self, std::uint32_t stream, Bytes into) { return of(self).read(stream, into); },
    .write = [](void* self, std::uint32_t stream, ConstBytes from) { return of(self).write(stream, from); },
    .buffer =
        [](void* self, std::uint32_t stream) {
          return Bytes(of(self).streams_[stream].buffer.get(), StreamHub::buffer_size);
        },
    .finish = [](void* self, std::uint32_t stream) { ::shutdown(of(self).streams_[stream].socket.get(), SHUT_WR); },
    .drop = [](void* self, std::uint32_t stream) { of(self).streams_[stream] = {}; },
    .close = [](void* self) { delete static_cast<SocketHub*>(self); },
};

template <>
struct SystemPart<HostPart::Streams> {
  static constexpr void add(Host::Operations& to) {
    to.streams = [](void*, Path const& path) { return SocketHub::open(path); };
  }
};

}  // namespace axvm::inline v1
