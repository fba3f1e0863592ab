#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

#include "fake_machine.hpp"

// What handlers are asked, in which order, and what becomes of their answers, on the scripted hypervisor.

using namespace axvm;
using on_fake::make;

namespace {

/// Answers with the sum of the arguments, and ends the run when it is 99.
struct Sum {
  Action handle(HypercallExit& call) {
    ++calls;
    call.result = 0;
    for (std::uint64_t argument : call.arguments) call.result += argument;
    return call.result == 99 ? Action::Stop : Action::Continue;
  }
  unsigned calls = 0;
};

/// Answers with the vCPU's own view of the number.
struct Echo {
  static Action handle(HypercallExit& call, auto& vcpu) {
    call.result = vcpu.hypercall().number;
    return Action::Continue;
  }
};

/// A register that counts its reads and takes values below 100.
struct Ticks {
  Action read(MsrExit& msr) {
    msr.value = value++;
    return Action::Continue;
  }
  Action write(MsrExit& msr) {
    if (msr.value >= 100) msr.refuse();
    else value = msr.value;
    return Action::Continue;
  }
  std::uint64_t value = 7;
};

/// A register that can be written only; writing ends the run as the value says.
struct Switch {
  static Action write(MsrExit& msr) { return static_cast<Action>(msr.value); }
};

/// Notes what happens.
struct Diary {
  void before(ExitReason reason, auto&) { pages.push_back(std::string(name_of(reason))); }
  void after(ExitReason, auto&, Action action) {
    pages.back() += action == Action::Continue ? "" : action == Action::Stop ? " stop" : " ?";
  }
  std::vector<std::string> pages;
};

/// Answers every number.
struct Rest {
  static Action handle(auto& vcpu) {
    auto call = vcpu.hypercall();
    call.result = 0x1000 + call.number;
    vcpu.finish(call);
    return Action::Continue;
  }
};

/// One policy for two exits, and an observer at that.
struct Everything {
  Action handle(auto&) {
    ++handled;
    return Action::Continue;
  }
  void after(ExitReason, auto&, Action) { ++seen; }
  unsigned handled = 0, seen = 0;
};

template <class... Hs>
using Handled = Machine<Bare, Devices<>, Handlers<Hs...>, fake::Fake>;

constexpr std::uint64_t not_implemented = HypercallExit::not_implemented;
constexpr std::uint64_t not_permitted = HypercallExit::not_permitted;

}  // namespace

TEST_CASE("handlers: a hypercall goes to the handler of its number, others are refused") {
  const fake::Fake guest({fake::hypercall(5, {1, 2, 3, 4}), fake::hypercall(6, {1}), fake::hypercall(9)});
  auto machine = make<Handled<OnHypercall<5, Sum>, OnHypercall<9, Echo>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{10, not_implemented, 9});
  CHECK(machine.handler<Sum>().calls == 1);
}

TEST_CASE("handlers: a guest's user programs reach no handler of a hypercall") {
  const fake::Fake guest({fake::hypercall(5, {1, 2}, 3), fake::hypercall(5, {1, 2}, 0)});
  auto machine = make<Handled<OnHypercall<5, Sum>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{not_permitted, 3});
  CHECK(machine.handler<Sum>().calls == 1);
}

TEST_CASE("handlers: what no number's handler takes goes to the one for the reason") {
  const fake::Fake guest({fake::hypercall(5, {1}), fake::hypercall(6, {1})});
  auto machine = make<Handled<On<ExitReason::Hypercall, Rest>, OnHypercall<5, Sum>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{1, 0x1006});
}

