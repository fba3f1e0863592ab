#pragma once

#include <axvm/io/block_file.hpp>
#include <axvm/io/block_shape.hpp>
#include <axvm/io/console.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/event_loop.hpp>
#include <axvm/io/file.hpp>
#include <axvm/io/io_uring.hpp>
#include <axvm/io/pseudo_terminal.hpp>
#include <axvm/io/socket_console.hpp>
#include <axvm/io/socket_hub.hpp>
#include <axvm/io/system_entropy.hpp>
#include <axvm/io/system_host.hpp>
#include <axvm/io/tap.hpp>
#include <axvm/io/terminal.hpp>
#include <axvm/io/thread.hpp>
#include <axvm/io/unix_socket.hpp>
