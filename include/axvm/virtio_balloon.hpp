#pragma once

// The balloon, VirtioBalloon, which needs nothing of the system.

#include <axvm/virtio/balloon.hpp>
