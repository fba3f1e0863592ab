#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <axvm/axvm.hpp>
#include <axvm/hv/hv.hpp>

#include "scratch.hpp"

using namespace axvm;
using enum MemoryBacking;

namespace {

constexpr AddressMap map{};
/// A map with so little below its hole that small tests have two regions.
constexpr AddressMap split = [] {
  AddressMap changed = map;
  changed.hole = 2_MiB;
  return changed;
}();

/// What /proc/self/smaps says of the mapping with this address: the value of "Rss:" and so on; numbers are in KiB.
std::string smaps(void const* address, std::string const& key) {
  std::ifstream file("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (unsigned long begin = 0, end = 0; std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      const auto wanted = reinterpret_cast<std::uintptr_t>(address);
      inside = wanted >= begin && wanted < end;
    } else if (inside && line.starts_with(key + ":")) {
      return line.substr(line.find_first_not_of(' ', key.size() + 1));
    }
  }
  return {};
}
std::uint64_t kib(void const* address, std::string const& key) {
  return std::strtoull(smaps(address, key).c_str(), nullptr, 10);
}
bool has_flag(void const* address, std::string const& flag) {
  return (" " + smaps(address, "VmFlags") + " ").find(" " + flag + " ") != std::string::npos;
}

/// A number of /proc/self/status, in KiB.
std::uint64_t status(std::string const& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10);
  return ~std::uint64_t{0};
}

/// How much of guest memory is present, in bytes.
std::uint64_t present(GuestRam const& ram) {
  std::uint64_t pages = 0;
  for (GuestRegion const& region : ram.regions()) {
    std::vector<unsigned char> bytes(region.size / 4096);
    REQUIRE(::mincore(region.host, region.size, bytes.data()) == 0);
    pages += static_cast<std::uint64_t>(std::count_if(bytes.begin(), bytes.end(), [](auto b) { return (b & 1) != 0; }));
  }
  return pages * 4096;
}

/// How a process ends that touches one byte.
int touch(std::byte* address) {
  return scratch::end_of(scratch::start_child([address] { *const_cast<std::byte volatile*>(address) = std::byte{1}; }));
}

void check_fences(GuestRam const& ram) {
  for (GuestRegion const& region : ram.regions()) {
    CHECK(scratch::died_of(touch(region.host - 1), SIGSEGV));
    CHECK(scratch::died_of(touch(region.host + region.size), SIGSEGV));
  }
}

bool has_pool(std::uint64_t pages) {
  if (read_pool(hugetlb_2m).available() >= pages) return true;
  MESSAGE("this host's pool of 2-MiB pages is empty (root fills it: echo 8 > /proc/sys/vm/nr_hugepages)");
  return false;
}

struct Seen {
  std::vector<std::uint64_t> done{};
  std::uint64_t total = 0;
  bool go_on = true;

  MemoryProgress progress() {
    return {this, [](void* self, std::uint64_t now, std::uint64_t all) {
              auto& seen = *static_cast<Seen*>(self);
              seen.done.push_back(now);
              seen.total = all;
              return seen.go_on;
            }};
  }
};

struct Hugely : Portable {
  static constexpr std::array memory_order{hugetlb_2m, thp};
};
static_assert(memory_order_of<Portable>().size() == 2 && memory_order_of<Portable>()[0] == thp);
static_assert(memory_order_of<Hugely>()[0] == hugetlb_2m);
static_assert(memory_order_of<IvyBridgeXv2>().size() == 4 && memory_order_of<IvyBridgeXv2>()[0] == hugetlb_1g);

}  // namespace

