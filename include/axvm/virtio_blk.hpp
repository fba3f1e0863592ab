#pragma once

// Disks: VirtioBlk, and the files of the system that are their images.

#include <axvm/io/block_file.hpp>
#include <axvm/virtio/blk.hpp>
