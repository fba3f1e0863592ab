#pragma once

#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include <axvm/core/exit.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/guest_debug.hpp>
#include <axvm/hv/kvm/counted_list.hpp>
#include <axvm/hv/kvm/registers.hpp>
#include <axvm/io/descriptor.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::kvm::inline v1 {

/// One virtual processor of KVM: the vCPU's descriptor and the page it shares with the kernel ([linux/kvm] 5).
class Vcpu {
 public:
  /// Takes over a vCPU's descriptor and its mapped kvm_run. `hides_hypercalls` where KVM answers none of its own.
  Vcpu(Descriptor descriptor, Mapping shared, unsigned index, bool hides_hypercalls)
      : descriptor_(std::move(descriptor)),
        shared_(std::move(shared)),
        index_(index),
        hides_hypercalls_(hides_hypercalls) {}

  /// 0 for the boot processor.
  [[nodiscard]] unsigned index() const { return index_; }

  static constexpr bool is(std::uint32_t code, ExitReason reason) {
    switch (reason) {
      case ExitReason::Io: return code == KVM_EXIT_IO;
      case ExitReason::Mmio: return code == KVM_EXIT_MMIO;
      case ExitReason::Halt: return code == KVM_EXIT_HLT;
      case ExitReason::Hypercall: return code == KVM_EXIT_HYPERCALL || code == KVM_EXIT_XEN;
      case ExitReason::MsrRead: return code == KVM_EXIT_X86_RDMSR;
      case ExitReason::MsrWrite: return code == KVM_EXIT_X86_WRMSR;
      case ExitReason::Shutdown: return code == KVM_EXIT_SHUTDOWN;
      case ExitReason::SystemEvent: return code == KVM_EXIT_SYSTEM_EVENT;
      case ExitReason::FailEntry: return code == KVM_EXIT_FAIL_ENTRY;
      case ExitReason::InternalError: return code == KVM_EXIT_INTERNAL_ERROR;
      case ExitReason::Debug: return code == KVM_EXIT_DEBUG;
      case ExitReason::EndOfInterrupt: return code == KVM_EXIT_IOAPIC_EOI;
      case ExitReason::Interrupted: return code == KVM_EXIT_INTR;
      case ExitReason::Other: break;
    }
    return false;
  }

  /// Enters the guest; returns KVM's exit reason, or `run_failed`, of which describe_failure() knows more.
  std::uint32_t run() {
    if (::ioctl(descriptor_.get(), KVM_RUN, 0) == 0) [[likely]]
      return page().exit_reason;
    // EINTR: a signal, or immediate_exit, which leaves exit_reason as it was. EAGAIN: a vCPU that waits for its
    // start-up interrupt was woken.
    const int number = errno;
    if (number == EINTR || number == EAGAIN) return KVM_EXIT_INTR;
    error_ = number;
    return run_failed;
  }

  void interrupt() { __atomic_store_n(&page().immediate_exit, std::uint8_t{1}, __ATOMIC_RELAXED); }

  [[nodiscard]] IoExit io() {
    auto const& io = page().io;
    return {io.port, io.size, io.direction == KVM_EXIT_IO_OUT, io.count, shared_.data() + io.data_offset};
  }

  [[nodiscard]] MmioExit mmio() {
    auto& mmio = page().mmio;
    return {mmio.phys_addr, static_cast<std::uint8_t>(mmio.len), mmio.is_write != 0,
            reinterpret_cast<std::byte*>(mmio.data)};
  }

  /// The vector of the interrupt that was ended.
  [[nodiscard]] std::uint8_t ended_vector() { return page().eoi.vector; }

  /// What the guest asked for through KVM_EXIT_SYSTEM_EVENT ([linux/kvm] 5).
  [[nodiscard]] Action system_event() {
    switch (page().system_event.type) {
      case KVM_SYSTEM_EVENT_SHUTDOWN: return Action::PowerOff;
      case KVM_SYSTEM_EVENT_RESET: return Action::Reset;
      default: return Action::Fail;
    }
  }