TEST_CASE("memory backing: pools and transparent huge pages are read from the kernel's files") {
  const scratch::Directory root;
  const std::string directory = root.name("hugepages/hugepages-2048kB");
  CHECK_FALSE(read_pool(hugetlb_2m, root.name("")).exists);
  std::filesystem::create_directories(directory);
  root.put("hugepages/hugepages-2048kB/nr_hugepages", "10\n");
  root.put("hugepages/hugepages-2048kB/free_hugepages", "7\n");
  root.put("hugepages/hugepages-2048kB/resv_hugepages", "3\n");
  const HugePool pool = read_pool(hugetlb_2m, root.name(""));
  CHECK(pool.exists);
  CHECK(pool.total == 10);
  CHECK(pool.available() == 4);
  CHECK_FALSE(read_pool(hugetlb_1g, root.name("")).exists);

  const Error little = backing_error(hugetlb_2m, 64_MiB, 32, ENOMEM, root.name(""));
  CHECK(little.code == ErrorCode::OutOfMemory);
  CHECK(little.operation == "back 64 MiB of guest memory with 2-MiB pages: it takes 32, the host has 4 to give");
  CHECK(little.hint.view().find(text<300>("echo 38 > ", root.name(""), "/hugepages/hugepages-2048kB/nr_hugepages")) !=
        std::string_view::npos);
  CHECK(little.os_error == ENOMEM);
  CHECK(backing_error(hugetlb_2m, 6_MiB, 3, ENOMEM, root.name("")).hint.view().find("control group") !=
        std::string_view::npos);
  const Error none = backing_error(hugetlb_1g, 2_GiB, 2, EINVAL, root.name(""));
  CHECK(none.code == ErrorCode::Unsupported);
  CHECK(none.operation == "back 2 GiB of guest memory with 1-GiB pages: this host has none");

  CHECK_FALSE(has_transparent_huge_pages(root.name("")));
  std::filesystem::create_directories(root.name("transparent_hugepage/hugepages-2048kB"));
  for (auto [all, one, there] : {std::tuple{"always [madvise] never\n", "", true},
                                 {"[always] madvise never\n", "", true},
                                 {"always madvise [never]\n", "", false},
                                 {"always madvise [never]\n", "always inherit [madvise] never\n", true},
                                 {"always [madvise] never\n", "always inherit madvise [never]\n", false},
                                 {"always [madvise] never\n", "always [inherit] madvise never\n", true},
                                 {"always madvise [never]\n", "always [inherit] madvise never\n", false}}) {
    CAPTURE(all);
    CAPTURE(one);
    root.put("transparent_hugepage/enabled", all);
    root.put("transparent_hugepage/hugepages-2048kB/enabled", one);
    CHECK(has_transparent_huge_pages(root.name("")) == there);
  }
}

TEST_CASE("memory backing: transparent huge pages or small ones, as asked for, and nothing more is done") {
  const bool offered = has_transparent_huge_pages();
  for (const MemoryBacking wanted : {automatic, thp, small}) {
    CAPTURE(static_cast<int>(wanted));
    auto ram = GuestRam::reserve({.size = 12_MiB, .map = split, .backing = wanted});
    if (wanted == thp && !offered) {
      REQUIRE_FALSE(ram);
      CHECK(ram.error().code == ErrorCode::Unsupported);
      continue;
    }
    REQUIRE(ram);
    const bool huge = wanted != small && offered;
    REQUIRE(ram->backing().size() == 2);
    for (BackedRange const& one : ram->backing()) {
      CHECK(one.backing == (huge ? thp : small));
      CHECK(has_flag(one.range.host, huge ? "hg" : "nh"));
      CHECK(has_flag(one.range.host, "dd"));  // not in core dumps
      CHECK_FALSE(has_flag(one.range.host, "lo"));
    }
    CHECK(ram->describe() == (huge ? "12 MiB of transparent huge pages" : "12 MiB of small pages"));
    REQUIRE(ram->populate());  // was not asked for
    CHECK(present(*ram) == 0);
    check_fences(*ram);
  }
}

TEST_CASE("memory backing: what is smaller than a page has smaller pages, and cannot be forced to larger ones") {
  auto ram = GuestRam::reserve({.size = 1_MiB});
  REQUIRE(ram);
  CHECK(ram->describe() == "1 MiB of small pages");
  for (const MemoryBacking wanted : {hugetlb_1g, hugetlb_2m, thp}) {
    ram = GuestRam::reserve({.size = 1_MiB, .backing = wanted});
    REQUIRE_FALSE(ram);
    CHECK(ram.error().code == ErrorCode::OutOfRange);
    CHECK(ram.error().os_error == 0);
  }
  CHECK(GuestRam::reserve({.size = 1_MiB, .backing = small}));
}

