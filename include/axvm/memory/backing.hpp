#pragma once

#include <linux/mman.h>
#include <sys/mman.h>

#include <cerrno>

#include <axvm/core/guest_memory.hpp>
#include <axvm/cpu/memory_backing.hpp>
#include <axvm/memory/huge_pages.hpp>
#include <axvm/memory/mapping.hpp>

namespace axvm::inline v1 {

/// A stretch of guest memory with one kind of pages behind it.
struct BackedRange {
  GuestRegion range{};
  MemoryBacking backing = MemoryBacking::small;  ///< never `automatic`
};

namespace detail {

/// Takes pages out of a pool and lays them over a part of a reservation; 0 or an errno. The mapping's pages are
/// reserved when it is made: touching them later cannot fail for want of pages.
[[gnu::cold]] inline int map_hugetlb(Mapping& reservation, std::byte* host, std::uint64_t size, MemoryBacking backing) {
  const int protection = PROT_READ | PROT_WRITE;
  const int flags =
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (backing == MemoryBacking::hugetlb_1g ? MAP_HUGE_1GB : MAP_HUGE_2MB);
  // Whether the pool suffices is tried elsewhere: a failure over the reservation may leave a hole in it.
  void* const attempt = ::mmap(nullptr, size, protection, flags, -1, 0);
  if (attempt == MAP_FAILED) return errno;
  ::munmap(attempt, size);
  if (::mmap(host, size, protection, flags | MAP_FIXED, -1, 0) == host) return 0;
  const int error = errno;
  // Somebody emptied the pool in between. The hole may be another thread's by now: keep what is ours for certain.
  std::byte* const end = reservation.data() + reservation.size();
  const Mapping behind(host + size, static_cast<std::size_t>(end - (host + size)));
  const Mapping before(reservation.data(), static_cast<std::size_t>(host - reservation.data()));
  reservation.release();
  return error;
}

/// Makes a part of a reservation memory that the kernel finds pages for when it is touched; 0 or an errno.
[[gnu::cold]] inline int map_pages(std::byte* host, std::uint64_t size, MemoryBacking backing) {
  if (::mprotect(host, size, PROT_READ | PROT_WRITE) != 0) return errno;
  // Advice: a kernel that was built without huge pages refuses both, and has small pages only.
  ::madvise(host, size, backing == MemoryBacking::thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return 0;
}

}  // namespace detail

}  // namespace axvm::inline v1
