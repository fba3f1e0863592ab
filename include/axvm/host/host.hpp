#pragma once

#include <axvm/host/affinity.hpp>
#include <axvm/host/describe_error.hpp>
#include <axvm/host/detect.hpp>
#include <axvm/host/device_lock.hpp>
#include <axvm/host/flat_code.hpp>
#include <axvm/host/host_source.hpp>
#include <axvm/host/kick.hpp>
#include <axvm/host/linux_boot.hpp>
