#include <optional>
#include <vector>

#include "guest.hpp"

// Exits that KVM makes only when a handler asks for them.

using namespace axvm;

namespace {

constexpr std::uint32_t our_msr = 0x4b56'7000;  // nobody's
constexpr std::uint32_t tsc_msr = 0x10;         // IA32_TIME_STAMP_COUNTER, which KVM has
constexpr std::uint32_t no_msr = 0x4b56'7001;   // nobody's, and nobody handles it
constexpr std::uint32_t far_msr = 0xc000'2000;  // far from the others

/// Reads as three times what was written last.
struct Triple {
  Action read(MsrExit& msr) {
    msr.value = value * 3;
    return Action::Continue;
  }
  Action write(MsrExit& msr) {
    value = msr.value;
    return Action::Continue;
  }
  std::uint64_t value = 1;
};

/// A clock that stands still; writes stay KVM's.
struct Still {
  static Action read(MsrExit& msr) {
    msr.value = 0x1234'5678'9abc;
    return Action::Continue;
  }
};

struct Stop {
  static Action write(MsrExit&) { return Action::Stop; }
};

/// Every register that KVM does not know reads 5.
struct Five {
  static Action handle(auto& vcpu) {
    auto msr = vcpu.msr();
    msr.value = 5;
    msr.refused = false;
    vcpu.finish(msr);
    return Action::Continue;
  }
};

/// Where the guest stopped. An instruction with a breakpoint is met again until the breakpoint is gone.
struct Steps {
  Action handle(kvm::Vcpu& vcpu) {
    events.push_back(vcpu.debug_event());
    if (then) {
      CHECK(vcpu.set_debug(*then));
      then.reset();
    }
    return events.size() == enough ? Action::Stop : Action::Continue;
  }
  std::vector<DebugEvent> events;
  std::size_t enough = 0;
  std::optional<GuestDebug> then;
};

struct Count {
  void before(ExitReason reason, auto&) { ++seen[static_cast<std::size_t>(reason)]; }
  std::array<unsigned, exit_reason_count> seen{};
};

/// ecx = register, then RDMSR; rax = all 64 bits of it.
Guest& rdmsr(Guest& guest, std::uint32_t index) {
  return guest.ecx(index).bytes({0x0f, 0x32, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0});  // shl rdx, 32; or rax, rdx
}
/// The low half of a register is `value`, the high half zero.
Guest& wrmsr(Guest& guest, std::uint32_t index, std::uint32_t value) {
  return guest.rax(value).bytes({0x31, 0xd2}).ecx(index).bytes({0x0f, 0x30});  // xor edx, edx; wrmsr
}

/// Runs a machine to its end, and says why it is not the one that was wanted.
bool finished(auto& machine) {
  const auto end = machine.run();
  INFO((end ? name_of(*end).data() : describe(end.error())));
  CHECK(end);
  return end && *end == End::Finished;
}

constexpr std::uint64_t start = 0x10000;  // where load_flat puts the code

}  // namespace

TEST_CASE("kvm: a handler stands in for a register that KVM does not have") {
  using M = Machine<Bare, Devices<>, Handlers<OnMsr<our_msr, Triple>, OnMsr<far_msr, Stop>>>;
  Guest guest;
  wrmsr(guest, our_msr, 14);
  rdmsr(guest, our_msr).bytes({0x48, 0x89, 0xc3});  // mov rbx, rax
  wrmsr(guest, far_msr, 0).spin();
  auto machine = load_guest<M>(guest);
  REQUIRE(finished(machine));
  CHECK(machine.vcpu().general()->rbx == 42);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::MsrRead)].value() == 1);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::MsrWrite)].value() == 2);
}

