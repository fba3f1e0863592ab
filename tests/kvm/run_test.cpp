#include "guest.hpp"

#include <barrier>
#include <chrono>
#include <thread>

// How runs end, and that machines do not get in each other's way.

using namespace axvm;

namespace {

/// Tells the host that the guest runs, and lets it wait for that.
struct Started {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x80, .size = 1});
  struct Config {
    std::atomic<bool>* flag = nullptr;
  };
  Started(Config const& config, DeviceContext&) : flag_(config.flag) {}
  void read(PioAccess&) {}
  void write(PioAccess const&) {
    if (flag_ == nullptr) return;
    flag_->store(true);
    flag_->notify_all();
  }

 private:
  std::atomic<bool>* flag_;
};

/// Counts its own lives: what it opened survives a reset.
struct Lives {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x90, .size = 1});
  struct Config {};
  struct Resources {
    std::uint32_t built = 0;
  };
  static Result<Resources> open(Config const&) { return Resources{}; }
  Lives(Config const&, Resources& resources, DeviceContext&) : built_(++resources.built) {}
  void read(PioAccess& access) { access.value = built_; }
  void write(PioAccess const&) {}

 private:
  std::uint32_t built_;
};

/// Meets the other machine's device: neither goes on before both are there.
struct Meeting {
  static constexpr auto claims = axvm::claims(Pio{.base = 0xa0, .size = 1});
  struct Config {
    std::barrier<>* both = nullptr;
  };
  Meeting(Config const& config, DeviceContext&) : both_(config.both) {}
  void read(PioAccess&) {}
  void write(PioAccess const&) { both_->arrive_and_wait(); }

 private:
  std::barrier<>* both_;
};

/// Answers 0x42 and ends the run.
struct LastAnswer {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x99, .size = 1});
  struct Config {};
  LastAnswer(Config const&, DeviceContext& context) : machine_(context.machine) {}
  void read(PioAccess& access) {
    access.value = 0x42;
    machine_(Action::Stop);
  }
  void write(PioAccess const&) {}

 private:
  MachineControl machine_;
};

/// A doorbell that the hypervisor turns into a callback, and what it saw.
class Bell {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000});
  struct Config {};
  Bell(Config const&, DeviceContext& context) : machine_(context.machine) {
    registered =
        context.ring_on({.window = 0, .offset = 0x50, .width = 4, .value = 3}, Callback::to<&Bell::rung>(*this));
  }
  void read(MmioAccess&) {}
  void write(MmioAccess const&) { ++accesses; }
  void rung() {
    ++rings;
    machine_(Action::Stop);
  }
  bool registered = false;
  unsigned accesses = 0, rings = 0;

 private:
  MachineControl machine_;
};

}  // namespace

TEST_CASE("a halt without interrupts ends the run") {
  auto machine = load_guest<Machine<Bare>>(Guest().hlt());
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.state() == MachineState::Stopped);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::Halt)].value() == 1);
}