TEST_CASE("memory backing: a pool that is too small is an error that says what to do, or is passed over") {
  const std::uint64_t available = read_pool(hugetlb_2m).available();
  const MemoryPlan plan{.size = (available + 1) * 2_MiB, .backing = hugetlb_2m};
  auto ram = GuestRam::reserve(plan);
  REQUIRE_FALSE(ram);
  CHECK(ram.error().os_error != 0);
  if (read_pool(hugetlb_2m).exists) {
    CHECK(ram.error().code == ErrorCode::OutOfMemory);
    CHECK(ram.error().operation.view().find(text<99>("it takes ", available + 1, ", the host has ", available)) !=
          std::string_view::npos);
    CHECK(ram.error().hint.view().find("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") !=
          std::string_view::npos);
  } else {
    CHECK(ram.error().code == ErrorCode::Unsupported);
  }
  CHECK(read_pool(hugetlb_2m).available() == available);  // nothing is kept of a failure

  constexpr std::array order{hugetlb_1g, hugetlb_2m, small};
  ram = GuestRam::reserve({.size = plan.size, .order = order});
  REQUIRE(ram);
  CHECK(ram->backing().back().backing == small);
  check_fences(*ram);
}

TEST_CASE("memory backing: pages from a pool are reserved, used, cleared and given back") {
  if (!has_pool(4)) return;
  const std::uint64_t before = read_pool(hugetlb_2m).available();
  {
    // 2 MiB below the hole; above it 4 MiB and a rest.
    auto made = GuestRam::reserve({.size = 6_MiB + 8_KiB, .map = split, .backing = hugetlb_2m});
    REQUIRE(made);
    GuestRam ram = std::move(*made);
    CHECK(ram.describe() == "6 MiB of 2-MiB pages, 8 KiB of small pages");
    CHECK(read_pool(hugetlb_2m).available() == before - 3);
    REQUIRE(ram.backing().size() == 3);
    CHECK(ram.backing()[1].range.base == 4_GiB);
    CHECK(ram.backing()[1].range.size == 4_MiB);
    CHECK(ram.backing()[2].range.host == ram.regions()[1].host + 4_MiB);
    CHECK(has_flag(ram.regions()[0].host, "ht"));
    CHECK(has_flag(ram.regions()[0].host, "dd"));
    CHECK(present(ram) == 0);
    check_fences(ram);

    const GuestMemory memory = ram.memory();
    for (int round = 0; round < 3; ++round) {
      for (const GuestAddress at : {0_MiB, 4_GiB + 2_MiB, 4_GiB + 4_MiB + 4_KiB}) {
        CHECK(memory.load<std::uint64_t>(at) == 0u);
        CHECK(memory.store(at + 1000, std::uint64_t{42}));
      }
      CHECK(kib(ram.regions()[1].host, "Private_Hugetlb") == 2048);
      CHECK(present(ram) == 4_MiB + 4_KiB);
      REQUIRE(ram.clear());
      CHECK(memory.load<std::uint64_t>(1000) == 0u);
      CHECK(memory.load<std::uint64_t>(4_GiB + 2_MiB + 1000) == 0u);
      CHECK(memory.load<std::uint64_t>(4_GiB + 4_MiB + 4_KiB + 1000) == 0u);
      CHECK(read_pool(hugetlb_2m).available() == before - 3);
    }
  }
  CHECK(read_pool(hugetlb_2m).available() == before);

  auto ram = GuestRam::reserve({.size = 4_MiB, .backing = hugetlb_2m, .lock = true});
  REQUIRE(ram);
  REQUIRE(ram->populate());
  CHECK(present(*ram) == 4_MiB);
  constexpr std::array order{hugetlb_2m, small};
  auto mixed = GuestRam::reserve({.size = 3_MiB, .order = order});
  REQUIRE(mixed);
  CHECK(mixed->describe() == "2 MiB of 2-MiB pages, 1 MiB of small pages");
}

TEST_CASE("memory backing: a page of 1 GiB stands before the smaller ones") {
  if (read_pool(hugetlb_1g).available() == 0) {
    MESSAGE("this host's pool of 1-GiB pages is empty");
    return;
  }
  constexpr std::uint64_t rest = 3_MiB + 4_KiB;
  auto ram = GuestRam::reserve({.size = 1_GiB + rest, .backing = hugetlb_1g});
  REQUIRE(ram);
  GuestRegion const& region = ram->regions()[0];
  CHECK(reinterpret_cast<std::uintptr_t>(region.host) % 1_GiB == 0);
  CHECK(ram->backing()[0].range.size == 1_GiB);
  CHECK(ram->backing().back().range.host + ram->backing().back().range.size == region.host + region.size);
  check_fences(*ram);
  for (const GuestAddress at : {1_GiB - 1, 1_GiB + rest - 1}) CHECK(ram->memory().store(at, std::uint8_t{1}));
  CHECK(kib(region.host, "Private_Hugetlb") == GiB / KiB);
  REQUIRE(ram->clear());
  for (const GuestAddress at : {1_GiB - 1, 1_GiB + rest - 1}) CHECK(ram->memory().load<std::uint8_t>(at) == 0);
}

