#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include <axvm/core/address_map.hpp>
#include <axvm/core/exit.hpp>
#include <axvm/core/guest_memory.hpp>
#include <axvm/core/result.hpp>
#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/host_facts.hpp>
#include <axvm/cpu/paravirt.hpp>
#include <axvm/cpu/registers.hpp>
#include <axvm/device/claims.hpp>
#include <axvm/device/feature.hpp>
#include <axvm/device/irq_line.hpp>
#include <axvm/device/message.hpp>
#include <axvm/device/register_page.hpp>

namespace axvm::inline v1 {

/// What a machine wants of the virtual machine it asks a hypervisor for.
struct VmPlan {
  bool interrupts = false;  ///< local APICs and, of a hypervisor that does not lack one, an I/O APIC
  unsigned vcpus = 1;
  AddressMap address_map{};
  CpuUse cpu_use = CpuUse::shared;
  /// Longest wait for a halted vCPU before its processor does something else, in nanoseconds; nothing: the host's own.
  std::optional<std::uint32_t> halt_poll_ns{};
  bool performance_counters = true;  ///< whether the guest may use the host's
  ExtraExits extra_exits{};          ///< what is passed on beside what always is; spans of constants
};

/// One virtual processor of a backend. All calls on the thread that runs it, but `interrupt`.
template <class V>
concept HypervisorVcpu = requires(V& vcpu, std::uint32_t code, ExitReason reason, CpuidTable const& table,
                                  EntryState const& entry, HypercallExit const& hypercall, MsrExit const& msr) {
  // Whether a number that run() returned means this reason; constant, and true of one reason at most.
  { V::is(code, reason) } -> std::same_as<bool>;
  // Enters the guest and comes back with the code of the exit.
  { vcpu.run() } -> std::same_as<std::uint32_t>;
  // Makes a run() that is going on, and the next one, return Interrupted; any thread. The caller also sends the
  // signal that gets a thread out of the kernel.
  vcpu.interrupt();
  { vcpu.io() } -> std::same_as<IoExit>;
  { vcpu.mmio() } -> std::same_as<MmioExit>;
  { vcpu.system_event() } -> std::same_as<Action>;
  { vcpu.hypercall() } -> std::same_as<HypercallExit>;
  vcpu.finish(hypercall);
  { vcpu.msr() } -> std::same_as<MsrExit>;
  vcpu.finish(msr);
  { vcpu.set_cpuid(table) } -> std::same_as<Result<>>;
  { vcpu.set_entry(entry) } -> std::same_as<Result<>>;
  { vcpu.general() } -> std::same_as<Result<GeneralRegisters>>;
  { vcpu.system() } -> std::same_as<Result<SystemRegisters>>;
  // Why the last run() failed, for a person: reason, numbers, registers.
  { vcpu.describe_failure() } -> std::same_as<Text<1023>>;
};

/// Has an I/O APIC.
template <class M>
concept HasLines = requires(M& vm, Claim const& irq) {
  // The line of an interrupt claim, with its trigger mode.
  { vm.connect(irq) } -> std::same_as<Result<IrqLine>>;
};

/// Has local APICs that take messages, and tells when an interrupt is over: what a machine's own I/O APIC works with
/// (MessageSink has the meaning). Its processors say which, too: `ended_vector()`, after EndOfInterrupt.
template <class M>
concept TakesMessages = requires(M& vm, typename M::Vcpu& vcpu, unsigned line, Message const& message) {
  vm.send(message);
  vm.watch_end(line, &message);
  { vcpu.ended_vector() } -> std::same_as<std::uint8_t>;
};

/// One virtual machine of a backend.
template <class M>
concept HypervisorVm = HypervisorVcpu<typename M::Vcpu> && (HasLines<M> || TakesMessages<M>) &&
                       requires(M& vm, GuestRegion const& region, unsigned index, unsigned apic_id, ClaimKind space,
                                std::uint64_t address, std::uint8_t width, std::uint64_t value) {
                         // Makes a region of the monitor's memory guest RAM; `slot` numbers regions from 0.
                         { vm.map(index, region) } -> std::same_as<Result<>>;
                         // `index` counts from 0, the boot processor; the APIC id is what interrupts are sent to.
                         { vm.create_vcpu(index, apic_id) } -> std::same_as<Result<typename M::Vcpu>>;
                         // Whether MWAIT waits in the guest, without an exit, and may be shown to it.
                         { vm.waits_in_guest() } -> std::same_as<bool>;
                         // A descriptor that becomes readable when the guest writes `value` to a port or an address, by
                         // `space` (Pio or Mmio), or an error.
                         { vm.doorbell(space, address, width, value) } -> std::same_as<Result<int>>;
                       };

/// Has windows whose reads do not leave the hypervisor. A machine whose hypervisor lacks them has every read as an
/// exit.
template <class M>
concept HasRegisterPages = requires(M& vm, GuestAddress address, std::uint64_t size) {
  // Memory that the guest reads there and whose writes arrive as exits or doorbells, or an error. It stays as long as
  // the virtual machine; before there are processors.
  { vm.register_page(address, size) } -> std::same_as<Result<RegisterPage>>;
};

/// A way to run guests: checks itself when opened, then makes virtual machines. One whose virtual machines have no
/// I/O APIC says so: `static constexpr bool lacks_io_apic = true`.
template <class H>
concept Hypervisor = std::move_constructible<H> && HypervisorVm<typename H::Vm> &&
                     (LacksIoApic<H> ? TakesMessages<typename H::Vm> : HasLines<typename H::Vm>) &&
                     requires(H& hypervisor, VmPlan const& plan) {
                       { H::open() } -> std::same_as<Result<H>>;
                       { hypervisor.create_vm(plan) } -> std::same_as<Result<typename H::Vm>>;
                       // What CPUID the hypervisor can give a guest here.
                       { hypervisor.supported_cpuid() } -> std::same_as<Result<CpuidTable>>;
                     };

}  // namespace axvm::inline v1
