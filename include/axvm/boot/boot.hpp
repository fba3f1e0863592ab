#pragma once

#include <axvm/boot/boot_params.hpp>
#include <axvm/boot/bzimage.hpp>
#include <axvm/boot/cmdline.hpp>
#include <axvm/boot/context.hpp>
#include <axvm/boot/e820.hpp>
#include <axvm/boot/elf_kernel.hpp>
#include <axvm/boot/entry.hpp>
#include <axvm/boot/flat.hpp>
#include <axvm/boot/free_memory.hpp>
#include <axvm/boot/kernel_slide.hpp>
#include <axvm/boot/linux.hpp>
#include <axvm/boot/payload.hpp>
#include <axvm/boot/setup_header.hpp>
