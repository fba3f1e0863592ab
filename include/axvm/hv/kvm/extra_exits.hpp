#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include <axvm/core/exit.hpp>
#include <axvm/core/list.hpp>
#include <axvm/core/result.hpp>

namespace axvm::kvm::inline v1 {

/// The accesses to registers that KVM passes on, as it wants to be told: ranges with a bit for each register, set for
/// those that stay with KVM ([linux/kvm] 4.97).
class MsrFilter {
 public:
  /// Adds the registers that are handled. Fails where they lie too far apart for the ranges there are, or KVM passes
  /// accesses on for nobody.
  [[nodiscard]] Result<> add(ExtraExits const& wanted) {
    if (auto added = add(wanted.msr_reads, KVM_MSR_FILTER_READ); !added) return added;
    return add(wanted.msr_writes, KVM_MSR_FILTER_WRITE);
  }

  [[nodiscard]] Result<> apply(int vm) {
    kvm_msr_filter request{};
    request.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
    std::size_t n = 0;
    ranges_.for_each([&](Range& range) {
      request.ranges[n++] = {
          .flags = range.access, .nmsrs = range.bytes * 8, .base = range.base, .bitmap = range.stays.data()};
    });
    if (::ioctl(vm, KVM_X86_SET_MSR_FILTER, &request) == 0) return {};
    return failure(ErrorCode::Hypervisor, "make KVM pass on accesses to registers", {}, errno);
  }

 private:
  struct Range {
    std::uint32_t access = 0, base = 0;
    std::uint32_t bytes = 0;  ///< of `stays`, up to the last register that is passed on
    std::array<std::uint8_t, KVM_MSR_FILTER_MAX_BITMAP_SIZE> stays{};

    void pass_on(std::uint32_t bit) {
      for (; bytes <= bit / 8; ++bytes) stays[bytes] = 0xff;
      stays[bit / 8] = static_cast<std::uint8_t>(stays[bit / 8] & ~(1u << bit % 8));
    }
  };
  static constexpr std::uint32_t widest = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8;  ///< registers in one range

  /// The lowest of these registers from `from` on; null when there is none.
  static std::uint32_t const* lowest(std::span<const std::uint32_t> registers, std::uint64_t from) {
    std::uint32_t const* lowest = nullptr;
    for (std::uint32_t const& index : registers)
      if (index >= from && (lowest == nullptr || index < *lowest)) lowest = &index;
    return lowest;
  }

  /// From the lowest register up: each range begins with the first one behind the range before it.
  Result<> add(std::span<const std::uint32_t> registers, std::uint32_t access) {
    std::uint64_t end = 0;
    while (std::uint32_t const* const first = lowest(registers, end)) {
      if (range_count_++ == KVM_MSR_FILTER_MAX_RANGES)
        return failure(ErrorCode::OutOfRange, text<1023>("handle registers from so many parts of the index space"),
                       "KVM takes 16 ranges of 12288 registers, reads and writes apart: handle fewer");
      Range& range = ranges_.add(access, *first);
      end = std::uint64_t{*first} + widest;
      for (std::uint32_t index : registers) {
        if (index < range.base || index >= end) continue;
        // x2APIC registers belong to the local APIC, whatever the filter says ([linux/kvm] 4.97).
        if (index >= 0x800 && index <= 0x8ff)
          return failure(ErrorCode::Unsupported, text<1023>("handle the register ", Hex{index}),
                         "KVM passes on no register of the local APIC, 0x800 to 0x8ff");
        range.pass_on(index - range.base);
      }
    }
    return {};
  }

  List<Range> ranges_;
  unsigned range_count_ = 0;
};

/// The only hypercall that KVM passes on without being a Xen: a change of the state of guest pages.
inline constexpr std::uint64_t HC_MAP_GPA_RANGE = 12;

/// Asks KVM for the exits that it makes on demand. Fails where this KVM does not have one of them.
[[nodiscard, gnu::cold]] inline Result<> request_extra_exits(int vm, ExtraExits const& wanted) {
  auto enable = [vm](std::uint32_t capability, std::uint64_t argument) {
    kvm_enable_cap request{};
    request.cap = capability;
    request.args[0] = argument;
    return ::ioctl(vm, KVM_CHECK_EXTENSION, capability) > 0 && ::ioctl(vm, KVM_ENABLE_CAP, &request) == 0;
  };
  const bool filtered = !wanted.msr_reads.empty() || !wanted.msr_writes.empty();
  if (filtered || wanted.unknown_msrs) {
    std::uint64_t reasons = filtered ? KVM_MSR_EXIT_REASON_FILTER : 0;
    if (wanted.unknown_msrs) reasons |= KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL;
    if (!enable(KVM_CAP_X86_USER_SPACE_MSR, reasons))
      return failure(ErrorCode::Unsupported, "make KVM pass on accesses to registers",
                     "handlers of registers need Linux 5.10 or later");
  }
  if (filtered) {
    MsrFilter filter;
    if (auto added = filter.add(wanted); !added) return added;
    if (auto applied = filter.apply(vm); !applied) return applied;
  }
  if (!wanted.any_hypercall()) return {};
  // KVM answers hypercalls itself, but for a guest of its Xen interface: there all of them come out.
  const int xen = ::ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM);
  if (xen > 0 && (xen & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL) != 0) {
    kvm_xen_hvm_config config{};
    config.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
    if (::ioctl(vm, KVM_XEN_HVM_CONFIG, &config) == 0) return {};
    return failure(ErrorCode::Hypervisor, "make KVM pass on hypercalls", {}, errno);
  }
  bool only_that = !wanted.all_hypercalls;
  for (std::uint64_t number : wanted.hypercalls) only_that &= number == HC_MAP_GPA_RANGE;
  if (only_that && enable(KVM_CAP_EXIT_HYPERCALL, 1u << HC_MAP_GPA_RANGE)) return {};
  return failure(ErrorCode::Unsupported, "make KVM pass on hypercalls: this one is built without CONFIG_KVM_XEN",
                 "let the guest use a port or a register instead (OnMsr), or run on a kernel that has it");
}

}  // namespace axvm::kvm::inline v1
