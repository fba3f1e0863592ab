#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <string_view>

#include <axvm/core/result.hpp>

namespace axvm::kvm::inline v1 {

/// A capability of KVM this project builds on ([linux/kvm] 4.4, 8).
struct Capability {
  int number;
  std::string_view name;
};

/// What KVM must have. Everything here has been in Linux since 4.14.
inline constexpr std::array required_capabilities{
    Capability{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    Capability{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    Capability{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
    Capability{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    Capability{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    Capability{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    Capability{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    Capability{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    Capability{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    Capability{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

/// The only version of the KVM interface there has ever been since 2.6.22.
inline constexpr int api_version = 12;

/// Asks a KVM (by two functions, so that a test can play one) for its version and for every required capability;
/// the error names all that is missing.
template <class Version, class Check>
Result<> check_requirements(Version&& version, Check&& check) {
  const int found = version();
  if (found != api_version)
    return failure(ErrorCode::Unsupported,
                   text<1023>("use KVM: its API version is ", found, ", needed is ", api_version),
                   "run on Linux 4.14 or later with the kvm module loaded");
  Text<1023> missing;
  for (Capability const& capability : required_capabilities)
    if (check(capability.number) <= 0) missing.append(missing.empty() ? "" : ", ").append(capability.name);
  if (missing.empty()) return {};
  return failure(ErrorCode::Unsupported, text<1023>("use KVM: it lacks ", missing),
                 "run on Linux 4.14 or later on a processor with hardware virtualisation");
}

}  // namespace axvm::kvm::inline v1
