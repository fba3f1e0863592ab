#pragma once

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include <axvm/io/descriptor.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::inline v1 {

/// A pair of rings shared with the kernel: operations are put into one, all of them are handed over by one system call,
/// and what has ended is read from the other without any. Not for several threads at once. The kernel's own interface,
/// not liburing: that is a library to link with, and a header-only framework should ask nobody to.
class IoUring {
 public:
  /// What has ended: the `user_data` of its entry, and what a system call would have returned, or a negative errno
  /// value.
  struct Ended {
    std::uint64_t user_data = 0;
    int result = 0;
    bool refused = false;  ///< the kernel did not even take it; `result` is why
  };
  /// Not for entries: of what the class itself asks for.
  static constexpr std::uint64_t reserved = ~0ull;

  IoUring() = default;
  IoUring(IoUring const&) = delete;
  IoUring& operator=(IoUring const&) = delete;

  /// Makes rings for so many operations (a power of two), and has the kernel hold on to `files`, which entries then
  /// name by their index, with IOSQE_FIXED_FILE. 0, or an errno value where this kernel has no io_uring of Linux 5.7 or
  /// later, or does not let this process have it.
  [[nodiscard, gnu::cold]] int open(unsigned entries, std::span<const int> files) {
    io_uring_params parameters{};
    // Not COOP_TASKRUN: what ends must not wait for a processor that happens to have submitted it and runs in the
    // guest.
    parameters.flags = IORING_SETUP_SUBMIT_ALL;
    long number = ::syscall(SYS_io_uring_setup, entries, &parameters);
    if (number < 0 && errno == EINVAL) {  // before Linux 5.18
      parameters = {};
      number = ::syscall(SYS_io_uring_setup, entries, &parameters);
    }
    if (number < 0) return errno;
    Descriptor descriptor(static_cast<int>(number));
    // FAST_POLL came with 5.7, when all operations used here were there.
    constexpr unsigned needed =
        IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL;
    if ((parameters.features & needed) != needed) return ENOSYS;
    const std::size_t submissions = parameters.sq_off.array + sizeof(unsigned) * parameters.sq_entries;
    const std::size_t completions = parameters.cq_off.cqes + sizeof(io_uring_cqe) * parameters.cq_entries;
    auto map = [&](std::size_t size, std::uint64_t offset) {
      void* const address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor.get(),
                                   static_cast<off_t>(offset));
      return address == MAP_FAILED ? Mapping{} : Mapping(address, size);
    };
    Mapping rings = map(submissions > completions ? submissions : completions, IORING_OFF_SQ_RING);
    Mapping entry_area = map(sizeof(io_uring_sqe) * parameters.sq_entries, IORING_OFF_SQES);
    if (!rings || !entry_area) return errno;
    if (::syscall(SYS_io_uring_register, descriptor.get(), IORING_REGISTER_FILES, files.data(), files.size()) < 0)
      return errno;
    descriptor_ = std::move(descriptor);
    rings_ = std::move(rings);
    entry_area_ = std::move(entry_area);
    auto word = [this](unsigned offset) { return reinterpret_cast<unsigned*>(rings_.data() + offset); };
    taken_ = word(parameters.sq_off.head);
    given_ = word(parameters.sq_off.tail);
    read_ = word(parameters.cq_off.head);
    ended_ = word(parameters.cq_off.tail);
    completions_ = reinterpret_cast<io_uring_cqe const*>(rings_.data() + parameters.cq_off.cqes);
    entries_ = reinterpret_cast<io_uring_sqe*>(entry_area_.data());
    count_ = parameters.sq_entries;
    completion_mask_ = parameters.cq_entries - 1;
    for (unsigned i = 0; i < count_; ++i) word(parameters.sq_off.array)[i] = i;
    return 0;
  }

  [[nodiscard]] bool is_open() const { return bool(descriptor_); }
  /// Readable when next_ended() has something.
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }

  /// A blank entry to fill, or null where there is none until submit() and reading what it leaves.
  [[nodiscard]] io_uring_sqe* entry() {
    if (refused_ != refused_end_ || tail_ - load(taken_) == count_) return nullptr;
    io_uring_sqe* const fresh = &entries_[tail_++ & (count_ - 1)];
    std::memset(fresh, 0, sizeof *fresh);
    return fresh;
  }

  /// Hands over all entries since the last time. Those that the kernel does not take end as refused.
  void submit() {
    store(given_, tail_);
    for (unsigned tries = 0;;) {
      const unsigned left = tail_ - load(taken_);
      if (left == 0) return;
      const long done = enter(left, 0, 0);
      if (done > 0 || (done < 0 && errno == EINTR)) continue;
      if (++tries < 4 && (done == 0 || errno == EAGAIN || errno == EBUSY)) continue;
      refused_error_ = done < 0 ? errno : EAGAIN;
      refused_ = load(taken_);
      refused_end_ = tail_;
      tail_ = refused_;
      store(given_, tail_);
      return;
    }
  }

  /// Takes one operation that has ended; nothing where there is none now.
  [[nodiscard]] std::optional<Ended> next_ended() {
    if (refused_ != refused_end_) return Ended{entries_[refused_++ & (count_ - 1)].user_data, -refused_error_, true};
    for (;;) {
      const unsigned head = *read_;
      if (head == load(ended_)) return std::nullopt;
      const io_uring_cqe seen = completions_[head & completion_mask_];
      store(read_, head + 1);
      if (seen.user_data != reserved) return Ended{seen.user_data, seen.res, false};
    }
  }

  /// Returns when next_ended() has something; something submitted must be under way.
  void wait() {
    while (refused_ == refused_end_ && *read_ == load(ended_)) (void)enter(0, 1, IORING_ENTER_GETEVENTS);
  }

  /// Asks for an early end of everything under way (from Linux 5.19 on; before that nothing is cut short).
  void cancel() {
    io_uring_sqe* const asked = entry();
    if (asked == nullptr) return;
    asked->opcode = IORING_OP_ASYNC_CANCEL;
    asked->fd = -1;
    asked->cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
    asked->user_data = reserved;
    submit();
  }

 private:
  static unsigned load(unsigned const* from) { return __atomic_load_n(from, __ATOMIC_ACQUIRE); }
  static void store(unsigned* to, unsigned value) { __atomic_store_n(to, value, __ATOMIC_RELEASE); }

  [[nodiscard]] long enter(unsigned submitted, unsigned awaited, unsigned flags) const {
    return ::syscall(SYS_io_uring_enter, descriptor_.get(), submitted, awaited, flags, nullptr, std::size_t{0});
  }

  Descriptor descriptor_;
  Mapping rings_, entry_area_;
  unsigned* taken_ = nullptr;  ///< the kernel's: index of the first entry that it has not taken
  unsigned* given_ = nullptr;  ///< ours: index after the last one handed over
  unsigned* read_ = nullptr;   ///< ours: index of the first completion that was not read
  unsigned* ended_ = nullptr;  ///< the kernel's: index after the last completion
  io_uring_cqe const* completions_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  unsigned count_ = 0;  ///< of entries
  unsigned completion_mask_ = 0;
  unsigned tail_ = 0;                       ///< index after the last entry that was filled
  unsigned refused_ = 0, refused_end_ = 0;  ///< entries that were refused and not told of yet
  int refused_error_ = 0;
};

}  // namespace axvm::inline v1
