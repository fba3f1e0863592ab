#pragma once

#include <pthread.h>

#include <cstdint>
#include <memory>
#include <span>

#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>
#include <axvm/host/host.hpp>
#include <axvm/memory/memory.hpp>

namespace axvm::inline v1::detail {

/// Where on its host a machine runs: nowhere in particular until there is a plan.
class MachinePlace {
 public:
  [[gnu::cold, AXVM_ONCE]] Result<> take(PlacementPlan const& plan, unsigned vcpus) {
    if (plan.vcpus.size() != vcpus)
      return failure(ErrorCode::InvalidArgument,
                     text<1023>("place a machine of ", vcpus, " vCPUs by a plan for ", plan.vcpus.size()));
    plan_ = std::make_unique<PlacementPlan>(plan);
    return {};
  }
  /// Null without one.
  [[nodiscard]] PlacementPlan const* plan() const { return plan_.get(); }

  /// Binds RAM to its nodes. Before anything is touched: pages that exist are not moved.
  [[gnu::cold]] Result<> bind(GuestRam const& ram) const {
    Result<> bound;
    if (plan_ == nullptr) return bound;
    for_each_node_memory(*plan_, ram.regions(), [&](std::size_t index, GuestRegion const& part) {
      for (BackedRange const& backed : ram.backing())
        if (bound) bound = bind_part(plan_->nodes[index], part, backed);
    });
    return bound;
  }

  /// Gives the thread of vCPU `index`, the calling one, its host CPUs and its priority (0: none).
  [[gnu::cold, AXVM_ONCE]] Result<> settle(unsigned index, unsigned realtime) const {
    if (plan_ == nullptr && realtime == 0) return {};
    const Text<15> name = text<15>("vCPU ", index);
    if (plan_ != nullptr)
      if (const CpuSet cpus = plan_->affinity(index); !cpus.empty())
        if (auto set = set_affinity(::pthread_self(), name.view(), cpus); !set) return set;
    return realtime == 0 ? Result<>{} : make_realtime(::pthread_self(), name.view(), static_cast<int>(realtime));
  }
  /// The same for the thread that does the devices' I/O.
  [[gnu::cold, AXVM_ONCE]] Result<> settle_io(::pthread_t thread) const {
    if (plan_ == nullptr || plan_->io_cpus.empty()) return {};
    return set_affinity(thread, "the I/O thread", plan_->io_cpus);
  }

 private:
  /// Binds what `part` and `backed` have in common. A page has one node: one that two nodes share goes to the first.
  /// Pages of a pool are reserved on whatever node has them; bound strictly, the guest would be killed by touching one
  /// that its own node does not have.
  static Result<> bind_part(GuestNodePlacement const& node, GuestRegion const& part, BackedRange const& backed) {
    const GuestAddress first = backed.range.base, last = first + backed.range.size;
    auto clamp = [&](GuestAddress at) {
      if (at <= first) return first;
      if (at >= last) return last;
      const std::uint64_t page = is_hugetlb(backed.backing) ? page_size(backed.backing) : 1;
      const GuestAddress up = first + align_down(at - first + (page - 1), page);
      return up < last ? up : last;
    };
    const GuestAddress begin = clamp(part.base), end = clamp(part.base + part.size);
    if (begin == end || node.binding == MemoryBinding::None) return {};
    const MemoryBinding binding = is_hugetlb(backed.backing) ? MemoryBinding::Preferred : node.binding;
    return bind_memory({backed.range.host + (begin - first), end - begin}, node.host_node, binding);
  }

  std::unique_ptr<PlacementPlan> plan_;
};

/// How the guest's processors are arranged: a package for each of its NUMA nodes.
class MachineTopology {
 public:
  MachineTopology(unsigned vcpus, PlacementPlan const* plan) : topology_{.vcpus = vcpus} {
    if (plan == nullptr) return;
    topology_.threads_per_core = plan->threads_per_core;
    if (!plan->guest_has_nodes()) return;
    for (unsigned i = 0; i < vcpus; ++i) package_of_[i] = static_cast<std::uint8_t>(plan->vcpus[i].guest_node);
    topology_.package_of = std::span(package_of_).first(vcpus);
  }
  MachineTopology(MachineTopology const&) = delete;
  MachineTopology& operator=(MachineTopology const&) = delete;

  [[nodiscard]] Topology const& get() const { return topology_; }

 private:
  Topology topology_;
  std::array<std::uint8_t, PlacementPlan::max_vcpus> package_of_{};
};

}  // namespace axvm::inline v1::detail