TEST_CASE("a triple fault is an error with the registers") {
  // An empty IDT and an invalid opcode.
  auto machine = load_guest<Machine<Bare>>(Guest().rax(0x1234'5678).bytes({0x0f, 0x0b}));
  const auto end = machine.run();
  REQUIRE(!end);
  const std::string_view said = end.error().operation;
  CHECK(said.find("triple fault") != said.npos);
  // KVM on AMD resets the processor before it reports the shutdown: its registers are then those after INIT.
  const bool reset = said.find("rip 0xfff0") != said.npos;
  CHECK((reset || said.find("rax 0x12345678") != said.npos));
  CHECK((reset || said.find("rip 0x1000a") != said.npos));
  CHECK(machine.state() == MachineState::Failed);
}

TEST_CASE("what the hypervisor cannot carry out ends the run with a readable report") {
  // Code where there is no memory: nothing can be fetched, nothing emulated.
  auto machine = load_guest<Machine<Bare>>(Guest().rax(0xe000'0000).bytes({0xff, 0xe0}));  // jmp rax
  const auto end = machine.run();
  REQUIRE(!end);
  const std::string_view said = end.error().operation;
  CHECK(said.find("vCPU 0: KVM internal error") != said.npos);
  CHECK(said.find("rip 0xe0000000") != said.npos);
  CHECK(machine.state() == MachineState::Failed);
}

TEST_CASE("stop() gets a guest out that never exits by itself") {
  std::atomic<bool> started{false};
  using M = Machine<Bare, Devices<Started>>;
  M::Config config{.memory = 2 * MiB};
  config.of<Started>().flag = &started;
  auto machine = load_guest<M>(Guest().bytes({0xe6, 0x80}).spin(), config);
  std::jthread stopper([&] {
    started.wait(false);
    machine.stop();
  });
  CHECK(*machine.run() == End::Stopped);
}

TEST_CASE("stop() ends several processors that wait for an interrupt that never comes") {
  std::atomic<bool> started{false};
  using M = Machine<Portable, Devices<Started>>;
  M::Config config{.memory = 2 * MiB, .vcpus = 4};
  config.of<Started>().flag = &started;
  auto machine = load_guest<M>(Guest().bytes({0xe6, 0x80}).hlt(), config);
  std::jthread stopper([&] {
    started.wait(false);
    machine.stop();
  });
  CHECK(*machine.run() == End::Stopped);
}

TEST_CASE("a PC powers off by its register") {
  auto machine = load_guest<Machine<Portable>>(
      Guest().rax(AcpiPower::s5_sleep_type << 10 | AcpiPower::SLP_EN).dx(AcpiPower::pm1a_control_block).out16().spin());
  CHECK(*machine.run() == End::PoweredOff);
}

TEST_CASE("a reset builds everything anew but what was opened") {
  using M = Machine<Portable, Devices<Lives>>;
  // First life: dirty memory and reset. Second life: the byte must be zero again; then power off, else spin on.
  Guest guest;
  guest.dx(0x90).in8().bytes({0x3c, 0x02, 0x74, 0x0f});                      // cmp al, 2; je second
  guest.bytes({0xc6, 0x04, 0x25}).imm32(0x20000).bytes({0x77});              // mov byte [0x20000], 0x77
  guest.bytes({0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe, 0x90});                   // mov al, 0xfe; out 0x64, al; jmp $; nop
  guest.bytes({0x80, 0x3c, 0x25}).imm32(0x20000).bytes({0x00, 0x75, 0xfe});  // second: cmp byte [0x20000], 0; jne $
  guest.rax(AcpiPower::s5_sleep_type << 10 | AcpiPower::SLP_EN).dx(AcpiPower::pm1a_control_block).out16().spin();
  auto machine = load_guest<M>(guest);
  CHECK(*machine.run() == End::PoweredOff);
  M::Config once{.memory = 2 * MiB, .reboot = false};
  auto other = load_guest<M>(guest, once);
  CHECK(*other.run() == End::Reset);
}

TEST_CASE("after a run the registers are those behind the last access") {
  auto machine = load_guest<Machine<Bare, Devices<LastAnswer>>>(Guest().rax(0).bytes({0xe4, 0x99}).spin());
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.vcpu().general()->rax == 0x42);
  CHECK(machine.vcpu().general()->rip == 0x1000c);
}

TEST_CASE("two machines of one process run at the same time") {
  std::barrier both(2);
  using M = Machine<Bare, Devices<Meeting>>;
  M::Config config{.memory = 2 * MiB};
  config.of<Meeting>().both = &both;
  Guest guest;
  guest.bytes({0xe6, 0xa0, 0xe6, 0xa0, 0xe6, 0xa0}).hlt();
  auto first = load_guest<M>(guest, config);
  auto second = load_guest<M>(guest, config);
  std::jthread other([&] { CHECK(*second.run() == End::Finished); });
  CHECK(*first.run() == End::Finished);
}

TEST_CASE("a doorbell calls back without an exit; another value arrives as an access") {
  using M = Machine<Portable, Devices<Bell>>;
  constexpr std::uint64_t base = M::layout[M::layout.size() - 2].claim.base;  // behind it is the I/O APIC
  auto machine = load_guest<M>(Guest().rdi(base + 0x50).rax(2).store32().rax(3).store32().spin());
  REQUIRE(machine.device<Bell>()->registered);
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.device<Bell>()->rings == 1);
  CHECK(machine.device<Bell>()->accesses == 1);
  CHECK(machine.counters().exits[static_cast<std::size_t>(ExitReason::Mmio)].value() == 1);
}

TEST_CASE("a guest's memory ends where the settings say") {
  auto machine = load_guest<Machine<Bare>>(Guest().rax(0).rsi(2 * MiB).load32().rsi(2 * MiB - 4).load32().hlt());
  REQUIRE(machine.run());
  CHECK(machine.counters().unclaimed.mmio.value() == 1);
}
