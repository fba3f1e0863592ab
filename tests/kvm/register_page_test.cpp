#include "guest.hpp"

#include <chrono>
#include <string>
#include <vector>

// Windows that a guest reads without leaving the kernel, and virtio's use of them.

using namespace axvm;

namespace {

constexpr auto mmio = static_cast<std::size_t>(ExitReason::Mmio);

/// Shows what was written last, in the word that was written, and how often, in the word behind it.
class Pad {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000});
  struct Config {};
  Pad(Config const&, DeviceContext& context) : page(context.register_page(0)) {
    if (page) page.store(0, 0), page.store(4, 0);
  }
  void read(MmioAccess& access) {
    ++reads;
    access.value = access.offset == 0 ? last : writes;
  }
  void write(MmioAccess const& access) {
    last = static_cast<std::uint32_t>(access.value);
    ++writes;
    if (!page) return;
    page.store(access.offset, last);
    page.store(4, writes);
  }

  RegisterPage page;
  unsigned reads = 0;
  std::uint32_t last = 0, writes = 0;
};

/// A virtio core whose two fields are always equal.
class PairCore {
 public:
  static constexpr std::uint32_t device_type = 77;
  static constexpr std::array<std::uint32_t, 1> queue_sizes = {1};

  struct Fields {
    std::uint32_t low = 1, high = 1;
  } fields;

  [[nodiscard]] std::uint64_t features() const { return 0; }
  [[nodiscard]] ConstBytes config() const { return bytes_of(fields); }
  template <virtio::Transport T>
  void notified(T& transport, std::size_t index) {
    transport.completed(index);
  }
  void reset() {}
};

/// Where the guest counts how often it has looked at the configuration space.
constexpr GuestAddress looks_address = 0x2'0000;

/// Changes its configuration space every 100 us, if it is told to: as the transport does it, or field by field in the
/// page that the guest reads, so far apart that it has looked at the page in between.
class Changing {
 public:
  static constexpr auto claims = axvm::claims(Mmio{.size = 0x1000}, Irq{});
  enum class Way : std::uint8_t { never, at_one_stroke, in_place };
  struct Config {
    Way way = Way::never;
    bool exact_interrupt_status = false;
  };

  Changing(Config const& config, DeviceContext& context)
      : memory_(context.memory),
        events_(context.events),
        transport_(core_, state, counters, "changing", adapted(config, context), config.exact_interrupt_status) {
    if (config.way != Way::never) arm();
  }
  void read(MmioAccess& access) { transport_.read(access); }
  void write(MmioAccess const& access) {
    writes.push_back(access.value);
    transport_.write(access);
  }

  virtio::RegisterState<1> state;
  virtio::TransportCounters counters;
  std::vector<std::uint64_t> writes;
  unsigned changes = 0;

