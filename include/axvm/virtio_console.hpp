#pragma once

// Consoles: VirtioConsole, and the terminals, pseudo-terminals and sockets of the system for them.

#include <axvm/io/system_characters.hpp>
#include <axvm/virtio/console.hpp>
