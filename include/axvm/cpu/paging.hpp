#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <axvm/core/guest_memory.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1 {

/// One 64-bit entry of a PML4, a page-directory-pointer table, a page directory or a page table
/// ([intel/vol3] 4.5.4, tables 4-15 to 4-20). Bits 11:9 and 62:52 are ignored by the processor.
struct PagingEntry {
  static constexpr std::uint64_t P = 1ull << 0;    ///< present
  static constexpr std::uint64_t R_W = 1ull << 1;  ///< writable
  static constexpr std::uint64_t U_S = 1ull << 2;  ///< accessible in user mode
  static constexpr std::uint64_t A = 1ull << 5;    ///< accessed
  static constexpr std::uint64_t D = 1ull << 6;    ///< dirty; only in entries that map a page
  static constexpr std::uint64_t PS = 1ull << 7;   ///< maps a page of 1 GiB or 2 MiB instead of naming a table
  static constexpr std::uint64_t XD = 1ull << 63;  ///< no instruction fetches

  static constexpr std::uint64_t address_mask = 0x000f'ffff'ffff'f000;  ///< bits 51:12

  std::uint64_t value = 0;

  /// Names the next lower table. `table` is a multiple of 4 KiB.
  static constexpr PagingEntry to_table(GuestAddress table) { return {table | P | R_W}; }
  /// Maps a page of 2 MiB for supervisor reads, writes and fetches. `page` is a multiple of 2 MiB.
  static constexpr PagingEntry to_2m_page(GuestAddress page) { return {page | P | R_W | PS}; }
};
static_assert(sizeof(PagingEntry) == 8);

/// A table of any level: one page.
using PagingTable = std::array<PagingEntry, 512>;
static_assert(sizeof(PagingTable) == 4096);

/// The most that one set of identity tables maps: what one page-directory-pointer table reaches.
inline constexpr std::uint64_t max_identity_mapped = 512_GiB;

/// Bytes that the tables take which map `[0, mapped)`: a PML4, a page-directory-pointer table and a page directory for
/// every GiB or part of one. `mapped` is at most `max_identity_mapped`.
constexpr std::uint64_t identity_tables_size(std::uint64_t mapped) {
  std::uint64_t directories = mapped / GiB + (mapped % GiB != 0 ? 1 : 0);
  return (2 + directories) * sizeof(PagingTable);
}

/// Writes 4-level tables that map every linear address in `[0, mapped)` to the same physical address with 2 MiB pages,
/// supervisor only, writable and executable; nothing else is mapped. `mapped` is rounded up to whole GiB. CR3 is `at`.
/// Fails with InvalidArgument when `at` is not a multiple of 4 KiB or `mapped` is 0 or above `max_identity_mapped`,
/// with OutOfMemory when the tables do not lie in guest RAM.
inline Result<> write_identity_tables(GuestMemory const& memory, GuestAddress at, std::uint64_t mapped) {
  constexpr std::uint64_t page = sizeof(PagingTable);
  if (!is_aligned(at, page) || mapped == 0 || mapped > max_identity_mapped)
    return failure(ErrorCode::InvalidArgument,
                   text<1023>("write identity page tables at ", Hex{at}, " for ", mapped, " bytes: they start at a ",
                              "multiple of 4096 and map 1 to ", max_identity_mapped, " bytes"));
  std::uint64_t size = identity_tables_size(mapped);
  if (memory.at(at, size) == nullptr)
    return failure(ErrorCode::OutOfMemory,
                   text<1023>("write identity page tables: ", Hex{at}, " to ", Hex{at + size}, " is not guest RAM"));

  // The range was checked as a whole; a write within it cannot fail.
  bool written = true;
  PagingTable table{};
  table[0] = PagingEntry::to_table(at + page);
  written &= memory.store(at, table);
  table = {};
  std::uint64_t directories = size / page - 2;
  for (std::uint64_t i = 0; i < directories; ++i) table[i] = PagingEntry::to_table(at + (2 + i) * page);
  written &= memory.store(at + page, table);
  for (std::uint64_t i = 0; i < directories; ++i) {
    for (std::uint64_t j = 0; j < table.size(); ++j) table[j] = PagingEntry::to_2m_page(i * GiB + j * 2_MiB);
    written &= memory.store(at + (2 + i) * page, table);
  }
  if (!written) return failure(ErrorCode::OutOfMemory, "write identity page tables: guest RAM changed meanwhile");
  return {};
}

}  // namespace axvm::inline v1