TEST_CASE("memory backing: prefault makes all of it present, tells how far it is, and can be ended") {
  for (const MemoryBacking backing : {automatic, small}) {
    constexpr std::uint64_t size = 70_MiB + 4_KiB;
    auto ram = GuestRam::reserve({.size = size, .map = split, .backing = backing, .prefault = true});
    REQUIRE(ram);
    CHECK(present(*ram) == 0);  // not yet: it may be bound to NUMA nodes first
    Seen seen;
    seen.go_on = false;
    REQUIRE(ram->populate(seen.progress()));
    CHECK(seen.done.size() == 1);
    CHECK(present(*ram) < size);
    seen = {};
    REQUIRE(ram->populate(seen.progress()));
    CHECK(present(*ram) == size);
    CHECK(seen.total == size);
    CHECK(seen.done.front() == 0);
    CHECK(seen.done.back() == size);
    CHECK(std::is_sorted(seen.done.begin(), seen.done.end()));
    seen = {};
    REQUIRE(ram->populate(seen.progress()));
    CHECK(seen.done.empty());  // nothing left to do

    CHECK(ram->memory().store(4_GiB, std::uint32_t{7}));
    REQUIRE(ram->clear());
    REQUIRE(ram->populate());
    CHECK(present(*ram) == size);
    CHECK(ram->memory().load<std::uint32_t>(4_GiB) == 0u);
  }
}

TEST_CASE("memory backing: where the kernel has no call for it, pages are touched and keep their contents") {
  auto ram = GuestRam::reserve({.size = 2_MiB, .backing = small});
  REQUIRE(ram);
  std::byte* const host = ram->regions()[0].host;
  host[4096] = std::byte{9};
  CHECK(detail::touch_pages(host, 1_MiB) == 0);
  CHECK(present(*ram) == 1_MiB);
  CHECK(host[4096] == std::byte{9});
}

TEST_CASE("memory backing: locked memory is in RAM as a whole, before a reset and after it") {
  constexpr std::uint64_t size = 4_MiB;
  const std::uint64_t before = status("VmLck");
  auto ram = GuestRam::reserve({.size = size, .map = split, .lock = true});
  if (!ram) {
    CHECK(ram.error().operation.view().find("RLIMIT_MEMLOCK allows ") != std::string_view::npos);
    MESSAGE("this user may not lock 4 MiB");
    return;
  }
  CHECK(ram->describe().view().ends_with(", locked"));
  CHECK(status("VmLck") == before + size / KiB);
  REQUIRE(ram->populate());
  CHECK(present(*ram) == size);
  for (GuestRegion const& region : ram->regions()) CHECK(kib(region.host, "Locked") == region.size / KiB);
  const GuestAddress last = 4_GiB + 2_MiB - 4;
  CHECK(ram->memory().store(last, std::uint32_t{7}));
  REQUIRE(ram->clear());
  CHECK(ram->memory().load<std::uint32_t>(last) == 0u);
  REQUIRE(ram->populate());
  CHECK(present(*ram) == size);
  CHECK(status("VmLck") == before + size / KiB);
  check_fences(*ram);
  ram = GuestRam{};
  CHECK(status("VmLck") == before);
}

TEST_CASE("memory backing: a limit on locked memory is named, with its value") {
  const int end = scratch::end_of(scratch::start_child([] {
    const rlimit limit{64_KiB, 64_KiB};
    ::setrlimit(RLIMIT_MEMLOCK, &limit);
    const scratch::Unprivileged unprivileged;
    const auto ram = GuestRam::reserve({.size = 2_MiB, .lock = true});
    const bool named = !ram && ram.error().code == ErrorCode::PermissionDenied && ram.error().os_error == ENOMEM &&
                       ram.error().operation == "lock 2 MiB of guest memory: RLIMIT_MEMLOCK allows 64 KiB" &&
                       ram.error().hint.view().find("ulimit -l") != std::string_view::npos;
    ::_exit(named ? 0 : 1);
  }));
  CHECK(scratch::exited_with(end, 0));
}