TEST_CASE("handlers: registers are read, written and refused") {
  const fake::Fake guest({fake::rdmsr(0x4b56'0000), fake::wrmsr(0x4b56'0000, 50), fake::rdmsr(0x4b56'0000),
                          fake::wrmsr(0x4b56'0000, 100), fake::rdmsr(0x4b56'0000), fake::rdmsr(0x10),
                          fake::rdmsr(0x4b56'0001), fake::wrmsr(0x11, 1)});
  auto machine = make<Handled<OnMsr<0x4b56'0000, Ticks>, OnMsr<0x4b56'0001, Switch>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{7, 50, 51});
  CHECK(guest.recorder().faults == 4);  // a value, two registers that nobody has, one that cannot be read
}

TEST_CASE("handlers: they stop, power off, reset and fail a machine") {
  constexpr auto end_of = [](Action action, bool reboot) {
    const fake::Fake guest({fake::wrmsr(1, static_cast<std::uint64_t>(action)), fake::hypercall(5, {7})});
    auto machine = make<Handled<OnMsr<1, Switch>, OnHypercall<5, Sum>>>(guest, {.memory = 2 * MiB, .reboot = reboot});
    auto end = machine.run();
    CHECK(machine.template handler<Sum>().calls == (action == Action::Continue ? 1 : 0));
    return end;
  };
  CHECK(*end_of(Action::Continue, false) == End::Finished);
  CHECK(*end_of(Action::Stop, false) == End::Finished);
  CHECK(*end_of(Action::PowerOff, false) == End::PoweredOff);
  CHECK(*end_of(Action::Reset, false) == End::Reset);
  CHECK(!end_of(Action::Fail, false));
}

TEST_CASE("handlers: the answer of a call that ends the run is the guest's all the same") {
  const fake::Fake guest({fake::hypercall(5, {90, 9}), fake::hypercall(5, {1})});
  auto machine = make<Handled<OnHypercall<5, Sum>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(guest.recorder().reads == std::vector<std::uint64_t>{99});
}

TEST_CASE("handlers: an observer sees every exit, before and behind its handler") {
  const fake::Fake guest({fake::out(0x80, 1), fake::load(0xd000'0000), fake::hypercall(5), fake::hypercall(5, {99}),
                          fake::exit(ExitReason::Debug)});
  auto machine = make<Handled<Observe<Diary>, OnHypercall<5, Sum>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.handler<Diary>().pages == std::vector<std::string>{"io", "mmio", "hypercall", "hypercall stop"});
}

TEST_CASE("handlers: an observer sees what nobody has a word for") {
  const fake::Fake guest({fake::exit(ExitReason::Other)});
  auto machine = make<Handled<Observe<Diary>>>(guest);
  CHECK(!machine.run());
  CHECK(machine.handler<Diary>().pages == std::vector<std::string>{"other ?"});
}

TEST_CASE("handlers: a policy has one object, whatever it handles and through resets") {
  const fake::Fake guest({fake::exit(ExitReason::Debug), fake::exit(ExitReason::Shutdown)});
  auto machine = make<Handled<OnDebug<Everything>, OnShutdown<Everything>, Observe<Everything>>>(guest);
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.handler<Everything>().handled == 2);
  CHECK(machine.handler<Everything>().seen == 3);  // and the halt
}

TEST_CASE("handlers: what a hypervisor is asked to pass on is a constant") {
  using V = fake::Vcpu;
  constexpr auto some =
      extra_exits<Handlers<OnHypercall<5, Sum>, OnMsr<1, Switch>, OnMsr<2, Ticks>, Observe<Diary>, OnDebug<Everything>>,
                  V>;
  static_assert(some.hypercalls.size() == 1 && some.hypercalls[0] == 5 && !some.all_hypercalls);
  static_assert(some.msr_reads.size() == 1 && some.msr_reads[0] == 2 && !some.unknown_msrs);
  static_assert(some.msr_writes.size() == 2 && some.msr_writes[0] == 1 && some.msr_writes[1] == 2);
  constexpr auto none = extra_exits<Handlers<OnShutdown<Everything>>, V>;
  static_assert(!none.any_hypercall() && !none.unknown_msrs && none.msr_reads.empty() && none.msr_writes.empty());
  static_assert(extra_exits<Handlers<On<ExitReason::Hypercall, Everything>>, V>.all_hypercalls);
  static_assert(extra_exits<Handlers<On<ExitReason::MsrWrite, Everything>>, V>.unknown_msrs);
  // No handler, no room, no code.
  static_assert(std::is_empty_v<HandlerObjects<Handlers<OnMsr<1, Switch>>>>);
}
