#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// Why a virtual CPU left the guest: the one vocabulary of every hypervisor backend and of the exit handlers.
enum class ExitReason : std::uint8_t {
  Io,             ///< IN, OUT, INS or OUTS to a port that nobody in the kernel owns
  Mmio,           ///< an access to a guest-physical address that is not memory
  Halt,           ///< HLT, where no in-kernel interrupt controller handles it
  Hypercall,      ///< VMCALL/VMMCALL passed on to the monitor
  MsrRead,        ///< RDMSR of a register the kernel does not know and was told to pass on
  MsrWrite,       ///< WRMSR, likewise
  Shutdown,       ///< triple fault
  SystemEvent,    ///< the guest asked for power-off, reset or reported a crash through the hypervisor's own interface
  FailEntry,      ///< the processor refused to enter the guest; its state is broken
  InternalError,  ///< the hypervisor gave up on an instruction
  Debug,          ///< a breakpoint or a single step
  Interrupted,    ///< the monitor itself asked the vCPU to come out
  Other,          ///< anything this vocabulary has no word for
};

inline constexpr std::size_t exit_reason_count = static_cast<std::size_t>(ExitReason::Other) + 1;

/// The name of an exit reason, as in metrics and messages.
constexpr std::string_view name_of(ExitReason reason) {
  constexpr std::string_view names[exit_reason_count] = {
      "io",           "mmio",       "halt",           "hypercall", "msr_read",    "msr_write", "shutdown",
      "system_event", "fail_entry", "internal_error", "debug",     "interrupted", "other"};
  return names[static_cast<std::size_t>(reason)];
}

/// A port access: `count` items of `width` bytes each (more than one for REP INS/OUTS), all to the same port.
struct IoExit {
  std::uint16_t port = 0;
  std::uint8_t width = 0;  ///< 1, 2 or 4
  bool is_write = false;   ///< from the guest's point of view
  std::uint32_t count = 0;
  std::byte* data =
      nullptr;  ///< count * width bytes, and at least 8 that may be touched; read or filled by the monitor
};

/// An access to an address that is not memory.
struct MmioExit {
  GuestAddress address = 0;
  std::uint8_t width = 0;  ///< 1 to 8
  bool is_write = false;
  std::byte* data = nullptr;  ///< 8 bytes; the first `width` are read or filled by the monitor
};

/// What a machine does after an exit was handled.
enum class Action : std::uint8_t {
  Continue,  ///< enter the guest again
  Stop,      ///< end the run: the guest is done (a halt that nothing can end, a handler that has seen enough)
  PowerOff,  ///< end the run: the guest asked for power-off
  Reset,     ///< rebuild devices and processors, load the guest again, go on
  Fail,      ///< end the run with an error
};

}  // namespace axvm::inline v1
