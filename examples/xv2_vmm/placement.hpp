#pragma once

#include <cstdint>
#include <memory>

#include <axvm/core/placement_plan.hpp>
#include <axvm/core/result.hpp>

#include "options.hpp"

namespace xv2 {

/// Plans on which CPUs and nodes of this host a machine runs; null when neither is wanted. `page_size` is that of the
/// host's pools of huge pages if the memory comes from one, else 0. Errors: what was asked for cannot be had here.
[[nodiscard]] axvm::Result<std::unique_ptr<axvm::PlacementPlan>> plan(Placement const& wanted, unsigned vcpus,
                                                                      std::uint64_t memory, std::uint64_t page_size,
                                                                      axvm::PlacementPolicy const& policy);

}  // namespace xv2