TEST_CASE("kvm: a handler stands in for a register that KVM has; what it leaves out stays KVM's") {
  using M = Machine<Bare, Devices<>, Handlers<OnMsr<tsc_msr, Still>>>;
  Guest guest;
  wrmsr(guest, tsc_msr, 0);
  rdmsr(guest, tsc_msr).hlt();
  auto machine = load_guest<M>(guest);
  REQUIRE(finished(machine));
  CHECK(machine.vcpu().general()->rax == 0x1234'5678'9abc);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::MsrWrite)].value() == 0);
}

TEST_CASE("kvm: without a handler an unknown register faults, with one for all it does not") {
  Guest guest;
  rdmsr(guest, no_msr).hlt();
  CHECK(!load_guest<Machine<Bare>>(guest).run());  // a general-protection fault that nobody handles
  using M = Machine<Bare, Devices<>, Handlers<On<ExitReason::MsrRead, Five>>>;
  auto machine = load_guest<M>(guest);
  REQUIRE(finished(machine));
  CHECK(machine.vcpu().general()->rax == 5);
}

TEST_CASE("kvm: the local APIC's registers are KVM's alone, and a handler for one is told so") {
  using M = Machine<Bare, Devices<>, Handlers<OnMsr<0x802, Triple>>>;
  auto machine = M::create({.memory = 2 * MiB});
  REQUIRE(machine);
  static constexpr std::uint8_t halt[] = {0xf4};
  auto loaded = machine->load(FlatCode{halt});
  REQUIRE(!loaded);
  CHECK(describe(loaded.error()).find("handle the register 0x802") != std::string::npos);
}

TEST_CASE("kvm: a guest runs step by step under a handler of debug exits") {
  using M = Machine<Bare, Devices<>, Handlers<OnDebug<Steps>>>;
  auto machine = load_guest<M>(Guest().bytes({0x90, 0x90, 0xff, 0xc0}).hlt());  // nop; nop; inc eax; hlt
  REQUIRE(machine.vcpu().set_debug({.single_step = true}));
  machine.handler<Steps>().enough = 3;
  REQUIRE(finished(machine));
  auto const& events = machine.handler<Steps>().events;
  REQUIRE(events.size() == 3);
  CHECK(events[0].address == start + 1);
  CHECK(events[1].address == start + 2);
  CHECK(events[2].address == start + 4);
  CHECK((events[0].dr6 & 1u << 14) != 0);
}

TEST_CASE("kvm: a guest stops at a breakpoint, and goes on when it is gone") {
  if (kvm::host_is_tcg()) {
    skipped = "QEMU's TCG does not load the debug registers of a nested guest";
    return;
  }
  using M = Machine<Bare, Devices<>, Handlers<OnDebug<Steps>>>;
  auto machine = load_guest<M>(Guest().bytes({0x90, 0x90, 0xff, 0xc0}).hlt());
  GuestDebug debug;
  debug.breakpoints[2] = {.address = start + 2, .enabled = true};
  REQUIRE(machine.vcpu().set_debug(debug));
  machine.handler<Steps>().then = GuestDebug{};
  REQUIRE(finished(machine));
  auto const& events = machine.handler<Steps>().events;
  REQUIRE(events.size() == 1);
  CHECK(events[0].address == start + 2);
  CHECK(events[0].exception == 1);
  CHECK((events[0].dr6 & 15) == 4);
  CHECK(machine.vcpu().general()->rax == 1);
}

TEST_CASE("kvm: an observer counts what the machine counts") {
  using M = Machine<Bare, Devices<>, Handlers<Observe<Count>>>;
  auto machine = load_guest<M>(Guest().dx(0x80).out8().out8().rsi(0xd000'0000).load32().hlt());
  REQUIRE(finished(machine));
  auto const& seen = machine.handler<Count>().seen;
  CHECK(seen[static_cast<std::size_t>(ExitReason::Io)] == 2);
  CHECK(seen[static_cast<std::size_t>(ExitReason::Mmio)] == 1);
  for (std::size_t i = 0; i < exit_reason_count; ++i) CHECK(seen[i] == machine.counters().exits[i].value());
}
