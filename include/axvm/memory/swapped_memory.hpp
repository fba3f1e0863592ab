#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::inline v1 {

/// Memory whose bytes are replaced at one stroke under whoever reads it: new memory is filled elsewhere and takes the
/// place of the old at the same address. A page table never has both, so that a reader who saw a new byte never sees an
/// old one after it, and the same holds for a guest that reads through a hypervisor's slot over it, which follows.
class SwappedMemory {
 public:
  /// `size` bytes, a multiple of the host's pages, all-ones.
  [[nodiscard, gnu::cold]] static Result<SwappedMemory> make(std::size_t size) {
    Mapping made = fresh(size, {});
    if (!made) return failure(ErrorCode::OutOfMemory, "map a register page", {}, errno);
    return SwappedMemory(std::move(made));
  }

  /// Where it is, for good.
  [[nodiscard]] Bytes bytes() const { return {mapping_.data(), mapping_.size()}; }

  /// Replaces all bytes; what `content` does not cover is all-ones. False when the host had no memory for that: then
  /// they were overwritten where they are, and a reader may have seen a mixture.
  bool swap(ConstBytes content) const {
    Mapping made = fresh(mapping_.size(), content);
    if (made && ::mremap(made.data(), made.size(), mapping_.size(), MREMAP_MAYMOVE | MREMAP_FIXED, mapping_.data()) !=
                    MAP_FAILED) {
      made.release();  // it is where the old one was, which mremap has unmapped
      return true;
    }
    fill(mapping_, content);
    return false;
  }

 private:
  explicit SwappedMemory(Mapping mapping) : mapping_(std::move(mapping)) {}

  static void fill(Mapping const& mapping, ConstBytes content) {
    const std::size_t count = content.size() < mapping.size() ? content.size() : mapping.size();
    if (count != 0) std::memcpy(mapping.data(), content.data(), count);
    std::memset(mapping.data() + count, 0xff, mapping.size() - count);
  }
  static Mapping fresh(std::size_t size, ConstBytes content) {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return {};
    Mapping mapping(at, size);
    fill(mapping, content);
    return mapping;
  }

  Mapping mapping_;
};

}  // namespace axvm::inline v1
