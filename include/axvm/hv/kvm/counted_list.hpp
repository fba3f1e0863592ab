#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace axvm::kvm::inline v1 {

/// A list as KVM's interface passes it: a count, padding, entries; with room for `N` entries, all zero at first. The
/// kernel's own declarations (kvm_cpuid2, kvm_msrs) end in a flexible array behind an empty structure, which has a size
/// in C++: neither their layout nor the ioctl numbers made from their size are right there.
template <class Entry, std::size_t N>
struct CountedList {
  std::uint32_t count = 0;
  std::uint32_t padding = 0;
  std::array<Entry, N> entries{};
};

namespace detail {
struct ListHead {
  std::uint32_t count, padding;
};
}  // namespace detail

// [linux/kvm] 4.46, 4.20, 4.19, 4.52
inline constexpr unsigned long GET_SUPPORTED_CPUID = _IOWR(KVMIO, 0x05, detail::ListHead);
inline constexpr unsigned long SET_CPUID2 = _IOW(KVMIO, 0x90, detail::ListHead);
inline constexpr unsigned long SET_GSI_ROUTING = _IOW(KVMIO, 0x6a, detail::ListHead);
inline constexpr unsigned long SET_MSRS = _IOW(KVMIO, 0x89, detail::ListHead);

}  // namespace axvm::kvm::inline v1
