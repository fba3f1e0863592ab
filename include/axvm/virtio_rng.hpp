#pragma once

// Random numbers: VirtioRng, and the system as their source.

#include <axvm/io/system_entropy.hpp>
#include <axvm/virtio/rng.hpp>
