#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>

namespace axvm::inline v1 {

/// How bad an error is, mildest first.
enum class Severity : std::uint8_t { Info, Warning, Error, Critical, Fatal };

/// The name of a severity as a person reads it.
constexpr std::string_view name_of(Severity severity) {
  constexpr std::string_view names[] = {"info", "warning", "error", "critical", "fatal"};
  return names[static_cast<std::size_t>(severity)];
}

/// What kind of thing went wrong; a program decides by it, a person reads the text.
enum class ErrorCode : std::uint8_t {
  InvalidArgument,   ///< a value given by the user is not acceptable
  OutOfRange,        ///< a number or an address lies outside its range
  NotFound,          ///< a file or an object does not exist
  PermissionDenied,  ///< the host does not let this process do it
  Unsupported,       ///< the host, the hypervisor or the guest image lacks a feature
  HostMismatch,      ///< the host does not meet the CPU profile's requirements
  BadImage,          ///< a kernel, initrd or disk image is malformed
  OutOfMemory,       ///< memory of the host or of the guest does not suffice
  InvalidState,      ///< the machine's state does not allow the request
  HostIo,            ///< a system call failed
  Hypervisor,        ///< the hypervisor refused an operation or could not enter the guest
};

/// What failed, where, and what to do about it. Plain value; no allocation.
struct Error {
  ErrorCode code = ErrorCode::InvalidArgument;
  Severity severity = Severity::Error;
  /// What was being done, to what, and what was found, with the numbers: "open disk image build/a.img".
  Text<1023> operation;
  /// errno of the system call that failed, or 0.
  int os_error = 0;
  /// What the user can do; empty when there is nothing to advise.
  Text<511> hint;

  /// Whether the machine can go on after it (Info to Error).
  [[nodiscard]] constexpr bool is_recoverable() const { return severity <= Severity::Error; }
  /// Whether the machine must stop because of it (Critical, Fatal).
  [[nodiscard]] constexpr bool requires_shutdown() const { return severity >= Severity::Critical; }
};

/// Several errors as one: each on a line of its own, so that a user can mend all of them in one go.
/// The code and severity are those of the worst (the first of equals). `errors` must not be empty.
[[gnu::cold, AXVM_ONCE]] constexpr Error combine(std::span<const Error> errors) {
  if (errors.size() == 1) return errors[0];
  Error all = errors[0];
  all.operation = text<1023>(errors.size(), " problems:");
  all.os_error = 0;
  all.hint = {};
  for (Error const& error : errors) {
    if (error.severity > all.severity) {
      all.severity = error.severity;
      all.code = error.code;
    }
    all.operation.append("\n  ").append(error.operation.view());
    if (error.os_error != 0) all.operation.append(" (errno ").append(error.os_error).append(")");
    if (!error.hint.empty()) all.operation.append(": ").append(error.hint.view());
  }
  return all;
}

}  // namespace axvm::inline v1
