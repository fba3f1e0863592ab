// libFuzzer target: a kernel file from anyone. Whatever its bytes are, the loader either refuses it and writes nothing,
// or everything it decided lies in guest RAM and apart from everything else.
//
// The first 8 bytes of an input choose the rest of the load: RAM in pieces of 64 KiB (16 bits), the length of the
// command line (16 bits), the initrd's size in pages (16 bits), the entry (8 bits), a second region of RAM (8 bits).
// The kernel file follows.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <axvm/boot/boot.hpp>

namespace {

using namespace axvm;

constexpr std::uint64_t ram_size = 48_MiB;

void require(bool condition) {
  if (!condition) std::abort();
}

bool apart(std::uint64_t a, std::uint64_t a_size, std::uint64_t b, std::uint64_t b_size) {
  return a + a_size <= b || b + b_size <= a;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static std::vector<std::byte> ram(ram_size);
  static std::vector<std::byte> const initrd_bytes(16_MiB, std::byte{0x55});
  static std::string const cmdline_bytes(0x1'0000, 'x');
  static std::vector<std::byte> const seed(32, std::byte{0xaa});

  ConstBytes input = std::as_bytes(std::span(data, size));
  if (input.size() < 8) return 0;
  std::uint64_t low = *load<std::uint16_t>(input, 0) * 64_KiB % (ram_size + 1);
  std::uint64_t cmdline = *load<std::uint16_t>(input, 2);
  std::uint64_t initrd = *load<std::uint16_t>(input, 4) % 4096 * 4_KiB;
  auto entry = static_cast<boot::Entry>(data[6] % 3);
  std::uint64_t gap = data[7] * 64_KiB;

  // The second region starts after a gap, so that placing has something to go around.
  std::array<GuestRegion, 2> regions{{{0, low, ram.data()}, {low + gap, ram_size - low, ram.data() + low}}};
  boot::Context context{
      .memory = GuestMemory(std::span<const GuestRegion>(regions.data(), gap == 0 ? 1u : 2u)),
      .map = {},
      .rsdp = 0xe'0000,
      .rng_seed = seed,
  };
  boot::LinuxImage image{.kernel = input.subspan(8),
                         .initrd = std::span(initrd_bytes).first(initrd),
                         .cmdline = std::string_view(cmdline_bytes).substr(0, cmdline),
                         .entry = entry};

  auto plan = boot::plan_linux(image, context);
  auto state = boot::load_linux(image, context);
  require(plan.has_value() == state.has_value());
  if (!plan) {
    require(!plan.error().operation.empty() && !plan.error().operation.truncated());
    return 0;
  }
  require(plan->kernel >= 1_MiB);
  require(context.memory.at(plan->kernel, plan->footprint) != nullptr);
  require(plan->footprint >= plan->image.protected_mode().size());
  if (plan->image.relocatable()) require(plan->kernel % plan->alignment == 0);
  if (initrd != 0) {
    require(plan->initrd >= 1_MiB && plan->initrd % 4096 == 0);
    require(context.memory.at(plan->initrd, initrd) != nullptr);
    require(apart(plan->initrd, initrd, plan->kernel, plan->footprint));
    require(plan->initrd + initrd - 1 <= plan->image.header().initrd_addr_max);
  }
  require(state->general.rip >= plan->kernel &&
          state->general.rip < plan->kernel + plan->image.protected_mode().size());
  auto params = context.memory.load<boot::BootParams>(boot::LowMemory::boot_params);
  require(params && params->sentinel == 0 && params->e820_entries >= 4 && params->e820_entries <= 128);
  require(params->hdr.cmd_line_ptr == boot::LowMemory::cmdline);
  require(context.memory.load<char>(boot::LowMemory::cmdline + cmdline) == '\0');
  return 0;
}
