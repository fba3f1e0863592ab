// power_monitor honest|lying KERNEL INITRD COMMANDS DISK: a machine with two disks, for the test of power failures. A
// lying one answers flushes without carrying them out, which the test has to find out.

#include <axvm/axvm.hpp>
#include <cstdio>

using namespace axvm;
using Xv2 = Machine<IvyBridgeXv2, Devices<Uart8250, Pit8254, Repeat<2, VirtioBlk>>>;

namespace {

/// This process's files, whose flushes do nothing.
struct LyingHost {
  struct Image {
    BlockImage image;
  };

  SystemHost system;

  static Image& of(void* self) { return *static_cast<Image*>(self); }
  static const BlockImage::Operations image_operations;
  static const Host::Operations operations;
};

constexpr BlockImage::Operations LyingHost::image_operations{
    .read = [](void* self, std::uint64_t offset,
               std::span<const Segment> segments) { return of(self).image.read(offset, segments); },
    .write = [](void* self, std::uint64_t offset,
                std::span<const Segment> segments) { return of(self).image.write(offset, segments); },
    .flush = [](void*) { return 0; },
    .close = [](void* self) { delete &of(self); },
};
constexpr Host::Operations LyingHost::operations{
    .console = [](void* self) -> Result<CharacterPort> { return static_cast<LyingHost*>(self)->system.console.port(); },
    .image = [](void*, Path const& path, ImageOptions const& options) -> Result<BlockImage> {
      auto image = BlockFile::open(path, options);
      if (!image) return image;
      const std::uint64_t size = image->size();
      return BlockImage(new Image{*std::move(image)}, &image_operations, size, options.read_only);
    },
};

int fail(Error const& error) {
  std::fprintf(stderr, "%s\n", describe(error).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  Xv2::Config config{.memory = 256 * MiB, .host_check = HostCheck::warn};
  config.of<VirtioBlk>().path = std::string_view(argv[4]);
  config.of<VirtioBlk, 1>().path = std::string_view(argv[5]);
  LyingHost liar;
  auto machine = std::string_view(argv[1]) == "lying" ? Xv2::create(config, Host(&liar, &LyingHost::operations))
                                                      : Xv2::create(config, liar.system);
  if (!machine) return fail(machine.error());
  auto linux_boot = LinuxBoot::open({.kernel = std::string_view(argv[2]),
                                     .initrd = std::string_view(argv[3]),
                                     .cmdline = "console=ttyS0 panic=1 pci=off quiet loglevel=0 cryptomgr.notests "
                                                "AXVM_RUN=vda AXVM_RAW=1"});
  if (!linux_boot) return fail(linux_boot.error());
  if (auto loaded = machine->load(std::move(*linux_boot)); !loaded) return fail(loaded.error());
  auto end = machine->run();
  return end ? 0 : fail(end.error());
}
