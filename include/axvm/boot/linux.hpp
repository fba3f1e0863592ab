#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include <axvm/boot/boot_params.hpp>
#include <axvm/boot/bzimage.hpp>
#include <axvm/boot/cmdline.hpp>
#include <axvm/boot/context.hpp>
#include <axvm/boot/e820.hpp>
#include <axvm/boot/elf_kernel.hpp>
#include <axvm/boot/entry.hpp>
#include <axvm/boot/free_memory.hpp>
#include <axvm/boot/kernel_slide.hpp>
#include <axvm/core/bytes.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/units.hpp>

namespace axvm::inline v1::boot {

/// What to boot: the bytes of the files, and the command line without its final zero.
struct LinuxImage {
  ConstBytes kernel;            ///< a bzImage
  ConstBytes initrd;            ///< may be empty
  std::string_view cmdline;     ///< no zero byte inside; at most as long as the kernel says
  Entry entry = Entry::Long64;  ///< Long64 or Protected32
  ConstBytes unpacked{};        ///< what the kernel's payload unpacks to; empty: the guest unpacks it by itself
};

/// Everything a Linux load decides, before anything is written. The views are those of the LinuxImage.
struct LinuxPlan {
  BzImage image;                   ///< the kernel, taken apart
  Entry entry = Entry::Long64;     ///< how it is entered
  GuestAddress kernel = 0;         ///< where the protected-mode code goes, and runs
  std::uint64_t footprint = 0;     ///< bytes from there on that belong to the kernel until it knows the memory map
  std::uint64_t alignment = 0;     ///< the alignment that was kept
  GuestAddress initrd = 0;         ///< 0 when there is none
  ConstBytes initrd_bytes;         ///< the initrd
  std::string_view cmdline;        ///< the command line
  E820Map e820;                    ///< what the guest is told of its memory
  std::optional<ElfKernel> elf{};  ///< the unpacked kernel, which is loaded in place of the image's code
  std::optional<KernelRelocations> relocations{};  ///< its own, where its virtual addresses can be moved
  std::uint64_t slide = 0;                         ///< by how much they are moved
};

namespace detail {

[[gnu::cold]] inline Result<> check_linux(LinuxImage const& linux_image, BzImage const& image, Context const& context) {
  if (linux_image.entry == Entry::Real16)
    return failure(ErrorCode::Unsupported, "load kernel: there is no BIOS for its 16-bit entry",
                   "use the 64-bit or the 32-bit entry");
  if (linux_image.entry == Entry::Long64 && !image.has_64_bit_entry())
    return failure(
        ErrorCode::Unsupported,
        text<1023>("load kernel: it has no 64-bit entry (boot protocol ", protocol_text(image.version()),
                   ", xloadflags ", Hex{image.header().xloadflags}, "; needed are 2.12 or later and XLF_KERNEL_64)"),
        "choose the 32-bit entry, or a 64-bit kernel");
  if (linux_image.entry != Entry::Long64 && !linux_image.unpacked.empty())
    return failure(ErrorCode::Unsupported, "load kernel: an unpacked kernel has no 32-bit entry",
                   "use the 64-bit entry, or the kernel as it is packed");
  if (Result<> checked = check_command_line(linux_image.cmdline); !checked) return checked;
  std::uint64_t longest = image.header().cmdline_size;
  if (longest > LowMemory::longest_cmdline) longest = LowMemory::longest_cmdline;
  if (linux_image.cmdline.size() > longest)
    return failure(
        ErrorCode::OutOfRange,
        text<1023>("kernel command line: ", linux_image.cmdline.size(), " bytes, this kernel takes at most ", longest),
        "shorten the command line");
  if (context.rng_seed.size() > LowMemory::boot_params - LowMemory::setup_data - sizeof(SetupData))
    return failure(ErrorCode::InvalidArgument,
                   text<1023>("random seed: ", context.rng_seed.size(), " bytes, at most ",
                              LowMemory::boot_params - LowMemory::setup_data - sizeof(SetupData), " fit"));
  if (context.memory.at(0, extended_bios_data_area) == nullptr)
    return failure(ErrorCode::OutOfMemory,
                   text<1023>("load kernel: the first ", extended_bios_data_area, " bytes are not all guest RAM (",
                              context.memory.size(), " bytes in ", context.memory.regions().size(), " regions)"),
                   "give the guest more memory");
  std::uint64_t below = LowMemory::end - LowMemory::begin;
  if (context.map.acpi_tables < LowMemory::end &&
      (context.map.acpi_tables_size > below ||
       context.map.acpi_tables + context.map.acpi_tables_size > LowMemory::begin))
    return failure(ErrorCode::InvalidArgument,
                   text<1023>("load kernel: the ACPI tables at ", Hex{context.map.acpi_tables}, " overlap ",
                              Hex{LowMemory::begin}, " to ", Hex{LowMemory::end}, ", which the loader needs"));
  return {};
}

/// Finds the kernel's place: pref_address when it can be had. Only places above it come into question: a kernel loaded
/// below moves itself up to it.
[[gnu::cold]] inline Result<> place_kernel(LinuxPlan& plan, FreeMemory& free) {
  GuestAddress preferred = plan.image.preferred_address();
  plan.footprint = plan.image.footprint();
  plan.alignment = plan.image.alignment();
  std::optional<GuestAddress> place;
  if (!plan.image.relocatable()) {
    if (free.is_free(preferred, plan.footprint)) place = preferred;
  } else {
    place = free.lowest(plan.footprint, plan.alignment, preferred);
    while (!place && plan.alignment > plan.image.least_alignment()) {
      plan.alignment /= 2;
      place = free.lowest(plan.footprint, plan.alignment, preferred);
    }
  }
  if (!place) {
    auto what = text<1023>("load kernel: it needs ", plan.footprint, " bytes from ", Hex{preferred});
    if (plan.image.relocatable()) what.append(" or a higher multiple of ").append_hex(plan.alignment);
    what.append(" on; guest RAM below the device hole ends at ").append_hex(free.end());
    Text<511> hint = "this kernel does not fit this machine's address map";
    auto end = checked_add(preferred, plan.footprint);
    if (end && *end > free.end() && *end <= free.limit())
      hint = text<511>("give the guest at least ", (*end + MiB - 1) / MiB, " MiB of memory, and room for the initrd");
    return failure(ErrorCode::OutOfMemory, what, hint);
  }
  plan.kernel = *place;
  (void)free.take(plan.kernel, plan.footprint);  // room for it is certain: three ranges are taken at most
  return {};
}

/// Takes the unpacked kernel apart and chooses where its virtual addresses go. A kernel whose relocations cannot be
/// made out stays where it was linked, as with "nokaslr".
[[gnu::cold]] inline Result<> plan_unpacked(LinuxPlan& plan, ConstBytes unpacked, std::uint64_t random) {
  const GuestAddress linked = plan.image.preferred_address();
  Result<ElfKernel> elf = ElfKernel::parse(unpacked, linked, plan.footprint);
  if (!elf) return std::unexpected(elf.error());
  plan.elf = *elf;
  constexpr std::string_view nokaslr = "nokaslr";  // constexpr, or clang calls strlen
  if (random == 0 || has_option(plan.cmdline, nokaslr)) return {};
  plan.relocations = KernelRelocations::parse(elf->trailer(), linked, plan.footprint);
  if (plan.relocations) plan.slide = kernel_slide(random, linked, plan.footprint, plan.image.alignment());
  return {};
}

/// Writes the code that is entered, and moves its virtual addresses.
[[nodiscard, gnu::cold]] inline bool write_kernel(LinuxPlan const& plan, GuestMemory const& memory) {
  if (!plan.elf) return memory.write(plan.kernel, plan.image.protected_mode());
  std::byte* const kernel = memory.at(plan.kernel, plan.footprint);
  if (kernel == nullptr) return false;
  for (ElfKernel::Segment const& segment : plan.elf->segments()) copy_many(kernel + segment.offset, segment.bytes);
  if (plan.relocations && plan.slide != 0) plan.relocations->apply(kernel, plan.slide);
  return true;
}

/// Finds the initrd's place: as high as the kernel allows, so that it is out of the way when the kernel unpacks itself.
[[gnu::cold]] inline Result<> place_initrd(LinuxPlan& plan, FreeMemory const& free) {
  if (plan.initrd_bytes.empty()) return {};
  GuestAddress below = plan.image.header().initrd_addr_max + 1ull;
  auto place = free.highest(plan.initrd_bytes.size(), 4_KiB, below);
  if (!place)
    return failure(
        ErrorCode::OutOfMemory,
        text<1023>("load initrd: ", plan.initrd_bytes.size(), " bytes do not fit: the kernel takes them below ",
                   Hex{below}, ", guest RAM below the device hole ends at ", Hex{free.end()},
                   ", the kernel itself has ", Hex{plan.kernel}, " to ", Hex{plan.kernel + plan.footprint}),
        "give the guest more memory, or use a smaller initrd");
  plan.initrd = *place;
  return {};
}

[[gnu::cold]] inline BootParams make_boot_params(LinuxPlan const& plan, Context const& context) {
  BootParams params;
  params.acpi_rsdp_addr = context.rsdp.value_or(0);
  SetupHeader& hdr = params.hdr = plan.image.header();
  hdr.type_of_loader = SetupHeader::undefined_loader;
  // The heap is for the real-mode code, which does not run.
  hdr.loadflags = static_cast<std::uint8_t>(hdr.loadflags & ~SetupHeader::CAN_USE_HEAP);
  // What the code that unpacks a kernel leaves for it; the kernel then randomises its other mappings, too.
  if (plan.slide != 0) hdr.loadflags |= SetupHeader::KASLR_FLAG;
  hdr.code32_start = static_cast<std::uint32_t>(plan.kernel);
  hdr.ramdisk_image = static_cast<std::uint32_t>(plan.initrd);
  hdr.ramdisk_size = static_cast<std::uint32_t>(plan.initrd_bytes.size());
  hdr.cmd_line_ptr = static_cast<std::uint32_t>(LowMemory::cmdline);
  hdr.kernel_alignment = static_cast<std::uint32_t>(plan.alignment);
  if (hdr.version >= 0x0207) hdr.hardware_subarch = 0;
  if (hdr.version >= 0x0209) hdr.setup_data = context.rng_seed.empty() ? 0 : LowMemory::setup_data;
  for (E820Range const& range : plan.e820.ranges()) params.e820_table[params.e820_entries++] = BootE820Entry::of(range);
  return params;
}

}  // namespace detail

/// Decides where everything goes and checks that it can be done; touches no guest memory. Fails with
/// - BadImage, Unsupported: see BzImage::parse; Unsupported also without the entry that was asked for
/// - InvalidArgument: a zero byte in the command line, too long a seed, an address map that leaves no room
/// - OutOfRange: the command line is longer than the kernel takes
/// - OutOfMemory: kernel or initrd do not fit guest RAM; the message has the numbers
[[gnu::cold]] inline Result<LinuxPlan> plan_linux(LinuxImage const& linux_image, Context const& context) {
  Result<BzImage> image = BzImage::parse(linux_image.kernel);
  if (!image) return std::unexpected(image.error());
  if (Result<> checked = detail::check_linux(linux_image, *image, context); !checked)
    return std::unexpected(checked.error());
  Result<E820Map> e820 = describe_memory(context.memory, context.map);
  if (!e820) return std::unexpected(e820.error());

  LinuxPlan plan;
  plan.image = *image;
  plan.entry = linux_image.entry;
  plan.initrd_bytes = linux_image.initrd;
  plan.cmdline = linux_image.cmdline;
  plan.e820 = *e820;
  FreeMemory free(context.memory, context.map.hole < 4_GiB ? context.map.hole : 4_GiB);
  // The map was described, so the range of the ACPI tables does not wrap.
  (void)free.take(0, MiB);
  (void)free.take(context.map.acpi_tables, context.map.acpi_tables_size);
  if (Result<> placed = detail::place_kernel(plan, free); !placed) return std::unexpected(placed.error());
  if (Result<> placed = detail::place_initrd(plan, free); !placed) return std::unexpected(placed.error());
  if (!linux_image.unpacked.empty())
    if (Result<> planned = detail::plan_unpacked(plan, linux_image.unpacked, context.random); !planned)
      return std::unexpected(planned.error());
  return plan;
}

/// Carries a plan out: writes kernel, initrd, command line, setup_data, boot_params and what the entry needs, and
/// returns the registers of the first processor ([linux/boot] 1.14, 1.15). `context` is the plan's own.
[[gnu::cold]] inline Result<EntryState> load_linux(LinuxPlan const& plan, Context const& context) {
  GuestMemory const& memory = context.memory;
  bool written = detail::write_kernel(plan, memory) && memory.write(plan.initrd, plan.initrd_bytes) &&
                 memory.write(LowMemory::cmdline, std::as_bytes(std::span(plan.cmdline))) &&
                 memory.store(LowMemory::cmdline + plan.cmdline.size(), '\0') &&
                 memory.store(LowMemory::boot_params, detail::make_boot_params(plan, context));
  if (!context.rng_seed.empty()) {
    SetupData node{
        .next = 0, .type = SetupData::SETUP_RNG_SEED, .len = static_cast<std::uint32_t>(context.rng_seed.size())};
    written = written && memory.store(LowMemory::setup_data, node) &&
              memory.write(LowMemory::setup_data + sizeof(SetupData), context.rng_seed);
  }
  if (!written) return failure(ErrorCode::OutOfMemory, "load kernel: the plan was made for other guest memory");

  Result<SystemRegisters> system = prepare_entry(plan.entry, plan.kernel, context);
  if (!system) return std::unexpected(system.error());
  EntryState state{.general = {}, .system = *system};
  state.general.rip = plan.kernel + (plan.elf ? plan.elf->entry() : plan.entry == Entry::Long64 ? 0x200 : 0);
  state.general.rsi = LowMemory::boot_params;
  state.general.rsp = LowMemory::stack_top;
  return state;
}

/// Loads a Linux kernel: plan_linux, then carries the plan out. Fails as plan_linux does, and then nothing was written.
[[gnu::cold]] inline Result<EntryState> load_linux(LinuxImage const& linux_image, Context const& context) {
  Result<LinuxPlan> plan = plan_linux(linux_image, context);
  if (!plan) return std::unexpected(plan.error());
  return load_linux(*plan, context);
}

}  // namespace axvm::inline v1::boot
