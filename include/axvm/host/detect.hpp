#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <axvm/core/once.hpp>
#include <axvm/cpu/cpuid.hpp>
#include <axvm/cpu/host_facts.hpp>
#include <axvm/host/host_source.hpp>

namespace axvm::inline v1 {

namespace detail {

/// The capability registers of VMX. [intel/vol3] A.3, A.10
namespace vmx_msr {
inline constexpr std::uint32_t FEATURE_CONTROL = 0x3a;   ///< bit 0: locked; bit 2: VMX outside SMX
inline constexpr std::uint32_t PINBASED_CTLS = 0x481;    ///< in the upper half what may be 1
inline constexpr std::uint32_t PROCBASED_CTLS = 0x482;   ///< the same
inline constexpr std::uint32_t PROCBASED_CTLS2 = 0x48b;  ///< the same; not there unless PROCBASED_CTLS[63]
inline constexpr std::uint32_t EPT_VPID_CAP = 0x48c;     ///< bit 17: pages of 1 GiB
inline constexpr std::string_view PINBASED_CTLS_NAME = "IA32_VMX_PINBASED_CTLS";
inline constexpr std::string_view PROCBASED_CTLS2_NAME = "IA32_VMX_PROCBASED_CTLS2";
inline constexpr std::string_view EPT_VPID_CAP_NAME = "IA32_VMX_EPT_VPID_CAP";
}  // namespace vmx_msr

/// Questions to a source, and what its answers mean.
class HostQuestions {
 public:
  explicit HostQuestions(HostSource const& source) : source_(source) {}

