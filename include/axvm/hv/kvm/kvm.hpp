#pragma once

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <memory>

#include <axvm/core/once.hpp>
#include <axvm/hv/hypervisor.hpp>
#include <axvm/hv/kvm/quirks.hpp>
#include <axvm/hv/kvm/requirements.hpp>
#include <axvm/hv/kvm/vm.hpp>

namespace axvm::kvm::inline v1 {

/// Linux KVM as the hypervisor: the default backend.
class Kvm {
 public:
  using Vm = kvm::Vm;

  /// Opens the KVM device and checks that it has what this project needs; an error says what is missing and what to do.
  [[nodiscard, gnu::cold, AXVM_ONCE]] static Result<Kvm> open(char const* path = "/dev/kvm") {
    Descriptor device(::open(path, O_RDWR | O_CLOEXEC));
    if (!device) return std::unexpected(open_error(path, errno));
    const int number = device.get();
    if (auto met = check_requirements([&] { return ::ioctl(number, KVM_GET_API_VERSION, 0); },
                                      [&](int capability) { return ::ioctl(number, KVM_CHECK_EXTENSION, capability); });
        !met)
      return std::unexpected(met.error());
    return Kvm(std::move(device));
  }

  /// Local APICs only: no device is KVM's own.
  static constexpr bool lacks_io_apic = true;
  /// What devices may ask for by `needs`, or need by their claims.
  static constexpr bool has(Feature feature) {
    return feature == Feature::Doorbells || feature == Feature::MessageInterrupts;
  }

  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<Vm> create_vm(VmPlan const& plan) {
    const int most = ::ioctl(device_.get(), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    if (most > 0 && plan.vcpus > static_cast<unsigned>(most))
      return failure(ErrorCode::OutOfRange, text<1023>("create a machine of ", plan.vcpus, " vCPUs: KVM allows ", most),
                     "ask for fewer vCPUs");
    const int run_size = ::ioctl(device_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < 0) return failure(ErrorCode::Hypervisor, "ask KVM for the size of a vCPU", {}, errno);
    // EINTR: a signal came while KVM waited for other processors; nothing was created.
    Descriptor machine(retry_interrupted([&] { return ::ioctl(device_.get(), KVM_CREATE_VM, 0); }));
    if (!machine)
      return failure(ErrorCode::Hypervisor, "create a virtual machine",
                     errno == EBUSY ? "another hypervisor uses the processor's virtualisation; stop it" : "", errno);
    Vm vm(std::move(machine), static_cast<std::size_t>(run_size));
    if (auto ready = vm.set_up(plan); !ready) return std::unexpected(ready.error());
    return vm;
  }

  /// What KVM supports, with the TSC-deadline timer, which KVM reports apart from the table ([linux/kvm] 4.46).
  [[nodiscard, gnu::cold, AXVM_ONCE]] Result<CpuidTable> supported_cpuid() {
    auto list = std::make_unique<CountedList<kvm_cpuid_entry2, CpuidTable::capacity>>();
    list->count = CpuidTable::capacity;
    if (::ioctl(device_.get(), GET_SUPPORTED_CPUID, list.get()) != 0)
      return failure(ErrorCode::Hypervisor, "ask KVM which CPUID it supports", {}, errno);
    CpuidTable table;
    for (kvm_cpuid_entry2 const& entry : std::span(list->entries).first(list->count)) {
      const bool indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
      if (!table.add({entry.function, entry.index, indexed, entry.eax, entry.ebx, entry.ecx, entry.edx})) break;
    }
    if (::ioctl(device_.get(), KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
      if (CpuidEntry* features = table.find(cpuid::FEATURES)) features->ecx |= cpuid::ECX_TSC_DEADLINE;
    if (host_is_tcg()) hide_xsave(table);
    return table;
  }

 private:
  explicit Kvm(Descriptor device) : device_(std::move(device)) {}

  [[nodiscard]] static Error open_error(char const* path, int number) {
    const bool denied = number == EACCES || number == EPERM;
    return {.code = denied ? ErrorCode::PermissionDenied : ErrorCode::Unsupported,
            .severity = Severity::Error,
            .operation = text<1023>("open ", std::string_view(path)),
            .os_error = number,
            .hint = denied
                        ? "add yourself to the group 'kvm' (usermod -aG kvm $USER, then log in again) or run as root"
                        : "load the kvm_intel or kvm_amd module; in a virtual machine, enable nested virtualisation"};
  }

  Descriptor device_;
};
static_assert(Hypervisor<Kvm>);

}  // namespace axvm::kvm::inline v1
