#pragma once

#include <sys/random.h>

#include <cerrno>
#include <cstddef>

#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/device/entropy.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/io/system_part.hpp>

namespace axvm::inline v1 {

/// The kernel's random numbers, which the guest's generator is as good as. The first call waits until the host has
/// gathered enough of them after its own start; from then on there always are.
[[nodiscard, gnu::cold, AXVM_ONCE]] inline Result<EntropySource> system_entropy() {
  std::byte probe;
  if (retry_interrupted([&] { return ::getrandom(&probe, 1, 0); }) != 1)
    return failure(ErrorCode::HostIo, "use random numbers of the host", "allow the system call getrandom", errno);
  return EntropySource(nullptr, [](void*, Bytes into) -> std::size_t {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t got = retry_interrupted([&] { return ::getrandom(into.data() + done, into.size() - done, 0); });
      if (got <= 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  });
}

template <>
struct SystemPart<HostPart::Entropy> {
  static constexpr void add(Host::Operations& to) {
    to.entropy = [](void*) { return system_entropy(); };
  }
};

}  // namespace axvm::inline v1
