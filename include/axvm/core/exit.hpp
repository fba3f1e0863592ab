#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// Why a virtual CPU left the guest: the one vocabulary of every hypervisor backend and of the exit handlers.
enum class ExitReason : std::uint8_t {
  Io,              ///< IN, OUT, INS or OUTS to a port that nobody in the kernel owns
  Mmio,            ///< an access to a guest-physical address that is not memory
  Halt,            ///< HLT, where no in-kernel interrupt controller handles it
  Hypercall,       ///< VMCALL/VMMCALL, where the hypervisor was asked to pass it on
  MsrRead,         ///< RDMSR of a register of which the hypervisor was asked to pass it on
  MsrWrite,        ///< WRMSR, likewise
  Shutdown,        ///< triple fault
  SystemEvent,     ///< the guest asked for power-off, reset or reported a crash through the hypervisor's own interface
  FailEntry,       ///< the processor refused to enter the guest; its state is broken
  InternalError,   ///< the hypervisor gave up on an instruction
  Debug,           ///< a breakpoint or a single step
  EndOfInterrupt,  ///< a processor ended an interrupt whose line wants to hear of it
  Interrupted,     ///< the monitor itself asked the vCPU to come out
  Other,           ///< anything this vocabulary has no word for
};

inline constexpr std::size_t exit_reason_count = static_cast<std::size_t>(ExitReason::Other) + 1;

/// The name of an exit reason, as in metrics and messages.
constexpr std::string_view name_of(ExitReason reason) {
  constexpr std::string_view names[exit_reason_count] = {
      "io",           "mmio",       "halt",           "hypercall", "msr_read",         "msr_write",   "shutdown",
      "system_event", "fail_entry", "internal_error", "debug",     "end_of_interrupt", "interrupted", "other"};
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

/// A hypercall by the convention of KVM ([linux/hypercalls]): a number in RAX, arguments in four registers, the result
/// in RAX. The upper halves count in 64-bit code only.
struct HypercallExit {
  /// What KVM itself answers to a number that it does not know, and to code that may not ask.
  static constexpr std::uint64_t not_implemented = static_cast<std::uint64_t>(-1000);
  static constexpr std::uint64_t not_permitted = static_cast<std::uint64_t>(-1);

  std::uint64_t number = 0;
  std::array<std::uint64_t, 4> arguments{};  ///< RBX, RCX, RDX, RSI
  std::uint8_t privilege_level = 0;          ///< of the code that asked: 0 for a kernel, 3 for its user programs
  std::uint64_t result = not_implemented;    ///< filled in by the monitor
};

/// An access to a model-specific register.
struct MsrExit {
  std::uint32_t index = 0;  ///< ECX
  std::uint64_t value = 0;  ///< EDX:EAX; of a read, filled in by the monitor
  bool refused = false;     ///< whether the guest gets a general-protection fault instead

  /// There is no such register, or not this value of it: the guest gets a general-protection fault.
  constexpr void refuse() { refused = true; }
};

/// Exits that a hypervisor makes only when it is asked to; without that it answers the guest itself.
struct ExtraExits {
  std::span<const std::uint64_t> hypercalls{};  ///< these numbers
  bool all_hypercalls = false;
  std::span<const std::uint32_t> msr_reads{}, msr_writes{};  ///< these registers, known to the hypervisor or not
  bool unknown_msrs = false;                                 ///< all registers that the hypervisor does not know

  [[nodiscard]] constexpr bool any_hypercall() const { return all_hypercalls || !hypercalls.empty(); }
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