#if !defined(__SANITIZE_THREAD__)  // which leaves no room for such sizes
TEST_CASE("memory backing: what the host can never have is refused before it is tried") {
  struct sysinfo host{};
  REQUIRE(::sysinfo(&host) == 0);
  const std::uint64_t more = align_down((host.totalram + host.totalswap) * host.mem_unit, 2_MiB) + 2_MiB;
  for (const bool lock : {false, true}) {
    const auto ram = GuestRam::reserve({.size = more, .lock = lock, .prefault = !lock});
    REQUIRE_FALSE(ram);
    CHECK(ram.error().code == ErrorCode::OutOfMemory);
    CHECK(ram.error().operation.view().find(": the host has ") != std::string_view::npos);
  }
  CHECK(GuestRam::reserve({.size = more}));
}

TEST_CASE("memory backing: a terabyte costs nothing before it is used") {
  constexpr std::array order{hugetlb_1g, hugetlb_2m, thp, small};
  const std::uint64_t before = status("VmRSS");
  auto ram = GuestRam::reserve({.size = 1_TiB, .physical_bits = 46, .order = order});
  REQUIRE(ram);
  REQUIRE(ram->clear());
  for (GuestRegion const& region : ram->regions()) CHECK(kib(region.host, "Rss") == 0);
  CHECK(status("VmRSS") < before + 4 * KiB);
}
#endif

TEST_CASE("memory backing: guest memory ends where the guest's addresses end") {
  const std::uint64_t gap = map.high_ram - map.hole;
  CHECK(GuestRam::reserve({.size = 64_GiB - gap, .physical_bits = 36}));
  auto ram = GuestRam::reserve({.size = 64_GiB - gap + 4_KiB, .physical_bits = 36});
  REQUIRE_FALSE(ram);
  CHECK(ram.error().code == ErrorCode::OutOfRange);
  CHECK(ram.error().operation == "use 66322436 KiB of guest memory: the guest's physical addresses have 36 bits");
  CHECK(ram.error().hint == "give at most 64768 MiB");
  ram = GuestRam::reserve({.size = 4_GiB, .physical_bits = 32});
  REQUIRE_FALSE(ram);
  CHECK(ram.error().hint == "give at most 3328 MiB");
  CHECK_FALSE(GuestRam::reserve({.size = ~std::uint64_t{0} - 4095, .physical_bits = 52}));

  using M = Machine<Portable, Devices<>, Handlers<>, fake::Fake>;
  const auto machine = M::create({.memory = 64_GiB}, Host{}, fake::Fake());
  REQUIRE_FALSE(machine);
  CHECK(machine.error().operation.view().find("36 bits") != std::string_view::npos);
}

TEST_CASE("memory backing: a machine reports what it got, prefaults when it loads, and stops then, too") {
  using M = Machine<Portable, Devices<>, Handlers<>, fake::Fake>;
  std::string said;
  const Log log{&said, [](void* self, Severity severity, std::string_view message) {
                  if (severity == Severity::Info) static_cast<std::string*>(self)->append(message).append("\n");
                }};
  const auto nothing = [](boot::Context const&) -> Result<EntryState> { return EntryState{}; };
  auto make = [&] {
    return M::create({.memory = 8_MiB, .memory_backing = small, .prefault = true}, Host{}, fake::Fake(), log);
  };
  auto machine = make();
  REQUIRE(machine);
  CHECK(said.ends_with("guest memory: 8 MiB of small pages\n"));  // behind what there is to say of the host
  CHECK(present(machine->ram()) == 0);
  REQUIRE(machine->load(nothing));
  CHECK(present(machine->ram()) == 8_MiB);
  REQUIRE(machine->load(nothing));  // from nothing again, as a reset does
  CHECK(present(machine->ram()) == 8_MiB);
  CHECK(machine->run());

  auto stopped = make();
  REQUIRE(stopped);
  Seen seen;
  seen.go_on = false;
  stopped->watch_prefault(seen.progress());
  REQUIRE(stopped->load(nothing));
  CHECK(present(stopped->ram()) < 8_MiB);
  CHECK(*stopped->run() == End::Stopped);
}
