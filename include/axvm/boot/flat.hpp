#pragma once

#include <axvm/boot/context.hpp>
#include <axvm/boot/entry.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::boot {

/// Raw machine code: nothing but the bytes.
struct FlatImage {
  ConstBytes code;                 ///< entered at its first byte
  GuestAddress address = 0x10000;  ///< where it is loaded; below 1 MiB for Real16, below 4 GiB for the others
  Entry entry = Entry::Long64;     ///< any of the three modes
};

/// Puts raw code into guest memory and says how to enter it: the mode of `image.entry`, interrupts off, all general
/// registers zero but the stack pointer, which has a page to grow into. The range `LowMemory::begin` to
/// `LowMemory::page_tables_end` is the loader's own.
/// Fails with InvalidArgument (no code, an address that the mode does not reach, code over the loader's own range) or
/// OutOfMemory (the code or the tables do not lie in RAM).
inline Result<EntryState> load_flat(FlatImage const& image, Context const& context) {
  std::uint64_t size = image.code.size();
  if (size == 0) return failure(ErrorCode::InvalidArgument, "load code: there is none");
  std::uint64_t reach = image.entry == Entry::Real16 ? MiB : 4_GiB;
  if (!range_fits(image.address, size, reach))
    return failure(ErrorCode::InvalidArgument,
                   text<1023>("load code: ", size, " bytes at ", Hex{image.address}, " do not lie below ", Hex{reach}));
  if (image.address < LowMemory::page_tables_end && image.address + size > LowMemory::begin)
    return failure(
        ErrorCode::InvalidArgument,
        text<1023>("load code: ", size, " bytes at ", Hex{image.address}, " overlap ", Hex{LowMemory::begin}, " to ",
                   Hex{LowMemory::page_tables_end}, ", where the loader keeps GDT, stack and page tables"),
        "load it at 0x10000 or above");
  if (!context.memory.write(image.address, image.code))
    return failure(ErrorCode::OutOfMemory,
                   text<1023>("load code: ", size, " bytes at ", Hex{image.address}, " do not lie in guest RAM (",
                              context.memory.size(), " bytes)"),
                   "give the guest more memory");

  Result<SystemRegisters> system = prepare_entry(image.entry, image.address, context);
  if (!system) return std::unexpected(system.error());
  EntryState state{.general = {}, .system = *system};
  state.general.rip = image.address - state.system.cs.base;
  state.general.rsp = LowMemory::stack_top;
  return state;
}

}  // namespace axvm::inline v1::boot