 private:
  DeviceContext adapted(Config const& config, DeviceContext context) {
    if (config.way != Way::in_place) return context;
    page_ = context.register_page(0);
    context.window_owner = this;
    context.add_doorbell = nullptr;
    context.add_register_page = [](void* self, std::size_t) {
      return RegisterPage(static_cast<Changing*>(self)->page_.bytes(), self, [](void* changing, ConstBytes content) {
        static_cast<Changing*>(changing)->overwrite(content);
      });
    };
    return context;
  }
  void overwrite(ConstBytes content) const {
    auto copy = [&](std::size_t begin, std::size_t end) {
      std::memcpy(page_.bytes().data() + begin, content.data() + begin, end - begin);
      // Until the guest has looked at all of it twice: once for certain from the beginning. Not for one that has ended.
      const std::uint64_t start = events_.now();
      const std::uint32_t looks = memory_.load<std::uint32_t>(looks_address).value();
      while (memory_.load_acquire<std::uint32_t>(looks_address).value() - looks < 2 &&
             events_.now() - start < patience) {
      }
    };
    copy(0x100, 0x104);
    copy(0x104, 0x108);
    copy(0xfc, 0x100);
  }
  void arm() { events_.arm(0, events_.now() + 100'000, Callback::to<&Changing::change>(*this)); }
  void change() {
    core_.fields.low = core_.fields.high = core_.fields.low + 1;
    transport_.configuration_changed();
    ++changes;
    arm();
  }

  static constexpr std::uint64_t patience = 200'000'000;

  GuestMemory memory_;
  RegisterPage page_;
  Events events_;
  PairCore core_;
  virtio::MmioTransport<PairCore> transport_;
};

using M = Machine<Portable, Devices<Pad, Changing, DebugExit>>;

template <class D>
constexpr std::uint64_t window_of() {
  std::uint64_t bases[2]{};
  std::size_t found = 0;
  for (auto const& place : M::layout)
    if (place.claim.kind == ClaimKind::Mmio && place.claim.base != IoApic::base) bases[found++] = place.claim.base;
  return bases[std::is_same_v<D, Changing> ? 1 : 0];
}
constexpr std::uint64_t pad = window_of<Pad>(), changing = window_of<Changing>();
static_assert(pad != 0 && changing > pad);

/// What the guest ends with is in EAX.
Guest& finish(Guest& guest) { return guest.bytes({0xe7, 0xf4}).spin(); }  // out 0xf4, eax
Guest& store(Guest& guest, std::uint64_t address, std::uint32_t value) {
  return guest.rdi(address).rax(value).store32();
}
std::uint64_t exits_of(M& machine) { return machine.counters().exits[mmio].value(); }

/// From reset to DRIVER_OK, without a queue.
Guest& negotiate(Guest& guest) {
  using enum virtio::MmioRegister;
  const std::pair<virtio::MmioRegister, std::uint32_t> writes[] = {
      {Status, 1}, {Status, 3}, {DriverFeaturesSel, 1}, {DriverFeatures, 1}, {Status, 0xb}, {Status, 0xf}};
  for (auto const& [which, value] : writes) store(guest, changing + static_cast<std::uint64_t>(which), value);
  return guest;
}
constexpr unsigned negotiation = 6;  ///< exits for that

/// Reads generation, first field, a little later the second, and generation again, until the fields have become
/// `last`; writes to the pad how often the generation was the same, and ends with how often the fields then differed.
Guest reader(std::uint32_t last) {
  Guest guest;
  guest.rsi(changing);
  guest.bytes({0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9, 0x45, 0x31, 0xd2});  // xor of r8d, r9d, r10d with themselves
  const std::size_t again = guest.code.size();
  guest.bytes({0x8b, 0x86}).imm32(0xfc);          // mov eax, [rsi + ConfigGeneration]
  guest.bytes({0x8b, 0x9e}).imm32(0x100);         // mov ebx, [rsi + low]
  guest.ecx(20).bytes({0xff, 0xc9, 0x75, 0xfc});  // dec ecx; jnz
  guest.bytes({0x8b, 0x96}).imm32(0x104);         // mov edx, [rsi + high]
  guest.bytes({0x44, 0x8b, 0x9e}).imm32(0xfc);    // mov r11d, [rsi + ConfigGeneration]
  auto jump = [&](std::uint8_t condition) {
    guest.bytes({condition, static_cast<std::uint8_t>(again - guest.code.size() - 2)});
  };
  guest.bytes({0x41, 0xff, 0xc2, 0x44, 0x89, 0x14, 0x25}).imm32(looks_address);  // inc r10d; mov [looks_address], r10d
  guest.bytes({0x44, 0x39, 0xd8});                                               // cmp eax, r11d
  jump(0x75);                                                                    // jne again
  guest.bytes({0x41, 0xff, 0xc1});                                               // inc r9d
  guest.bytes({0x39, 0xd3, 0x74, 0x03, 0x41, 0xff, 0xc0});                       // cmp ebx, edx; je +3; inc r8d
  guest.bytes({0x81, 0xfb}).imm32(last);                                         // cmp ebx, last
  jump(0x72);                                                                    // jb again
  guest.rdi(pad).bytes({0x44, 0x89, 0xc8}).store32();                            // mov eax, r9d
  return finish(guest.bytes({0x44, 0x89, 0xc0}));                                // mov eax, r8d
}

/// Counts its own lives.
struct Life {
  static constexpr auto claims = axvm::claims(Pio{.base = 0x90, .size = 1});
  struct Config {};
  struct Resources {
    std::uint32_t built = 0;
  };
  static Result<Resources> open(Config const&) { return Resources{}; }
  Life(Config const&, Resources& resources, DeviceContext&) : built(++resources.built) {}
  void read(PioAccess& access) const { access.value = built; }
  void write(PioAccess const&) {}
  std::uint32_t built;
};

/// A KVM of a kernel that has no read-only memory slots.
class OldKvm {
 public:
  class Vm : public kvm::Vm {
   public:
    explicit Vm(kvm::Vm&& vm) : kvm::Vm(std::move(vm)) {}
    [[nodiscard]] Result<RegisterPage> register_page(GuestAddress, std::uint64_t) {
      return failure(ErrorCode::Unsupported, "map a register page: there are none");
    }
  };

  static Result<OldKvm> open() {
    auto kvm = kvm::Kvm::open();
    if (!kvm) return std::unexpected(kvm.error());
    return OldKvm(std::move(*kvm));
  }
  static constexpr bool lacks_io_apic = kvm::Kvm::lacks_io_apic;
  static constexpr bool has(Feature feature) { return kvm::Kvm::has(feature); }
  Result<Vm> create_vm(VmPlan const& plan) {
    auto vm = kvm_.create_vm(plan);
    if (!vm) return std::unexpected(vm.error());
    return Vm(std::move(*vm));
  }
  Result<CpuidTable> supported_cpuid() { return kvm_.supported_cpuid(); }

 private:
  explicit OldKvm(kvm::Kvm kvm) : kvm_(std::move(kvm)) {}
  kvm::Kvm kvm_;
};

}  // namespace

TEST_CASE("20,000 reads of a register page are no exit; each write is one, and its answer is there for the next read") {
  Guest guest;
  guest.rsi(pad).ecx(20'000).bytes({0x8b, 0x06, 0xff, 0xc9, 0x75, 0xfa});  // mov eax, [rsi]; dec ecx; jnz
  store(guest, pad, 0x1234);
  guest.bytes({0x8b, 0x1e});  // mov ebx, [rsi]
  store(guest, pad, 0x5678);
  guest.load32().bytes({0x01, 0xd8});  // add eax, ebx
  auto machine = load_guest<M>(finish(guest));
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.device<DebugExit>()->value() == 0x1234 + 0x5678);
  CHECK(exits_of(machine) == 2);
  CHECK(machine.device<Pad>()->writes == 2);
  CHECK(machine.device<Pad>()->reads == 0);
}

TEST_CASE("reads of every width and at every offset are loads of the register page") {
  Guest guest;
  store(guest, pad, 0x4433'2211);
  guest.rax(0).rsi(pad + 1).load16();
  auto machine = load_guest<M>(finish(guest));
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.device<DebugExit>()->value() == 0x3322);
  CHECK(exits_of(machine) == 1);
  Guest wide;
  store(wide, pad, 0x4433'2211);
  wide.rsi(pad).load64().bytes({0x48, 0xc1, 0xe8, 0x10});  // shr rax, 16: the count of writes in the upper half
  auto other = load_guest<M>(finish(wide));
  CHECK(*other.run() == End::Finished);
  CHECK(other.device<DebugExit>()->value() == 0x0001'4433);
}

TEST_CASE("a page is new after a reset") {
  // First life: the word is 0; write it, reset. Second life: the same word, or else the count of a bad end.
  using Rebooting = Machine<Portable, Devices<Pad, DebugExit, Life>>;
  Guest guest;
  guest.rsi(pad).dx(0x90).in8().bytes({0x3c, 0x02});  // cmp al, 2
  Guest first;
  store(first, pad, 77).bytes({0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe});  // mov al, 0xfe; out 0x64, al; jmp $
  guest.bytes({0x74, static_cast<std::uint8_t>(first.code.size())});  // je behind
  guest.code.insert(guest.code.end(), first.code.begin(), first.code.end());
  auto machine = load_guest<Rebooting>(finish(guest.load32()));
  CHECK(*machine.run() == End::Finished);
  CHECK(machine.device<Life>()->built == 2);
  CHECK(machine.device<DebugExit>()->value() == 0);
}

TEST_CASE("a guest never accepts a mixture of two configurations, and would, if they were changed in place") {
  for (const auto way : {Changing::Way::at_one_stroke, Changing::Way::in_place}) {
    M::Config config{.memory = 2 * MiB};
    config.of<Changing>().way = way;
    const std::uint32_t last = way == Changing::Way::at_one_stroke ? 200 : 20;
    auto machine = load_guest<M>(reader(last), config);
    CHECK(*machine.run() == End::Finished);
    CHECK(machine.device<Changing>()->changes >= last - 1);
    CHECK(machine.device<Pad>()->last > 0);  // how often it took what it read for one configuration
    CHECK((machine.device<DebugExit>()->value() == 0) == (way == Changing::Way::at_one_stroke));
    CHECK(exits_of(machine) == 1);
  }
}

TEST_CASE("acknowledging used buffers costs no exit, acknowledging a configuration change one") {
  for (const bool exact : {false, true}) {
    CAPTURE(exact);
    Guest guest;
    negotiate(guest).rdi(changing + 0x64).rax(1).ecx(1'000).bytes({0x89, 0x07, 0xff, 0xc9, 0x75, 0xfa});
    guest.rax(3).store32().rax(2).store32().rsi(changing + 0x60).load32();
    M::Config config{.memory = 2 * MiB};
    config.of<Changing>().exact_interrupt_status = exact;
    auto machine = load_guest<M>(finish(guest), config);
    CHECK(*machine.run() == End::Finished);
    CHECK(machine.device<DebugExit>()->value() == (exact ? 0 : 1));  // InterruptStatus
    Changing& device = *machine.device<Changing>();
    CHECK(device.state.status == 0xf);
    const std::size_t acknowledged = exact ? 1'002 : 2;
    REQUIRE(device.writes.size() == negotiation + acknowledged);
    CHECK(device.writes[device.writes.size() - 2] == 3);
    CHECK(device.writes.back() == 2);
    CHECK(device.counters.exits.value() == negotiation + acknowledged);
    CHECK(exits_of(machine) == negotiation + acknowledged);
  }
}

TEST_CASE("the register that a selector chooses is there for the next instruction") {
  Guest guest;
  guest.rsi(changing + 0x10);
  store(guest, changing + 0x14, 1).bytes({0x8b, 0x1e});                       // DeviceFeaturesSel; mov ebx, [rsi]
  store(guest, changing + 0x14, 0).load32().bytes({0x0f, 0xc8, 0x01, 0xd8});  // bswap eax; add eax, ebx
  auto machine = load_guest<M>(finish(guest));
  CHECK(*machine.run() == End::Finished);
  // INDIRECT_DESC and EVENT_IDX in the lower half, VERSION_1 in the upper.
  CHECK(machine.device<DebugExit>()->value() == 0x30 + 1);
  CHECK(exits_of(machine) == 2);
}

TEST_CASE("without register pages reads are exits, everything works, and the log says so once") {
  using Old = Machine<Portable, Devices<Pad, Changing, DebugExit>, Handlers<>, OldKvm>;
  std::vector<std::string> log;
  Guest guest;
  negotiate(guest).rsi(changing + 0x60).load32().bytes({0x8b, 0xd8});  // InterruptStatus; mov ebx, eax
  guest.rdi(changing + 0x64).rax(1).store32().rsi(changing + 0x70).load32().bytes({0xc1, 0xe0, 0x04, 0x01, 0xd8});
  finish(guest);
  auto kvm = OldKvm::open();
  REQUIRE(kvm);
  auto machine = Old::create({.memory = 2 * MiB}, Host{}, std::move(*kvm),
                             {&log, [](void* self, Severity severity, std::string_view message) {
                                if (severity == Severity::Info && message.find("register page") != message.npos)
                                  static_cast<std::vector<std::string>*>(self)->emplace_back(message);
                              }});
  REQUIRE(machine);
  for (int life = 1; life <= 2; ++life) {
    REQUIRE(machine->load([code = guest.code](boot::Context const& context) {
      return boot::load_flat({.code = std::as_bytes(std::span(code))}, context);
    }));
    CHECK(*machine->run() == End::Finished);
    CHECK(machine->device<DebugExit>()->value() == (0xf << 4) + 1);
    CHECK(machine->device<Changing>()->counters.exits.value() == negotiation + 2);
    CHECK(log.size() == 1);
  }
  CHECK(log[0].find("there are none") != std::string::npos);
}
