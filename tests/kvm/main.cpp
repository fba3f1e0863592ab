#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include <axvm/hv/kvm/kvm.hpp>

#include "guest.hpp"

char const* skipped = nullptr;

int main(int argc, char** argv) {
  if (auto kvm = axvm::kvm::Kvm::open(); !kvm) {
    std::printf("no usable KVM on this machine: %s\n", kvm.error().operation.c_str());
    return 77;
  }
  doctest::Context context(argc, argv);
  const int status = context.run();
  if (status != 0 || skipped == nullptr || context.shouldExit()) return status;
  std::printf("%s\n", skipped);
  return 77;
}
