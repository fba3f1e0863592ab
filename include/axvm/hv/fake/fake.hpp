#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <axvm/device/claims.hpp>
#include <axvm/hv/fake/script.hpp>
#include <axvm/hv/hypervisor.hpp>

namespace axvm::fake::inline v1 {

/// A change of an interrupt line, as the fake recorded it.
struct LineChange {
  std::uint64_t line = 0;
  bool level = false;

  friend bool operator==(LineChange const&, LineChange const&) = default;
};

/// What happened while a script ran. Shared by the hypervisor and the test that looks at it.
struct Recorder {
  std::mutex mutex;
  std::vector<std::uint64_t> reads;           ///< what loads, INs, hypercalls and RDMSRs got, in order
  std::uint64_t faults = 0;                   ///< how many accesses to registers were refused
  std::vector<LineChange> interrupts;         ///< what devices did with their lines, in order
  std::vector<Message> messages;              ///< what was sent to local APICs, in order
  std::map<unsigned, Message> watched;        ///< by line, the messages whose ends are to be told of
  std::vector<CpuidTable> cpuid;              ///< what each processor was given
  std::optional<std::uint32_t> halt_poll_ns;  ///< what the machine wanted of halt polling
  bool performance_counters = true;           ///< whether it wanted the host's for its guest
  EntryState entry;                           ///< where the first processor was told to start
};

/// A processor that plays its script.
class Vcpu {
 public:
  Vcpu(std::shared_ptr<Script const> script, std::shared_ptr<Recorder> recorder)
      : script_(std::move(script)), recorder_(std::move(recorder)) {}

  static constexpr bool is(std::uint32_t code, ExitReason reason) { return code == static_cast<std::uint32_t>(reason); }

  std::uint32_t run() {
    collect();
    if (__atomic_load_n(&interrupted_, __ATOMIC_RELAXED)) return code_of(ExitReason::Interrupted);
    if (script_ == nullptr || next_ == script_->size()) return code_of(ExitReason::Halt);
    Step const& step = (*script_)[next_++];
    current_ = &step;
    if (is_access(step)) {
      data_.assign(std::size_t{step.count} * step.width + 8, std::byte{0xaa});  // not zeros: stale bytes must not show
      for (std::size_t i = 0; i < step.values.size(); ++i)
        std::memcpy(data_.data() + i * step.width, &step.values[i], step.width);
    }
    return code_of(step.reason);
  }

  void interrupt() { __atomic_store_n(&interrupted_, true, __ATOMIC_RELAXED); }

  [[nodiscard]] IoExit io() {
    return {static_cast<std::uint16_t>(current_->address), current_->width, current_->is_write, current_->count,
            data_.data()};
  }
  [[nodiscard]] MmioExit mmio() { return {current_->address, current_->width, current_->is_write, data_.data()}; }
  [[nodiscard]] std::uint8_t ended_vector() const { return static_cast<std::uint8_t>(current_->address); }
  [[nodiscard]] Action system_event() { return Action::PowerOff; }
  [[nodiscard]] HypercallExit hypercall() const {
    HypercallExit exit{.number = current_->address, .privilege_level = current_->width};
    std::copy_n(current_->values.begin(), std::min(current_->values.size(), exit.arguments.size()),
                exit.arguments.begin());
    return exit;
  }
  void finish(HypercallExit const& exit) { result_ = exit.result; }
  [[nodiscard]] MsrExit msr() const {
    return {.index = static_cast<std::uint32_t>(current_->address),
            .value = current_->is_write ? current_->values.front() : 0};
  }
  void finish(MsrExit const& exit) {
    result_ = exit.value;
    refused_ = exit.refused;
  }

  [[nodiscard]] Result<> set_cpuid(CpuidTable const& table) {
    recorder_->cpuid.push_back(table);
    return {};
  }
  [[nodiscard]] Result<> set_entry(EntryState const& entry) {
    recorder_->entry = entry;
    return {};
  }
  [[nodiscard]] Result<GeneralRegisters> general() { return recorder_->entry.general; }
  [[nodiscard]] Result<SystemRegisters> system() { return recorder_->entry.system; }
  [[nodiscard]] Text<1023> describe_failure() {
    return text<1023>("scripted ", name_of(current_ != nullptr ? current_->reason : ExitReason::Other));
  }

 private:
  static constexpr std::uint32_t code_of(ExitReason reason) { return static_cast<std::uint32_t>(reason); }
  static bool is_access(Step const& step) { return step.reason == ExitReason::Io || step.reason == ExitReason::Mmio; }

