#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "guest.hpp"

// Hypercalls that KVM passes on.

using namespace axvm;

namespace {

/// Adds its arguments.
struct Sum {
  static Action handle(HypercallExit& call) {
    call.result = call.arguments[0] + call.arguments[1] + call.arguments[2] + call.arguments[3];
    return Action::Continue;
  }
};

/// Makes a hypercall, then halts. KVM takes either vendor's instruction for one.
Guest caller(std::uint32_t number, std::array<std::uint32_t, 4> arguments) {
  Guest guest;
  constexpr std::array<std::uint8_t, 4> to_register{0xbb, 0xb9, 0xba, 0xbe};  // mov ebx, ecx, edx, esi
  for (std::size_t i = 0; i < arguments.size(); ++i) guest.bytes({to_register[i]}).imm32(arguments[i]);
  guest.rax(number).bytes({0x0f, 0x01, 0xc1}).hlt();
  return guest;
}

/// A KVM that emulates what the processor cannot run may never get past VMCALL: then nothing is tested, which is told.
bool finishes(auto& machine) {
  if (skipped != nullptr) return false;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::jthread guard([&] {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, std::chrono::seconds(10), [&] { return done; })) machine.stop();
  });
  const auto end = machine.run();
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_one();
  REQUIRE(end);
  if (*end == End::Finished) return true;
  skipped = "this machine's KVM does not get past a VMCALL instruction";
  return false;
}

}  // namespace

TEST_CASE("hypercalls reach their handlers where KVM passes them on, else the machine says why not") {
  using M = Machine<Bare, Devices<>, Handlers<OnHypercall<77, Sum>>>;
  auto machine = M::create({.memory = 2 * MiB});
  REQUIRE(machine);
  auto loaded = machine->load([code = caller(77, {1, 2, 3, 4}).code](boot::Context const& context) {
    return boot::load_flat({.code = std::as_bytes(std::span(code))}, context);
  });
  if (!loaded) {
    CHECK(describe(loaded.error()).find("without CONFIG_KVM_XEN") != std::string::npos);
    return;
  }
  if (!finishes(*machine)) return;
  CHECK(machine->vcpu().general()->rax == 10);
  CHECK(machine->counters().exits[static_cast<std::size_t>(ExitReason::Hypercall)].value() == 1);
}

TEST_CASE("the hypercall that every KVM passes on reaches its handler") {
  using M = Machine<Bare, Devices<>, Handlers<OnHypercall<kvm::HC_MAP_GPA_RANGE, Sum>>>;
  // KVM wants an aligned address and at least one page.
  auto machine = load_guest<M>(caller(kvm::HC_MAP_GPA_RANGE, {0x4000, 2, 3, 4}));
  if (!finishes(machine)) return;
  CHECK(machine.vcpu().general()->rax == 0x4009);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::Hypercall)].value() == 1);
}

TEST_CASE("without a handler KVM answers hypercalls itself") {
  auto machine = load_guest<Machine<Bare>>(caller(77, {1, 2, 3, 4}));
  if (!finishes(machine)) return;
  CHECK(machine.vcpu().general()->rax == HypercallExit::not_implemented);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::Hypercall)].value() == 0);
}
