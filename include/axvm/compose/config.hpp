#pragma once

#include <cstddef>
#include <cstdint>

#include <boost/hana/at.hpp>
#include <boost/hana/tuple.hpp>

#include <axvm/compose/devices.hpp>
#include <axvm/compose/diagnostics.hpp>
#include <axvm/core/field.hpp>
#include <axvm/core/units.hpp>
#include <axvm/cpu/memory_backing.hpp>
#include <axvm/cpu/paravirt.hpp>

namespace axvm::inline v1 {

/// What to do about a host that is not what the CPU profile asks for.
enum class HostCheck : std::uint8_t {
  strict,  ///< refuse to start
  warn,    ///< say so and go on
};

namespace detail {

template <class List>
struct ConfigTuple;
template <class... Ds>
struct ConfigTuple<Devices<Ds...>> {
  using Type = boost::hana::tuple<typename Ds::Config...>;
};

/// The index of the `Instance`-th `D` in a flat list; the list's length when there is none.
template <class D, std::size_t Instance, class... Ds>
consteval std::size_t index_of(Devices<Ds...>) {
  std::size_t index = 0, seen = 0, found = sizeof...(Ds);
  ((std::is_same_v<D, Ds> && seen++ == Instance ? (void)(found = index) : (void)0, ++index), ...);
  return found;
}

/// What is wrong with asking a machine of this list for its `Instance`-th `D`.
template <class List, class D, std::size_t Instance>
using DeviceFault = std::conditional_t<index_of<D, Instance>(List{}) < List::count, NoFault, NoSuchDevice<D, Instance>>;

/// Settings of a device that a machine does not have, so that the compiler has nothing more to say of it.
template <class D>
inline typename D::Config no_config{};

}  // namespace detail

/// The settings of a machine: its own, and those of each device in `List`. A plain aggregate with defaults:
/// `Xv2::Config config{.memory = 4_GiB, .vcpus = 4}; config.of<VirtioBlk>().path = "disk.img";`
template <class List>
struct MachineConfig {
  std::uint64_t memory = 512 * MiB;                         ///< guest RAM in bytes; a multiple of 4 KiB, at least 1 MiB
  MemoryBacking memory_backing = MemoryBacking::automatic;  ///< the pages behind it; what is named here must be had
  bool mlock = false;     ///< whether all of it stays in the host's RAM, from the start
  bool prefault = false;  ///< whether the host finds all of it at the start, in place of when the guest touches it
  unsigned vcpus = 1;     ///< 1 to the profile's max_vcpus
  HostCheck host_check = HostCheck::strict;  ///< what happens on a host that the profile does not fit
  CpuUse cpu_use = CpuUse::shared;           ///< whether each vCPU has a processor of the host for itself
  unsigned realtime = 0;                     ///< priority of vCPU threads (SCHED_FIFO), 1 to 99; 0: ordinary threads
  bool reboot = true;                        ///< whether a reset by the guest starts it again or ends the run
  int kick_signal = 0;                       ///< the signal that interrupts vCPU threads; 0 is SIGRTMIN
  typename detail::ConfigTuple<List>::Type devices{};

  /// The settings of the `Instance`-th device of type `D`.
  template <class D, std::size_t Instance = 0>
  [[nodiscard]] auto& of() {
    static_assert(machine_with<detail::DeviceFault<List, D, Instance>>);
    return find<D, Instance>(devices);
  }
  template <class D, std::size_t Instance = 0>
  [[nodiscard]] auto const& of() const {
    static_assert(machine_with<detail::DeviceFault<List, D, Instance>>);
    return find<D, Instance>(devices);
  }

 private:
  template <class D, std::size_t Instance, class Tuple>
  static auto& find(Tuple& all) {
    constexpr std::size_t index = detail::index_of<D, Instance>(List{});
    if constexpr (index < List::count) return boost::hana::at_c<index>(all);
    else return detail::no_config<D>;
  }
};

/// The machine's own fields, without the devices', and what a person should know of each. The upper bound of `vcpus` is
/// the profile's.
template <class List>
inline constexpr auto machine_fields = axvm::fields(
    field<&MachineConfig<List>::memory>{
        .help = "guest memory", .unit = "bytes", .alias = 'm', .min = MiB, .multiple_of = 4 * KiB},
    field<&MachineConfig<List>::memory_backing>{.help = "host pages behind guest memory"},
    field<&MachineConfig<List>::mlock>{.help = "keep all guest memory in the host's RAM, from the start"},
    field<&MachineConfig<List>::prefault>{.help = "find pages for all guest memory at the start"},
    field<&MachineConfig<List>::vcpus>{.help = "virtual CPUs", .alias = 'c', .min = 1},
    field<&MachineConfig<List>::host_check>{.help = "on a host that does not fit the CPU profile, refuse or go on"},
    field<&MachineConfig<List>::cpu_use>{
        .help = "dedicated: every virtual CPU has a host core for itself, and waits on it without an exit"},
    field<&MachineConfig<List>::realtime>{
        .help = "real-time priority of virtual CPUs (SCHED_FIFO); 0: none", .min = 0, .max = 99},
    field<&MachineConfig<List>::reboot>{.help = "start the guest again when it resets"},
    field<&MachineConfig<List>::kick_signal>{
        .help = "signal that interrupts virtual CPUs; 0: a real-time signal", .min = 0, .max = 64});

}  // namespace axvm::inline v1