  /// A leaf of CPUID, all zero where the processor does not have it.
  [[nodiscard]] CpuidEntry leaf(std::uint32_t function) const {
    const std::uint32_t highest = source_.cpuid(source_.self, function & 0xf000'0000, 0).eax;
    return function <= highest ? source_.cpuid(source_.self, function, 0) : CpuidEntry{};
  }
  [[nodiscard]] std::optional<std::uint64_t> msr(std::uint32_t index) const { return source_.msr(source_.self, index); }

  /// A yes-or-no parameter of a KVM module; nothing where the module is not loaded or has no such parameter.
  [[nodiscard]] HostAbility parameter(std::string_view module, std::string_view name) const {
    const std::string path = std::string("/sys/module/").append(module).append("/parameters/").append(name);
    const auto text = source_.file(source_.self, path.c_str());
    if (!text || text->empty()) return {};
    const char answer = text->front();
    if (answer == 'Y' || answer == '1') return {true, module};
    if (answer == 'N' || answer == '0') return {false, module};
    return {};
  }

  /// What Linux, since 5.6, writes for everybody into the line "vmx flags" of /proc/cpuinfo, a space on both sides of
  /// each; nothing without the line.
  [[nodiscard]] std::optional<std::string> vmx_flags() const {
    const auto text = source_.file(source_.self, "/proc/cpuinfo");
    const std::size_t line = text ? text->find("\nvmx flags") : std::string::npos;
    if (line == std::string::npos) return std::nullopt;
    const std::size_t colon = text->find(':', line);
    if (colon == std::string::npos) return std::nullopt;
    return text->substr(colon + 1, text->find('\n', colon) - colon - 1) + ' ';
  }

  /// Whether all of these secondary controls of VMX may be 1.
  [[nodiscard]] HostAbility secondary_controls(std::uint32_t bits) const {
    const auto primary = msr(vmx_msr::PROCBASED_CTLS);
    if (!primary) return {};
    const auto controls = *primary >> 63 != 0 ? msr(vmx_msr::PROCBASED_CTLS2) : 0;
    if (!controls) return {};
    return {(*controls >> 32 & bits) == bits, vmx_msr::PROCBASED_CTLS2_NAME};
  }

 private:
  HostSource source_;
};

/// The first that is known.
template <class... Rest>
HostAbility first_known(HostAbility const& first, Rest const&... rest) {
  if constexpr (sizeof...(rest) == 0) return first;
  else return first.present ? first : first_known(rest...);
}

/// What two together make: absent where one is absent, unknown where one is unknown and none is absent.
inline HostAbility both(HostAbility const& a, HostAbility const& b) {
  if (a.present == false) return a;
  return b.present == true ? a : b;
}

inline void detect_vmx(HostFacts& host, HostQuestions const& ask) {
  using namespace vmx_msr;
  const auto flags = ask.vmx_flags();
  auto flag = [&flags](std::string_view name) {
    if (!flags) return HostAbility{};
    return HostAbility{flags->find(std::string(" ").append(name).append(" ")) != std::string::npos, "/proc/cpuinfo"};
  };
  const auto lock = ask.msr(FEATURE_CONTROL);
  host.vmx_locked = lock && (*lock & 5) == 1;
  // What KVM uses says more than what the processor could: a parameter turns abilities off.
  host.ept = first_known(ask.parameter("kvm_intel", "ept"), ask.secondary_controls(1u << 1), flag("ept"));
  host.unrestricted_guest = first_known(ask.parameter("kvm_intel", "unrestricted_guest"),
                                        ask.secondary_controls(1u << 7), flag("unrestricted_guest"));
  host.tsc_scaling = first_known(ask.secondary_controls(1u << 25), flag("tsc_scaling"));
  const auto pins = ask.msr(PINBASED_CTLS);
  const HostAbility pin = pins ? HostAbility{(*pins >> 39 & 1) != 0, PINBASED_CTLS_NAME} : HostAbility{};
  const HostAbility in_processor = first_known(pin, flag("posted_intr"));
  // Register virtualisation and virtual-interrupt delivery; KVM uses them with posted interrupts or not at all.
  host.apicv = first_known(ask.parameter("kvm_intel", "enable_apicv"), both(ask.secondary_controls(3u << 8), pin),
                           flag("apicv"));
  host.posted_interrupts = host.apicv.source == "kvm_intel" ? host.apicv : both(host.apicv, in_processor);
  const auto caps = ask.msr(EPT_VPID_CAP);
  const HostAbility cap = caps ? HostAbility{(*caps >> 17 & 1) != 0, EPT_VPID_CAP_NAME} : HostAbility{};
  host.nested_gib_pages = host.ept.present == false ? host.ept : first_known(cap, flag("ept_1gb"));
}

/// [amd/vol3] E.4.9: EDX[0] nested paging, [4] TSC ratio, [13] AVIC.
inline void detect_svm(HostFacts& host, HostQuestions const& ask) {
  const std::uint32_t features = ask.leaf(0x8000'000a).edx;
  auto bit = [features](unsigned number) { return HostAbility{(features >> number & 1) != 0}; };
  host.npt = first_known(ask.parameter("kvm_amd", "npt"), bit(0));
  host.unrestricted_guest = {true};
  host.tsc_scaling = first_known(ask.parameter("kvm_amd", "tsc_scaling"), bit(4));
  host.apicv = first_known(ask.parameter("kvm_amd", "avic"), bit(13));
  host.posted_interrupts = host.apicv;  // AVIC's doorbell is the same thing
  host.nested_gib_pages = host.npt.present == true ? HostAbility{host.gib_pages} : host.npt;
}

}  // namespace detail

/// Reads what the processor and KVM say of a host; of this one if none is named.
[[AXVM_ONCE]] inline HostFacts detect_host(HostSource const& source = this_host) {
  const detail::HostQuestions ask(source);
  HostFacts host;
  auto append = [](auto& to, std::uint32_t value) {
    char bytes[4];
    std::memcpy(bytes, &value, 4);
    to.append(std::string_view(bytes, ::strnlen(bytes, 4)));
  };
  const CpuidEntry first = ask.leaf(0);
  for (const std::uint32_t part : {first.ebx, first.edx, first.ecx}) append(host.vendor, part);
  const CpuidEntry features = ask.leaf(cpuid::FEATURES);
  const unsigned family = features.eax >> 8 & 0xf, model = features.eax >> 4 & 0xf;
  host.stepping = features.eax & 0xf;
  host.family = family == 0xf ? family + (features.eax >> 20 & 0xff) : family;
  host.model = family == 6 || family == 0xf ? model + (features.eax >> 12 & 0xf0) : model;
  host.vmx = (features.ecx & cpuid::ECX_VMX) != 0;
  host.x2apic = (features.ecx & cpuid::ECX_X2APIC) != 0;
  host.is_guest = (features.ecx & cpuid::ECX_HYPERVISOR) != 0;
  if (host.is_guest) {
    const CpuidEntry below = source.cpuid(source.self, 0x4000'0000, 0);
    for (const std::uint32_t part : {below.ebx, below.ecx, below.edx}) append(host.hypervisor, part);
  }
  const CpuidEntry extended = ask.leaf(0x8000'0001);
  host.svm = (extended.ecx >> 2 & 1) != 0;
  host.gib_pages = (extended.edx >> 26 & 1) != 0;
  Text<48> brand;
  for (std::uint32_t leaf = 0x8000'0002; leaf <= 0x8000'0004; ++leaf) {
    const CpuidEntry letters = ask.leaf(leaf);
    for (const std::uint32_t part : {letters.eax, letters.ebx, letters.ecx, letters.edx}) append(brand, part);
  }
  const std::size_t letters = brand.view().find_first_not_of(' ');  // Intel aligned names to the right once
  if (letters != std::string_view::npos) host.brand = brand.view().substr(letters);
  host.invariant_tsc = (ask.leaf(cpuid::POWER).edx & cpuid::POWER_EDX_INVARIANT_TSC) != 0;
  host.physical_bits = ask.leaf(cpuid::AMD_SIZES).eax & 0xff;

  // What is part of VT-x or SVM is absent without it.
  host.ept = host.npt = host.unrestricted_guest = host.nested_gib_pages = host.tsc_scaling = host.apicv =
      host.posted_interrupts = HostAbility{false};
  if (host.vmx) detail::detect_vmx(host, ask);
  else if (host.svm) detail::detect_svm(host, ask);
  return host;
}

}  // namespace axvm::inline v1