  /// Of both interfaces that pass hypercalls on only the registers are read: each has arguments of its own.
  [[nodiscard]] HypercallExit hypercall() {
    kvm_run const& run = page();
    const bool xen = run.exit_reason == KVM_EXIT_XEN;
    const bool wide = xen ? run.xen.u.hcall.longmode != 0 : run.hypercall.longmode != 0;
    const std::uint64_t mask = wide ? ~std::uint64_t{0} : 0xffff'ffff;
    const GeneralRegisters r = general().value_or(GeneralRegisters{});
    return {.number = r.rax & mask,
            .arguments = {r.rbx & mask, r.rcx & mask, r.rdx & mask, r.rsi & mask},
            .privilege_level = xen ? static_cast<std::uint8_t>(run.xen.u.hcall.cpl) : std::uint8_t{0}};
  }
  void finish(HypercallExit const& exit) {
    kvm_run& run = page();
    if (run.exit_reason == KVM_EXIT_XEN) run.xen.u.hcall.result = exit.result;
    else run.hypercall.ret = exit.result;
  }

  [[nodiscard]] MsrExit msr() { return {.index = page().msr.index, .value = page().msr.data}; }
  void finish(MsrExit const& exit) {
    page().msr.data = exit.value;
    page().msr.error = exit.refused ? 1 : 0;
  }

  /// Makes the processor stop where it is said; each stop is an exit with ExitReason::Debug, which ends the run unless
  /// OnDebug<...> handles it. On the vCPU's thread, or while the machine does not run; a reset of the machine forgets
  /// it ([linux/kvm] 4.87).
  [[nodiscard]] Result<> set_debug(GuestDebug const& wanted) {
    kvm_guest_debug debug{};
    if (wanted.single_step) debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    if (wanted.on_int3) debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    if (wanted.any_breakpoint()) {
      debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
      for (std::size_t i = 0; i < wanted.breakpoints.size(); ++i)
        debug.arch.debugreg[i] = wanted.breakpoints[i].address;
      debug.arch.debugreg[7] = wanted.dr7();
    }
    return call(KVM_SET_GUEST_DEBUG, &debug, "set breakpoints");
  }
  /// Why the last run() ended with ExitReason::Debug.
  [[nodiscard]] DebugEvent debug_event() const {
    auto const& arch = page().debug.arch;
    return {.address = arch.pc, .exception = arch.exception, .dr6 = arch.dr6};
  }

  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<> set_cpuid(CpuidTable const& table) {
    auto list = std::make_unique<CountedList<kvm_cpuid_entry2, CpuidTable::capacity>>();  // 10 KiB: not for a stack
    for (CpuidEntry const& entry : table.entries()) {
      const std::uint32_t flags = entry.indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
      std::uint32_t eax = entry.eax;
      if (hides_hypercalls_ && entry.function == KVM_CPUID_FEATURES) eax &= ~hypercall_features;
      list->entries[list->count++] = {entry.function, entry.index, flags, eax, entry.ebx, entry.ecx, entry.edx, {}};
    }
    if (auto set = call(SET_CPUID2, list.get(), "set the guest's CPUID"); !set) return set;
    return set_firmware_msrs();
  }

  /// Puts the processor into the state a loader asked for: KVM's reset state, with both register groups replaced.
  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<> set_entry(EntryState const& entry) {
    kvm_sregs sregs{};
    if (auto got = call(KVM_GET_SREGS, &sregs, "read the system registers"); !got) return got;
    to_kvm(entry.system, sregs);
    if (auto set = call(KVM_SET_SREGS, &sregs, "set the system registers"); !set) return set;
    kvm_regs regs = to_kvm(entry.general);
    return call(KVM_SET_REGS, &regs, "set the general registers");
  }

  [[nodiscard]] Result<GeneralRegisters> general() {
    kvm_regs regs{};
    if (auto got = call(KVM_GET_REGS, &regs, "read the general registers"); !got) return std::unexpected(got.error());
    return from_kvm(regs);
  }

  [[nodiscard]] Result<SystemRegisters> system() {
    kvm_sregs sregs{};
    if (auto got = call(KVM_GET_SREGS, &sregs, "read the system registers"); !got) return std::unexpected(got.error());
    return from_kvm(sregs);
  }