  /// Notes what the last step brought: a guest sees it when it goes on.
  void collect() {
    if (current_ == nullptr) return;
    const std::lock_guard guard(recorder_->mutex);
    if (!current_->is_write) {
      if (is_access(*current_)) collect_items();
      else if (current_->reason == ExitReason::Hypercall || (current_->reason == ExitReason::MsrRead && !refused_))
        recorder_->reads.push_back(result_);
    }
    if (std::exchange(refused_, false)) ++recorder_->faults;
    current_ = nullptr;
  }
  void collect_items() {
    for (std::uint32_t i = 0; i < current_->count; ++i) {
      std::uint64_t value = 0;
      std::memcpy(&value, data_.data() + std::size_t{i} * current_->width, current_->width);
      recorder_->reads.push_back(value);
    }
  }

  std::shared_ptr<Script const> script_;
  std::shared_ptr<Recorder> recorder_;
  std::vector<std::byte> data_;
  std::size_t next_ = 0;
  Step const* current_ = nullptr;
  std::uint64_t result_ = 0;  ///< of the hypercall or the register
  bool refused_ = false;
  bool interrupted_ = false;
};

/// A machine whose processors play scripts.
class Vm {
 public:
  using Vcpu = fake::Vcpu;

  Vm(std::shared_ptr<Script const> script, std::shared_ptr<Recorder> recorder)
      : script_(std::move(script)), recorder_(std::move(recorder)) {}

  [[nodiscard]] Result<> map(unsigned, GuestRegion const&) { return {}; }
  [[nodiscard]] Result<Vcpu> create_vcpu(unsigned index, unsigned) {
    return Vcpu(index == 0 ? script_ : std::shared_ptr<Script const>(), recorder_);
  }
  [[nodiscard]] Result<IrqLine> connect(Claim const& irq) {
    lines_.push_back(std::make_unique<Line>(Line{irq.base, recorder_}));
    return IrqLine(lines_.back().get(), [](void* self, bool level) {
      auto& line = *static_cast<Line*>(self);
      const std::lock_guard guard(line.recorder->mutex);
      line.recorder->interrupts.push_back({line.number, level});
    });
  }
  void send(Message const& message) {
    const std::lock_guard guard(recorder_->mutex);
    recorder_->messages.push_back(message);
  }
  void watch_end(unsigned line, Message const* message) {
    const std::lock_guard guard(recorder_->mutex);
    if (message != nullptr) recorder_->watched[line] = *message;
    else recorder_->watched.erase(line);
  }
  static constexpr bool waits_in_guest() { return false; }
  /// There are none: every write arrives as an access.
  [[nodiscard]] Result<int> doorbell(ClaimKind, std::uint64_t, std::uint8_t, std::uint64_t) {
    return failure(ErrorCode::Unsupported, "register a doorbell: the fake hypervisor has none");
  }

 private:
  struct Line {
    std::uint64_t number;
    std::shared_ptr<Recorder> recorder;
  };

  std::shared_ptr<Script const> script_;
  std::shared_ptr<Recorder> recorder_;
  std::vector<std::unique_ptr<Line>> lines_;
};

/// A hypervisor without hardware: plays a list of exits, so that any machine and any device can be tested anywhere.
class Fake {
 public:
  using Vm = fake::Vm;

  Fake() = default;
  /// Plays `script` from the beginning each time a machine is built.
  explicit Fake(Script script) : script_(std::make_shared<Script const>(std::move(script))) {}

  [[nodiscard]] static Result<Fake> open() { return Fake(); }
  [[nodiscard]] Result<Vm> create_vm(VmPlan const& plan) {
    recorder_->halt_poll_ns = plan.halt_poll_ns;
    recorder_->performance_counters = plan.performance_counters;
    return Vm(script_, recorder_);
  }
  /// A processor with the basic leaves and no features.
  [[nodiscard]] Result<CpuidTable> supported_cpuid() {
    CpuidTable table;
    for (const std::uint32_t leaf : {0u, cpuid::FEATURES, cpuid::TOPOLOGY})
      (void)table.add({.function = leaf, .eax = leaf == 0 ? cpuid::TOPOLOGY : 0});
    return table;
  }

  /// What happened; valid as long as anything of this hypervisor lives.
  [[nodiscard]] Recorder& recorder() const { return *recorder_; }
  /// The same, to keep when the hypervisor is handed to a machine.
  [[nodiscard]] std::shared_ptr<Recorder> share_recorder() const { return recorder_; }

 private:
  std::shared_ptr<Script const> script_;
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
};
static_assert(Hypervisor<Fake>);

/// The same with local APICs only, so that machines bring their own I/O APIC.
class FakeLocalApics : public Fake {
 public:
  using Fake::Fake;
  [[nodiscard]] static Result<FakeLocalApics> open() { return FakeLocalApics(); }
  static constexpr bool lacks_io_apic = true;
  static constexpr bool has(Feature feature) { return feature == Feature::MessageInterrupts; }
};
static_assert(Hypervisor<FakeLocalApics>);

}  // namespace axvm::fake::inline v1
