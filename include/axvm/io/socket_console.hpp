#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string_view>

#include <axvm/core/result.hpp>
#include <axvm/device/character_port.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/unix_socket.hpp>

namespace axvm::inline v1 {

/// A guest's console on a socket: whoever connects sees what is written from then on and types. One at a time; the next
/// one waits until it has gone. What is written while nobody is connected is dropped.
class SocketConsole {
 public:
  [[nodiscard, gnu::cold]] static Result<CharacterConnection> open(std::string_view path) {
    auto listener = UnixListener::open(path);
    if (!listener) return std::unexpected(listener.error());
    auto made = std::make_unique<SocketConsole>();
    made->listener_ = std::move(*listener);
    made->poll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    if (!made->poll_ || !made->watch(made->listener_.get()))
      return failure(ErrorCode::HostIo, text<1023>("watch the socket ", path),
                     "raise the limit on open files (ulimit -n)", errno);
    auto* const self = made.release();
    return CharacterConnection(self, &connection_operations, {self, &port_operations});
  }

 private:
  static SocketConsole& of(void* self) { return *static_cast<SocketConsole*>(self); }

  bool watch(int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    return ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
  }

  /// Takes the next client if there is none. While there is one the listener is not watched.
  void accept() {
    if (client_) return;
    client_ = listener_.accept();
    if (!client_) return;
    ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
    if (!watch(client_.get())) leave();
  }
  void leave() {
    client_ = Descriptor();  // closing takes it out of poll_
    watch(listener_.get());
  }

  static std::size_t write(void* self, ConstBytes bytes) {
    SocketConsole& console = of(self);
    console.accept();
    if (!console.client_) return bytes.size();
    const ssize_t sent = retry_interrupted(
        [&] { return ::send(console.client_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN) return 0;
    console.leave();
    return bytes.size();
  }
  static std::size_t read(void* self, Bytes into) {
    SocketConsole& console = of(self);
    console.accept();
    if (!console.client_) return 0;
    const ssize_t got =
        retry_interrupted([&] { return ::recv(console.client_.get(), into.data(), into.size(), MSG_DONTWAIT); });
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0 || errno != EAGAIN) console.leave();
    return 0;
  }
  static bool wait(void* self, int milliseconds) {
    pollfd poll{of(self).client_.get(), POLLOUT, 0};
    return of(self).client_ && ::poll(&poll, 1, milliseconds) == 1;
  }

  static const CharacterPort::Operations port_operations;
  static const CharacterConnection::Operations connection_operations;

  UnixListener listener_;
  Descriptor client_;
  Descriptor poll_;
};

// The descriptor to watch for input stays the same whoever is connected. There is none to watch for room: clients come
// and go, and who waits for room asks again after a while.
inline constexpr CharacterPort::Operations SocketConsole::port_operations{
    .write = write,
    .read = read,
    .input = [](void* self) { return of(self).poll_.get(); },
    .output = [](void*) { return -1; },
    .wait = wait,
};
inline constexpr CharacterConnection::Operations SocketConsole::connection_operations{
    .close = [](void* self) { delete static_cast<SocketConsole*>(self); },
};

}  // namespace axvm::inline v1
