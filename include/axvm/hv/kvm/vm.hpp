#pragma once

#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include <axvm/core/guest_memory.hpp>
#include <axvm/core/list.hpp>
#include <axvm/core/once.hpp>
#include <axvm/core/result.hpp>
#include <axvm/device/claims.hpp>
#include <axvm/device/io_apic.hpp>
#include <axvm/device/message.hpp>
#include <axvm/hv/hypervisor.hpp>
#include <axvm/hv/kvm/extra_exits.hpp>
#include <axvm/hv/kvm/messages.hpp>
#include <axvm/hv/kvm/vcpu.hpp>
#include <axvm/memory/swapped_memory.hpp>

namespace axvm::kvm::inline v1 {

/// One virtual machine of KVM: its descriptor, the interrupts whose ends it tells of, the descriptors of its doorbells,
/// and its register pages.
class Vm {
 public:
  using Vcpu = kvm::Vcpu;

  /// Takes over a machine's descriptor; `run_size` is the size of each vCPU's shared area.
  Vm(Descriptor descriptor, std::size_t run_size) : descriptor_(std::move(descriptor)), run_size_(run_size) {}

  /// Gives the machine the parts of the plan, in the order KVM asks for: addresses, then local APICs.
  [[nodiscard, gnu::cold]] Result<> set_up(VmPlan const& plan) {
    std::uint64_t identity = plan.address_map.kvm_identity_map;
    if (auto set = call(KVM_SET_IDENTITY_MAP_ADDR, &identity, "place the identity map"); !set) return set;
    if (::ioctl(descriptor_.get(), KVM_SET_TSS_ADDR, identity + 0x1000) != 0) return failed("place the TSS");
    if (auto requested = request_extra_exits(descriptor_.get(), plan.extra_exits); !requested) return requested;
    all_hypercalls_ = plan.extra_exits.any_hypercall();
    if (!plan.performance_counters) leave_out_counters();
    if (!plan.interrupts) return {};
    if (plan.cpu_use == CpuUse::dedicated) wait_in_guest();
    if (plan.halt_poll_ns) limit_halt_poll(*plan.halt_poll_ns);
    kvm_enable_cap local_apics{};
    local_apics.cap = KVM_CAP_SPLIT_IRQCHIP;
    local_apics.args[0] = IoApic::max_pins;
    return call(KVM_ENABLE_CAP, &local_apics, "create local APICs");
  }

  /// Whether MWAIT waits in the guest, without an exit.
  [[nodiscard]] bool waits_in_guest() const { return waits_in_guest_; }

  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<> map(unsigned slot, GuestRegion const& region) {
    if (slot >= next_slot_) next_slot_ = slot + 1;
    return map(slot, region, 0, "map guest memory");
  }

  /// A memory slot that the guest cannot write ([linux/kvm] 4.35): its loads are loads, its stores exits, or doorbells
  /// where there is one. The slot is never changed or deleted while the guest runs; what changes is the memory under
  /// it, which KVM follows as it does when the host swaps.
  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<RegisterPage> register_page(GuestAddress address, std::uint64_t size) {
    if (::ioctl(descriptor_.get(), KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0)
      return failure(ErrorCode::Unsupported, "map a register page: KVM lacks KVM_CAP_READONLY_MEM");
    auto memory = SwappedMemory::make(size);
    if (!memory) return std::unexpected(memory.error());
    const GuestRegion region{address, size, memory->bytes().data()};
    if (auto mapped = map(next_slot_, region, KVM_MEM_READONLY, "map a register page"); !mapped)
      return std::unexpected(mapped.error());
    ++next_slot_;
    SwappedMemory& kept = pages_.add(std::move(*memory));
    return RegisterPage(kept.bytes(), &kept,
                        [](void* self, ConstBytes content) { (void)static_cast<SwappedMemory*>(self)->swap(content); });
  }

  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<Vcpu> create_vcpu(unsigned index, unsigned apic_id) {
    Descriptor vcpu(::ioctl(descriptor_.get(), KVM_CREATE_VCPU, apic_id));
    if (!vcpu) return std::unexpected(failed(text<80>("create vCPU ", index)).error());
    void* shared = ::mmap(nullptr, run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu.get(), 0);
    if (shared == MAP_FAILED) return std::unexpected(failed(text<80>("map the state of vCPU ", index)).error());
    return Vcpu(std::move(vcpu), Mapping(shared, run_size_), index, all_hypercalls_);
  }

  /// Delivers a message; any thread. One that the guest cannot take, for its local APIC is off, is lost as on hardware.
  void send(Message const& message) const {
    kvm_msi request = to_kvm_message<kvm_msi>(message);
    (void)::ioctl(descriptor_.get(), KVM_SIGNAL_MSI, &request);
  }

  /// Has run() end with ExitReason::EndOfInterrupt when the interrupt of this message is ended, in place of what was
  /// said of the line before, or no longer where it is null ([linux/kvm] 7.5). One thread at a time.
  void watch_end(unsigned line, Message const* message) { ends_.set(descriptor_.get(), line, message); }

  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<int> doorbell(ClaimKind space, std::uint64_t address, std::uint8_t width,
                                                           std::uint64_t value) {
    Descriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event) return std::unexpected(failed("create an eventfd for a doorbell").error());
    kvm_ioeventfd ioeventfd{};
    ioeventfd.datamatch = value;
    ioeventfd.addr = address;
    ioeventfd.len = width;
    ioeventfd.fd = event.get();
    ioeventfd.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (space == ClaimKind::Pio ? KVM_IOEVENTFD_FLAG_PIO : 0u);
    if (auto set = call(KVM_IOEVENTFD, &ioeventfd, "register a doorbell"); !set) return std::unexpected(set.error());
    return doorbells_.add(std::move(event)).get();
  }

