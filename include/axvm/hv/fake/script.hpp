#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <axvm/core/exit.hpp>
#include <axvm/core/units.hpp>

namespace axvm::fake::inline v1 {

/// One thing the scripted guest does. Made by the functions below.
struct Step {
  ExitReason reason = ExitReason::Halt;
  std::uint64_t address = 0;  ///< port, guest-physical address, number of a hypercall or index of a register
  std::uint8_t width = 0;     ///< bytes; of a hypercall, the caller's privilege level
  bool is_write = false;
  std::vector<std::uint64_t> values;  ///< what is written, one for each item of a string instruction, or arguments
  std::uint32_t count = 1;
};

/// OUT, with the width of the value: 1, 2 or 4 bytes.
inline Step out(std::uint16_t port, std::uint32_t value, std::uint8_t width = 1) {
  return {ExitReason::Io, port, width, true, {value}, 1};
}
/// REP OUTS: one item after the other to the same port.
inline Step outs(std::uint16_t port, std::vector<std::uint64_t> values, std::uint8_t width = 1) {
  const auto count = static_cast<std::uint32_t>(values.size());
  return {ExitReason::Io, port, width, true, std::move(values), count};
}
/// IN; what was read is appended to Recorder::reads.
inline Step in(std::uint16_t port, std::uint8_t width = 1) { return {ExitReason::Io, port, width, false, {}, 1}; }
/// REP INS of `count` items.
inline Step ins(std::uint16_t port, std::uint32_t count, std::uint8_t width = 1) {
  return {ExitReason::Io, port, width, false, {}, count};
}
/// A store to an address that is not memory.
inline Step store(GuestAddress address, std::uint64_t value, std::uint8_t width = 4) {
  return {ExitReason::Mmio, address, width, true, {value}, 1};
}
/// A load from there; what was read is appended to Recorder::reads.
inline Step load(GuestAddress address, std::uint8_t width = 4) {
  return {ExitReason::Mmio, address, width, false, {}, 1};
}
/// A hypercall of the guest's kernel, with up to four arguments; its result is appended to Recorder::reads.
inline Step hypercall(std::uint64_t number, std::vector<std::uint64_t> arguments = {},
                      std::uint8_t privilege_level = 0) {
  return {ExitReason::Hypercall, number, privilege_level, false, std::move(arguments), 1};
}
/// RDMSR; what was read is appended to Recorder::reads, or Recorder::faults counts one more.
inline Step rdmsr(std::uint32_t index) { return {ExitReason::MsrRead, index, 0, false, {}, 1}; }
/// WRMSR; Recorder::faults counts one more if it was refused.
inline Step wrmsr(std::uint32_t index, std::uint64_t value) {
  return {ExitReason::MsrWrite, index, 0, true, {value}, 1};
}
/// A processor ended the interrupt with this vector.
inline Step end_of_interrupt(std::uint8_t vector) { return {ExitReason::EndOfInterrupt, vector, 0, true, {}, 1}; }
/// Any exit that carries nothing: Halt, Shutdown, FailEntry, Debug, ...
inline Step exit(ExitReason reason) { return {reason, 0, 0, false, {}, 1}; }

/// What a scripted guest does: the first processor carries out the steps, then halts; the others halt at once.
using Script = std::vector<Step>;

}  // namespace axvm::fake::inline v1
