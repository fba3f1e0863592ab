#pragma once

#include <cstddef>
#include <cstdint>

#include <axvm/device/feature.hpp>
#include <axvm/device/host.hpp>

namespace axvm::inline v1 {

// What can be wrong with a composition. Each fault is a type that is never defined; its name and template arguments say
// what and who. A machine asks for machine_with<its first fault>, which is there for no fault only, so that the first
// line of the compiler's output reads, on g++ and on clang++ alike:
//
//     error: 'machine_with<PortsOverlap<Uart8250, MyDevice, At<6>{"0x3fb"}>>' is unavailable: axvm: two devices claim
//     the same I/O port: give one of them another .base
//
// and nothing follows from it. (A failed static assertion would print the names on one compiler and the advice on both,
// but never both in one line of g++; an incomplete type would print no advice.)

/// A port or an address in a diagnostic, in hexadecimal, as compilers print numbers in decimal.
template <std::size_t N>
struct At {
  char text[N]{};

  consteval At() = default;
  consteval At(char const (&literal)[N]) {  // NOLINT(google-explicit-constructor): written as a literal
    for (std::size_t i = 0; i < N; ++i) text[i] = literal[i];
  }
};

/// The name of a field in a diagnostic.
template <std::size_t N>
struct Name {
  char text[N]{};
};

/// The member that something lacks.
enum class Lacks : std::uint8_t {
  claims,       ///< of a device: `static constexpr auto claims = axvm::claims(...)`
  Config,       ///< of a device: a plain struct of settings that all have defaults
  open,         ///< of a device with Resources: `static Result<Resources> open(const Config&, const HostWith<...>&)`
  constructor,  ///< of a device: from (const Config&, DeviceContext&), Resources& between them where it has any;
                ///< of a handler's policy: without arguments
  read,         ///< of a device: `void read(PioAccess&)` or `(MmioAccess&)`, with a tag for a named window; of
                ///< the policy for a register: `Action read(MsrExit&)`, or `write`
  write,        ///< of a device: `void write(const PioAccess&)` or `(const MmioAccess&)`, likewise
  name,         ///< of a profile: what people call it
  max_vcpus,    ///< of a profile: how many processors its machines have at most
  platform,     ///< of a profile: Platform::Bare or Platform::Pc
  address_map,  ///< of a profile: an AddressMap
  host_requirements,  ///< of a profile: a range of HostRequirement
  guest_cpuid,        ///< of a profile: `guest_cpuid(CpuidTable&, const GuestCpu&)`
  handle,             ///< of a handler's policy: `Action handle(Vcpu&)`, or `Action handle(HypercallExit&)`
  before,             ///< of an observer's policy: `void before(ExitReason, Vcpu&)`, or `after` with the Action, too
  state,              ///< of a device with a State: `State state;`, a plain aggregate whose members all have defaults
};

/// `A` and `B` both claim an I/O port.
template <class A, class B, At Port>
struct PortsOverlap;
/// `A` and `B` both claim a guest-physical address.
template <class A, class B, At Address>
struct WindowsOverlap;
/// `A` and `B` both claim the interrupt line `Line`.
template <class A, class B, std::uint64_t Line>
struct LineClaimedTwice;
/// No line is left for `D`; `Lines` is how many the machine has to give away when the fixed ones are taken.
template <class D, std::uint64_t Lines>
struct NoFreeIrq;
/// No device number of PCI bus 0 is left for `D`; `Slots` is how many there are.
template <class D, std::uint64_t Slots>
struct NoFreePciSlot;
/// `D` claims `Lines` interrupt lines, more than a device can have.
template <class D, std::size_t Lines>
struct TooManyLines;
/// No room is left for a window of `Size` bytes (or ports) of `D`.
template <class D, At Size>
struct NoRoomForWindow;
/// The port claim of `D` leaves the 64 Ki ports there are, or is empty.
template <class D, At Base>
struct PortOutOfRange;
/// The fixed window of `D` lies where RAM or the interrupt controllers can be.
template <class D, At Base>
struct WindowOutsideHole;
/// `D` claims a line that does not exist.
template <class D, std::uint64_t Line>
struct LineOutOfRange;
/// `T` stands in the device list and lacks `Member`; for read and write `Arguments` are what they take.
template <class T, Lacks Member, class... Arguments>
struct NotADevice;
/// `T` stands where Devices<...> belongs.
template <class T>
struct NotADeviceList;
/// `D` needs something that the hypervisor `H` does not have.
template <class D, class H, Feature Needed>
struct HypervisorLacks;
/// `T` stands where the CPU profile belongs and lacks `Member`.
template <class T, Lacks Member = Lacks::name>
struct NotACpuProfile;
/// `Wanted` processors for a profile that takes at most `Most`.
template <class Profile, unsigned Wanted, unsigned Most>
struct TooManyVcpus;
/// `T` stands where the hypervisor belongs and is not one.
template <class T>
struct NotAHypervisor;
/// `T` stands where Handlers<...> belongs.
template <class T>
struct NotAHandlerList;
/// `T` stands in the handler list and is not a handler.
template <class T>
struct NotAHandler;
/// `Policy` handles an exit and cannot be called for it; `Arguments` are what `Member` takes, if not the vCPU alone.
template <class Policy, Lacks Member, class... Arguments>
struct NotAPolicy;
/// `Policy` handles something that is no exit reason, or one that has no handler.
template <class Policy, auto Reason>
struct UnknownExit;
/// Both `A` and `B` handle the same exit.
template <class A, class B>
struct TwoHandlersForOneExit;
/// HLT never reaches `Policy`, because `D` claims an interrupt, or is a profile that is a PC, and the interrupt
/// controller in the kernel handles it.
template <class Policy, class D>
struct HaltNeverExits;
/// `D` chooses for its settings a name that flags and keys cannot begin with.
template <class D>
struct NotAConfigName;
/// The machine has no `Instance`-th `D`, counted from 0.
template <class D, std::size_t Instance>
struct NoSuchDevice;
/// The list has `Listed` devices, and a machine with this profile takes at most `Most`.
template <std::size_t Listed, std::size_t Most>
struct TooManyDevices;
/// The State of `D` has a field of type `Field` that no file can hold.
template <class D, Name Named, class Field>
struct NotSaveable;
/// `D` takes `Part` of the host, and the system's is in a header that is not included.
template <class D, HostPart Part>
struct HostPartMissing;
/// Nothing is wrong.
struct NoFault;

/// True for NoFault; unavailable for every fault, with what to write instead.
template <class Fault>
inline constexpr bool machine_with = true;

template <class A, class B, At Port>
constexpr bool machine_with<PortsOverlap<A, B, Port>> __attribute__((
    unavailable("axvm: two devices claim the same I/O port: give one of them another .base"))) = true;

template <class A, class B, At Address>
constexpr bool machine_with<WindowsOverlap<A, B, Address>> __attribute__((unavailable(
    "axvm: two devices claim the same MMIO address: leave .base out and the machine places the window"))) = true;

template <class A, class B, std::uint64_t Line>
constexpr bool machine_with<LineClaimedTwice<A, B, Line>> __attribute__((unavailable(
    "axvm: two devices claim the same interrupt line: leave .line out and the machine chooses a free one"))) = true;

template <class D, std::uint64_t Lines>
constexpr bool machine_with<NoFreeIrq<D, Lines>> __attribute__((
    unavailable("axvm: no interrupt line is left; the number is how many there are for claims without .line: list "
                "fewer devices that claim one"))) = true;

template <class D, std::uint64_t Slots>
constexpr bool machine_with<NoFreePciSlot<D, Slots>> __attribute__((
    unavailable("axvm: no PCI device number is left; the number is how many there are for claims of a PciFunction: "
                "list fewer devices that claim one"))) = true;

template <class D, std::size_t Lines>
constexpr bool machine_with<TooManyLines<D, Lines>> __attribute__((
    unavailable("axvm: a device has at most DeviceContext::max_lines interrupt lines: claim fewer"))) = true;

template <class D, At Size>
constexpr bool machine_with<NoRoomForWindow<D, Size>> __attribute__((
    unavailable("axvm: no room is left for a window of this size: make it smaller, or list fewer devices"))) = true;

template <class D, At Base>
constexpr bool machine_with<PortOutOfRange<D, Base>> __attribute__((
    unavailable("axvm: ports are 0 to 0xffff and a claim has at least one: change .base or .size"))) = true;

template <class D, At Base>
constexpr bool machine_with<WindowOutsideHole<D, Base>> __attribute__((
    unavailable("axvm: a fixed window lies in the profile's device hole (address_map): leave .base out and the machine "
                "places it"))) = true;

template <class D, std::uint64_t Line>
constexpr bool machine_with<LineOutOfRange<D, Line>> __attribute__((
    unavailable("axvm: interrupt lines are the I/O APIC's pins 0 to 47: change .line or leave it out"))) = true;

template <class T>
constexpr bool machine_with<NotADevice<T, Lacks::claims>> __attribute__((unavailable(
    "axvm: a device says what it occupies: 'static constexpr auto claims = axvm::claims(...)', public"))) = true;

template <class T>
constexpr bool machine_with<NotADevice<T, Lacks::Config>> __attribute__((unavailable(
    "axvm: a device has a public 'struct Config' whose members all have defaults; it may be empty"))) = true;

template <class T>
constexpr bool machine_with<NotADevice<T, Lacks::open>> __attribute__((
    unavailable("axvm: a device with Resources (which can be moved) has 'static axvm::Result<Resources> open(const "
                "Config&)', or with a second 'const axvm::HostWith<...>&'"))) = true;

template <class T>
constexpr bool machine_with<NotADevice<T, Lacks::constructor>> __attribute__((
    unavailable("axvm: a device is built from (const Config&, axvm::DeviceContext&), or from (const Config&, "
                "Resources&, axvm::DeviceContext&) where it has Resources"))) = true;

template <class T, class... Arguments>
constexpr bool machine_with<NotADevice<T, Lacks::read, Arguments...>> __attribute__((
    unavailable("axvm: a device that claims a window has a public 'void read(...)' that takes these"))) = true;

template <class T, class... Arguments>
constexpr bool machine_with<NotADevice<T, Lacks::write, Arguments...>> __attribute__((unavailable(
    "axvm: a device that claims a window has a public 'void write(...)' that takes these, the access as const"))) =
    true;

template <class T>
constexpr bool machine_with<NotADeviceList<T>> __attribute__((
    unavailable("axvm: the second argument is the list of devices: write Devices<...> around them"))) = true;

template <class D, class H, Feature Needed>
constexpr bool machine_with<HypervisorLacks<D, H, Needed>> __attribute__((unavailable(
    "axvm: the device needs what this hypervisor does not have: use another backend, or leave the device out"))) = true;

template <class T, Lacks Member>
constexpr bool machine_with<NotACpuProfile<T, Member>> __attribute__((
    unavailable("axvm: a CPU profile has name, max_vcpus, platform, address_map, host_requirements and guest_cpuid; "
                "see CpuProfileArchetype"))) = true;

template <class Profile, unsigned Wanted, unsigned Most>
constexpr bool machine_with<TooManyVcpus<Profile, Wanted, Most>> __attribute__((
    unavailable("axvm: the last number is how many vCPUs the profile takes, and a machine has at least one"))) = true;

template <class T>
constexpr bool machine_with<NotAHypervisor<T>> __attribute__((
    unavailable("axvm: not a hypervisor backend; see the concept axvm::Hypervisor for what one has"))) = true;

template <class T>
constexpr bool machine_with<NotAHandlerList<T>> __attribute__((
    unavailable("axvm: the third argument is the list of handlers: write Handlers<...> around them"))) = true;

template <class T>
constexpr bool machine_with<NotAHandler<T>> __attribute__((unavailable(
    "axvm: handlers are written OnHalt<Policy>, On<ExitReason, Policy>, OnHypercall<Number, Policy>, OnMsr<Index, "
    "Policy> or Observe<Policy>"))) = true;

template <class Policy>
constexpr bool machine_with<NotAPolicy<Policy, Lacks::constructor>> __attribute__((
    unavailable("axvm: a machine makes a handler's policy itself: it needs a public default constructor"))) = true;

template <class Policy>
constexpr bool machine_with<NotAPolicy<Policy, Lacks::handle>> __attribute__((unavailable(
    "axvm: a handler's policy has a public 'axvm::Action handle(Vcpu&)' for the hypervisor's vCPU"))) = true;

template <class Policy, class Exit>
constexpr bool machine_with<NotAPolicy<Policy, Lacks::handle, Exit>> __attribute__((
    unavailable("axvm: the policy of a hypercall has a public 'axvm::Action handle(axvm::HypercallExit&)'"))) = true;

template <class Policy, class Exit>
constexpr bool machine_with<NotAPolicy<Policy, Lacks::read, Exit>> __attribute__((
    unavailable("axvm: the policy of a register has a public 'axvm::Action read(axvm::MsrExit&)', 'write' likewise, or "
                "both"))) = true;

template <class Policy>
constexpr bool machine_with<NotAPolicy<Policy, Lacks::before>> __attribute__((unavailable(
    "axvm: an observer has a public 'void before(axvm::ExitReason, Vcpu&)', 'void after(axvm::ExitReason, Vcpu&, "
    "axvm::Action)', or both"))) = true;

template <class Policy, auto Reason>
constexpr bool machine_with<UnknownExit<Policy, Reason>> __attribute__((
    unavailable("axvm: no exit that a handler can be for: use one of axvm::ExitReason but Other"))) = true;

template <class A, class B>
constexpr bool machine_with<TwoHandlersForOneExit<A, B>> __attribute__((
    unavailable("axvm: an exit has one handler only: drop one of them, or call one from the other"))) = true;

template <class Policy, class D>
constexpr bool machine_with<HaltNeverExits<Policy, D>> __attribute__((unavailable(
    "axvm: with an in-kernel interrupt controller HLT never exits: drop OnHalt, or what claims the interrupt"))) = true;

template <class D>
constexpr bool machine_with<NotAConfigName<D>> __attribute__((
    unavailable("axvm: a device's config_name has lower-case letters, digits and _, starts with a letter and does not "
                "end with a digit"))) = true;

template <class D, std::size_t Instance>
constexpr bool machine_with<NoSuchDevice<D, Instance>> __attribute__((unavailable(
    "axvm: the machine has no such device, or fewer of it (they count from 0): add it to Devices<...>"))) = true;

template <std::size_t Listed, std::size_t Most>
constexpr bool machine_with<TooManyDevices<Listed, Most>> __attribute__((
    unavailable("axvm: the last number is how many devices can be listed: list fewer"))) = true;

template <class T>
constexpr bool machine_with<NotADevice<T, Lacks::state>> __attribute__((
    unavailable("axvm: a device with a State has a public 'State state;', and a State is a plain aggregate whose "
                "members all have defaults and can be assigned"))) = true;

template <class D, Name Named, class Field>
constexpr bool machine_with<NotSaveable<D, Named, Field>> __attribute__((
    unavailable("axvm: a field of a State is a bool, an integer, an enumeration, a Text<N>, a std::array of one of "
                "these, or an aggregate of them; what belongs to the host stays outside the State"))) = true;

template <class D, HostPart Part>
constexpr bool machine_with<HostPartMissing<D, Part>> __attribute__((unavailable(
    "axvm: this part of the system is in a header of its own: include the one of a device that takes it, such as "
    "axvm/virtio_net.hpp, or give create() a Host that you made"))) = true;

}  // namespace axvm::inline v1