 private:
  /// Lets processors that have nothing to do wait where they are, as far as this KVM and its processor know how: HLT,
  /// PAUSE and MWAIT do not exit ([linux/kvm] 7.13). What is not to be had costs exits and nothing else.
  [[gnu::cold]] void wait_in_guest() {
    constexpr unsigned wanted = KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;
    const int offered = ::ioctl(descriptor_.get(), KVM_CHECK_EXTENSION, KVM_CAP_X86_DISABLE_EXITS);
    if (offered <= 0) return;
    kvm_enable_cap request{};
    request.cap = KVM_CAP_X86_DISABLE_EXITS;
    request.args[0] = static_cast<unsigned>(offered) & wanted;
    if (::ioctl(descriptor_.get(), KVM_ENABLE_CAP, &request) != 0) return;
    waits_in_guest_ = (request.args[0] & KVM_X86_DISABLE_EXITS_MWAIT) != 0;
  }

  /// No performance counters ([linux/kvm] 8.35): KVM then has none to keep when it carries out an instruction. A KVM
  /// before Linux 5.18 keeps them for nothing, which costs time and nothing else.
  [[gnu::cold]] void leave_out_counters() const {
    kvm_enable_cap request{};
    request.cap = KVM_CAP_PMU_CAPABILITY;
    request.args[0] = KVM_PMU_CAP_DISABLE;
    (void)::ioctl(descriptor_.get(), KVM_ENABLE_CAP, &request);
  }

  /// Bounds how long KVM waits for a processor that halted ([linux/kvm] 7.20). A KVM before Linux 5.8 has one bound
  /// for all machines, which stays: that is a matter of time, not of what happens.
  [[gnu::cold]] void limit_halt_poll(std::uint32_t nanoseconds) const {
    kvm_enable_cap request{};
    request.cap = KVM_CAP_HALT_POLL;
    request.args[0] = nanoseconds;
    (void)::ioctl(descriptor_.get(), KVM_ENABLE_CAP, &request);
  }

  [[nodiscard]] Result<> map(unsigned slot, GuestRegion const& region, std::uint32_t flags, std::string_view what) {
    kvm_userspace_memory_region memory{.slot = slot,
                                       .flags = flags,
                                       .guest_phys_addr = region.base,
                                       .memory_size = region.size,
                                       .userspace_addr = reinterpret_cast<std::uintptr_t>(region.host)};
    return call(KVM_SET_USER_MEMORY_REGION, &memory, what);
  }
  [[nodiscard]] static Result<> failed(std::string_view what) {
    return failure(ErrorCode::Hypervisor, text<1023>(what), {}, errno);
  }
  [[nodiscard]] Result<> call(unsigned long request, void* argument, std::string_view what) {
    if (::ioctl(descriptor_.get(), request, argument) == 0) return {};
    return failed(what);
  }

  Descriptor descriptor_;
  std::size_t run_size_ = 0;
  bool all_hypercalls_ = false;
  bool waits_in_guest_ = false;
  unsigned next_slot_ = 0;  ///< of those behind guest memory
  WatchedEnds ends_;
  List<Descriptor> doorbells_;
  List<SwappedMemory> pages_;
};

}  // namespace axvm::kvm::inline v1