  /// What went wrong in the last run(), with the registers.
  [[nodiscard, gnu::cold, AXVM_ONCE]] Text<1023> describe_failure() {
    Text<1023> out = reason();
    auto general_registers = general();
    auto system_registers = system();
    if (!general_registers || !system_registers) return out.append("; registers unreadable");
    GeneralRegisters const& g = *general_registers;
    SystemRegisters const& s = *system_registers;
    const struct {
      std::string_view name;
      std::uint64_t value;
    } values[] = {{"\n  rip ", g.rip},     {" rflags ", g.rflags}, {" rax ", g.rax},    {" rbx ", g.rbx},
                  {" rcx ", g.rcx},        {" rdx ", g.rdx},       {"\n  rsi ", g.rsi}, {" rdi ", g.rdi},
                  {" rsp ", g.rsp},        {" rbp ", g.rbp},       {" r8 ", g.r8},      {" r9 ", g.r9},
                  {"\n  r10 ", g.r10},     {" r11 ", g.r11},       {" r12 ", g.r12},    {" r13 ", g.r13},
                  {" r14 ", g.r14},        {" r15 ", g.r15},       {"\n  cr0 ", s.cr0}, {" cr2 ", s.cr2},
                  {" cr3 ", s.cr3},        {" cr4 ", s.cr4},       {" efer ", s.efer},  {" cs ", s.cs.selector},
                  {" cs.base ", s.cs.base}};
    for (auto const& [name, value] : values) out.append(name).append_hex(value);
    return out;
  }

  /// What run() returns when KVM_RUN itself failed.
  static constexpr std::uint32_t run_failed = 0xffff'ffff;

 private:
  /// What a guest does by hypercalls of KVM's own: it must not try when all of them go to the monitor.
  static constexpr std::uint32_t hypercall_features = 1u << KVM_FEATURE_PV_UNHALT | 1u << KVM_FEATURE_PV_SEND_IPI |
                                                      1u << KVM_FEATURE_PV_SCHED_YIELD |
                                                      1u << KVM_FEATURE_HC_MAP_GPA_RANGE;

  [[nodiscard]] kvm_run& page() const { return *reinterpret_cast<kvm_run*>(shared_.data()); }

  [[nodiscard]] Result<> call(unsigned long request, void* argument, std::string_view what) {
    if (::ioctl(descriptor_.get(), request, argument) == 0) return {};
    return failure(ErrorCode::Hypervisor, text<1023>(what, " of vCPU ", index_), {}, errno);
  }

  /// What firmware sets on every processor and a guest takes for granted: memory is write-back by default (with the
  /// MTRRs off a guest would take all of it for uncacheable, [intel/vol3] 12.11.2.1), and fast strings are on (KVM
  /// leaves the bit clear, and Linux then gives them up; the two higher bits say that there is no BTS and no PEBS).
  [[nodiscard, gnu::cold]] Result<> set_firmware_msrs() {
    CountedList<kvm_msr_entry, 2> msrs{.count = 2};
    msrs.entries[0] = {.index = 0x2ff /* IA32_MTRR_DEF_TYPE */, .reserved = 0, .data = 1u << 11 | 6};
    msrs.entries[1] = {.index = 0x1a0 /* IA32_MISC_ENABLE */, .reserved = 0, .data = 1u << 12 | 1u << 11 | 1u};
    if (::ioctl(descriptor_.get(), SET_MSRS, &msrs) == 2) return {};
    return failure(ErrorCode::Hypervisor, text<1023>("set the MSRs of vCPU ", index_), {}, errno);
  }

  [[nodiscard, gnu::cold]] Text<1023> reason() const {
    kvm_run const& run = page();
    auto out = text<1023>("vCPU ", index_, ": ");
    if (error_ != 0) return out.append("KVM_RUN failed, errno ").append(error_);
    switch (run.exit_reason) {
      case KVM_EXIT_FAIL_ENTRY:
        return out.append("the processor refused to enter the guest, hardware reason ")
            .append_hex(run.fail_entry.hardware_entry_failure_reason);
      case KVM_EXIT_INTERNAL_ERROR:
        out.append("KVM internal error, suberror ").append(run.internal.suberror);
        if (run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION) append_instruction(out);
        return out;
      case KVM_EXIT_SHUTDOWN: return out.append("triple fault");
      case KVM_EXIT_HLT: return out.append("halted");
      case KVM_EXIT_SYSTEM_EVENT: return out.append("the guest reported a crash");
      default: break;
    }
    return out.append("unhandled KVM exit reason ").append(run.exit_reason);
  }

  [[gnu::cold]] void append_instruction(Text<1023>& out) const {
    auto const& failed = page().emulation_failure;
    out.append(" (an instruction that KVM cannot emulate)");
    if (failed.ndata < 3 || (failed.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) == 0) return;
    out.append(", bytes");
    for (unsigned i = 0; i < failed.insn_size && i < sizeof failed.insn_bytes; ++i)
      out.append(" ").append_hex(failed.insn_bytes[i]);
  }

  Descriptor descriptor_;
  Mapping shared_;
  unsigned index_ = 0;
  bool hides_hypercalls_ = false;
  int error_ = 0;
};

}  // namespace axvm::kvm::inline v1
