#pragma once

#include <cstddef>
#include <cstdint>

namespace axvm::inline v1 {

// A wrong composition instantiates one of these; the compiler prints its name with the culprits as template arguments
// and the advice below it. Each is instantiated at most once per fault.

namespace detail {
template <class...>
inline constexpr bool never = false;
template <auto...>
inline constexpr bool never_value = false;
}  // namespace detail

/// `A` and `B` both claim the I/O port `Port`.
template <class A, class B, std::uint64_t Port>
struct PortsOverlap {
  static_assert(detail::never<A, B>, "axvm: two devices claim the same I/O port: give one of them another .base");
};

/// `A` and `B` both claim the guest-physical address `Address`.
template <class A, class B, std::uint64_t Address>
struct WindowsOverlap {
  static_assert(detail::never<A, B>,
                "axvm: two devices claim the same MMIO address: leave .base out and the machine places the window");
};

/// `A` and `B` both claim the interrupt line `Line`.
template <class A, class B, std::uint64_t Line>
struct LineClaimedTwice {
  static_assert(detail::never<A, B>,
                "axvm: two devices claim the same interrupt line: leave .line out and the machine chooses a free one");
};

/// No line is left for `D`; `Lines` is how many floating lines the machine has after the fixed ones are taken.
template <class D, std::size_t Lines>
struct NoFreeIrq {
  static_assert(detail::never<D>,
                "axvm: the I/O APIC has no free pin left: list fewer devices that claim an interrupt line");
};

/// No room is left for a window of `Size` bytes (or ports) of `D`.
template <class D, std::uint64_t Size>
struct NoRoomForWindow {
  static_assert(detail::never<D>, "axvm: the window does not fit what is left of the device address space");
};

/// The port claim of `D` at `Base` leaves the 64 Ki ports there are, or is empty.
template <class D, std::uint64_t Base>
struct PortOutOfRange {
  static_assert(detail::never<D>, "axvm: ports are numbered 0 to 0xffff and a claim has at least one");
};

/// The fixed window of `D` at `Base` lies where RAM or the interrupt controllers can be.
template <class D, std::uint64_t Base>
struct WindowOutsideHole {
  static_assert(detail::never<D>,
                "axvm: a fixed MMIO window must lie in the profile's device hole: leave .base out to have it placed");
};

/// `D` claims a line `Line` that does not exist.
template <class D, std::uint64_t Line>
struct LineOutOfRange {
  static_assert(detail::never<D>, "axvm: interrupt lines are the I/O APIC's pins 0 to 23");
};

/// HLT never reaches the handler of `Handler`, because `D` claims an interrupt (or the profile `D` is a PC) and the
/// interrupt controller in the kernel handles it.
template <class Handler, class D>
struct HaltNeverExits {
  static_assert(detail::never<Handler, D>,
                "axvm: with an in-kernel interrupt controller HLT never exits: drop OnHalt, or the interrupt claim");
};

/// Both `A` and `B` handle the same exit.
template <class A, class B>
struct TwoHandlersForOneExit {
  static_assert(detail::never<A, B>, "axvm: an exit reason can have one handler only");
};

/// `T` stands in the device list and is not a device.
template <class T>
struct NotADevice {
  static_assert(detail::never<T>,
                "axvm: a device has 'static constexpr auto claims', a 'struct Config' with defaults, a constructor "
                "(const Config&, DeviceContext&) and read/write for each kind of window it claims");
};

/// `T` stands where the CPU profile belongs and is not one.
template <class T>
struct NotACpuProfile {
  static_assert(detail::never<T>,
                "axvm: a CPU profile has name, max_vcpus, platform, address_map, host_requirements and guest_cpuid");
};

/// `H` stands where the hypervisor belongs and is not one.
template <class H>
struct NotAHypervisor {
  static_assert(detail::never<H>, "axvm: not a hypervisor backend; see axvm::Hypervisor for what one has");
};

}  // namespace axvm::inline v1
