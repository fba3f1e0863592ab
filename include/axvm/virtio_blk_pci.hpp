#pragma once

// Disks on PCI: VirtioBlkPci, and the files of the system that are their images.

#include <axvm/io/block_file.hpp>
#include <axvm/virtio/blk_pci.hpp>
