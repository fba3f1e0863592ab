#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace axvm::inline v1 {

/// What one hypervisor has and another lacks, and a device may be unable to do without. A device says which:
/// `static constexpr std::array needs{Feature::Doorbells}`; a hypervisor answers `static constexpr bool has(Feature)`,
/// and one that does not answer has none. A claim of message interrupts needs them without saying so.
enum class Feature : std::uint8_t {
  MessageInterrupts,  ///< delivers the messages of Msi claims
  Doorbells,          ///< turns a write into an event without stopping the processor that writes
};

/// A hypervisor with local APICs only: `static constexpr bool lacks_io_apic = true`. Its machines have one of their
/// own.
template <class H>
concept LacksIoApic = requires { requires H::lacks_io_apic; };

/// Says what it cannot do without.
template <class D>
concept HasNeeds = requires {
  { D::needs.size() } -> std::same_as<std::size_t>;
  { D::needs[0] == Feature::Doorbells } -> std::same_as<bool>;
};

}  // namespace axvm::inline v1
