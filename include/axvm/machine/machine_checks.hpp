#pragma once

#include <atomic>
#include <span>
#include <string_view>

#include <axvm/compose/compose.hpp>
#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/host/host.hpp>

namespace axvm::inline v1::detail {

// What a machine checks and says that does not depend on its type, so that not each type has code of its own for it.

/// Takes a machine to its next state; InvalidState where that does not follow.
[[gnu::cold, AXVM_ONCE]] inline Result<> enter(std::atomic<MachineState>& state, MachineState next) {
  const MachineState now = state.load(std::memory_order_acquire);
  if (!may_follow(now, next))
    return failure(ErrorCode::InvalidState, text<1023>("make a machine ", name_of(next), " that is ", name_of(now)),
                   next == MachineState::Running ? "load a guest first" : "");
  state.store(next, std::memory_order_release);
  return {};
}

/// Whether this host has what a profile requires.
[[gnu::cold, AXVM_ONCE]] inline Result<> check_host(std::string_view profile,
                                                    std::span<const HostRequirement> requirements, HostCheck check,
                                                    Log log) {
  const HostReport report{profile, detect_host(), requirements};
  if (const auto lacks = report.missing_optional(); !lacks.empty())
    log(Severity::Info, text<1023>("this host lacks, and the profile ", profile, " does without: ", lacks));
  if (report.fits()) return {};
  const auto message = text<1023>("the profile ", profile, " does not fit this host: ", report.missing());
  if (check == HostCheck::warn) {
    log(Severity::Warning, message);
    return {};
  }
  return failure(ErrorCode::HostMismatch, message, "run on such a host, or go on regardless with --host-check=warn");
}

/// Whether a profile takes so many processors: at most `most`.
[[gnu::cold, AXVM_ONCE]] inline Result<> check_vcpus(std::string_view profile, unsigned vcpus, unsigned most,
                                                     bool has_interrupts) {
  if (vcpus >= 1 && vcpus <= most) return {};
  return failure(ErrorCode::OutOfRange,
                 text<1023>("use ", vcpus, " vCPUs: the profile ", profile,
                            has_interrupts ? " takes 1 to " : " without an interrupt controller takes 1 to ", most),
                 "give a number in this range");
}

[[gnu::cold, AXVM_ONCE]] inline void tell_of_exits(Log log, Error const& error) {
  log(Severity::Info, text<1023>("accesses to devices leave the guest more often than they need: ", error.operation));
}

}  // namespace axvm::inline v1::detail
