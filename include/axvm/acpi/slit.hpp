#pragma once

#include <cstddef>
#include <cstdint>

#include <axvm/acpi/byte_writer.hpp>
#include <axvm/acpi/header.hpp>
#include <axvm/acpi/platform.hpp>
#include <axvm/core/once.hpp>

namespace axvm::inline v1::acpi {

/// System Locality Information Table, what precedes the matrix ([acpi/6.5] 5.2.17).
struct [[gnu::packed]] Slit {
  Header header;
  std::uint64_t Number_of_System_Localities = 0;
};
static_assert(sizeof(Slit) == 44);

/// Writes the SLIT: how far each node is from each other, 10 meaning local. Returns its address.
[[AXVM_ONCE]] constexpr GuestAddress write_slit(ByteWriter& out, Platform const& platform) {
  Slit slit;
  slit.header = Header("SLIT", 1, platform.identity);
  slit.Number_of_System_Localities = platform.nodes;
  return write_table(out, slit, [&] {
    std::uint64_t nodes = platform.nodes;
    for (std::uint64_t i = 0; i < nodes * nodes; ++i) {
      if (!platform.distances.empty()) out.put<std::uint8_t>(platform.distances[i]);
      else out.put<std::uint8_t>(i / nodes == i % nodes ? std::uint8_t{10} : std::uint8_t{20});
    }
  });
}

}  // namespace axvm::inline v1::acpi
