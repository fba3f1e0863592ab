#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ports.hpp"

// The image that has no operating system and no C library, as a guest.

namespace {

/// Keeps what the guest writes.
struct TextPort {
  static constexpr auto claims = axvm::claims(axvm::Pio{.base = report::text_port, .size = 1});
  struct Config {};
  TextPort(Config const&, axvm::DeviceContext&) {}
  void read(axvm::PioAccess&) {}
  void write(axvm::PioAccess const& access) { text += static_cast<char>(access.value); }
  std::string text;
};
using M = axvm::Machine<axvm::Bare, axvm::Devices<TextPort, axvm::DebugExitAt<report::end_port>>>;

std::string image_path;

}  // namespace

TEST_CASE("UART, PIT and a virtqueue work in a program without a C library") {
  std::ifstream file(image_path, std::ios::binary);
  REQUIRE(file.good());
  std::vector<char> const bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::uint8_t> const code(bytes.begin(), bytes.end());

  auto machine = M::create({.memory = 4 * axvm::MiB});
  REQUIRE_MESSAGE(machine, axvm::describe(machine.error()));
  REQUIRE(machine->load(axvm::FlatCode{code}));
  const auto end = machine->run();
  REQUIRE_MESSAGE(end, axvm::describe(end.error()));
  CHECK(*end == axvm::End::Finished);
  CHECK(machine->device<TextPort>()->text == "axvm without an operating system\n");
  const auto* result = machine->device<axvm::DebugExitAt<report::end_port>>();
  REQUIRE(result->written());
  CHECK_MESSAGE(result->value() == report::passed, "the check at image.cpp line ", result->value(), " failed");
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (auto kvm = axvm::kvm::Kvm::open(); !kvm) {
    std::printf("skipped: no usable KVM on this machine: %s\n", kvm.error().operation.c_str());
    return 77;
  }
  image_path = argv[1];
  doctest::Context context(argc - 1, argv + 1);
  return context.run();
}
