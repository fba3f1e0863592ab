#include "placement.hpp"

#include <axvm/placement/placement.hpp>

namespace xv2 {

axvm::Result<std::unique_ptr<axvm::PlacementPlan>> plan(Placement const& wanted, unsigned vcpus, std::uint64_t memory,
                                                        std::uint64_t page_size, axvm::PlacementPolicy const& policy) {
  auto pin = axvm::PinOption::parse(wanted.pin);
  if (!pin) return std::unexpected(pin.error());
  auto numa = axvm::NumaOption::parse(wanted.numa);
  if (!numa) return std::unexpected(numa.error());
  if (pin->kind == axvm::PinOption::Kind::None && numa->kind == axvm::NumaOption::Kind::Off) return nullptr;
  auto host = axvm::read_topology();
  if (!host) return std::unexpected(host.error());
  auto allowed = axvm::allowed_host();
  if (!allowed) return std::unexpected(allowed.error());
  // Made where it stays: a plan is large, and a stack keeps the pages that it once needed.
  using Planned = axvm::Result<axvm::PlacementPlan>;
  const std::unique_ptr<Planned> planned(new Planned(axvm::plan_placement(*host, *allowed,
                                                                          {.vcpus = vcpus,
                                                                           .memory = memory,
                                                                           .pin = std::move(*pin),
                                                                           .numa = std::move(*numa),
                                                                           .policy = policy,
                                                                           .page_size = page_size})));
  if (!*planned) return std::unexpected(planned->error());
  return std::make_unique<axvm::PlacementPlan>(**planned);
}

}  // namespace xv2
