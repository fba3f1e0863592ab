// libFuzzer target: what comes out of a kernel's payload, from anyone. Whatever its bytes are, the loader either
// refuses it and writes nothing, or writes within the memory that the kernel's header asks for, from its entry on.
//
// The first 8 bytes of an input are the random number that chooses the kernel's virtual addresses. The ELF file and its
// relocations follow.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <axvm/boot/boot.hpp>

#include "boot_image.hpp"

namespace {

using namespace axvm;

void require(bool condition) {
  if (!condition) std::abort();
}

// RAM for the loader's own things, and RAM from the kernel's address on, a little more than the kernel asks for.
constexpr std::uint64_t low_size = 1_MiB;
constexpr GuestAddress kernel_base = 16_MiB;
constexpr std::uint64_t footprint = 2_MiB + 64_KiB;
constexpr std::uint64_t high_size = footprint + 64_KiB;
constexpr int fresh = 0x5a;

std::vector<std::byte> kernel_file() {
  SyntheticKernel kernel;
  kernel.header.init_size = static_cast<std::uint32_t>(footprint);
  return kernel.build();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static std::vector<std::byte> low(low_size), high(high_size);
  static std::vector<std::byte> const untouched(high_size, static_cast<std::byte>(fresh));
  static std::vector<std::byte> const file = kernel_file();
  const ConstBytes input = std::as_bytes(std::span(data, size));
  if (input.size() < 9) return 0;

  std::memset(high.data(), fresh, high_size);
  const std::array<GuestRegion, 2> regions{{{0, low_size, low.data()}, {kernel_base, high_size, high.data()}}};
  const boot::Context context{
      .memory = GuestMemory(regions), .map = {}, .rsdp = {}, .rng_seed = {}, .random = *load<std::uint64_t>(input, 0)};
  const boot::LinuxImage image{.kernel = file, .initrd = {}, .cmdline = "quiet", .unpacked = input.subspan(8)};

  const auto plan = boot::plan_linux(image, context);
  const auto state = boot::load_linux(image, context);
  require(plan.has_value() == state.has_value());
  if (!plan) {
    require(plan.error().code == ErrorCode::BadImage && !plan.error().operation.truncated());
    require(std::memcmp(high.data(), untouched.data(), high_size) == 0);
    return 0;
  }
  require(plan->kernel == kernel_base && plan->footprint == footprint);
  require(std::memcmp(high.data() + footprint, untouched.data(), high_size - footprint) == 0);
  require(state->general.rip >= kernel_base && state->general.rip < kernel_base + footprint);
  require(plan->slide % 2_MiB == 0 && kernel_base + plan->slide + footprint <= 1_GiB);
  return 0;
}
