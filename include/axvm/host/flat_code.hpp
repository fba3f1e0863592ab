#pragma once

#include <axvm/boot/boot.hpp>
#include <axvm/core/result.hpp>

namespace axvm::inline v1 {

/// A loader for Machine::load: raw machine code, entered at its first byte. The code must outlive the machine.
struct FlatCode {
  std::span<const std::uint8_t> code;
  GuestAddress address = 0x10000;  ///< where it goes; below 1 MiB for Real16, below 4 GiB otherwise
  boot::Entry entry = boot::Entry::Long64;

  Result<EntryState> operator()(boot::Context const& context) const {
    return boot::load_flat({.code = std::as_bytes(code), .address = address, .entry = entry}, context);
  }
};

}  // namespace axvm::inline v1
