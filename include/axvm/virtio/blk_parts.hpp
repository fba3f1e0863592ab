#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include <axvm/core/once.hpp>
#include <axvm/core/text.hpp>
#include <axvm/device/block_image.hpp>
#include <axvm/device/context.hpp>
#include <axvm/device/host.hpp>
#include <axvm/virtio/blk_core.hpp>
#include <axvm/virtio/transport.hpp>

namespace axvm::inline v1::virtio {

/// What disks have, whatever transport carries them.
struct BlkParts {
  /// What is open for a disk as long as the machine exists.
  struct Resources {
    BlockImage image;
  };

  /// What a disk counts.
  struct Counters {
    BlkCounters disk;
    TransportCounters transport;
  };

  /// In messages.
  static constexpr std::string_view name = "virtio-blk";

  /// Help of the settings that all disks have.
  static constexpr std::string_view path_help = "disk image or block device; none: no disk",
                                    read_only_help = "the guest may not write to it",
                                    direct_help = "past the host's page cache (O_DIRECT)",
                                    queues_help = "request queues";

  /// Opens the image of a device's configuration. Errors name its path: InvalidArgument for one that is too long, else
  /// what the host says.
  [[nodiscard, AXVM_ONCE]] static Result<Resources> open(Path const& path, ImageOptions const& options, unsigned queues,
                                                         HostWith<HostPart::Images> const& host) {
    using namespace std::string_view_literals;
    if (path.truncated())
      return failure(ErrorCode::InvalidArgument, text<1023>("open disk image "sv, path),
                     text<511>("a path has at most "sv, Path::capacity(), " bytes"sv));
    if (queues < 1 || queues > BlkCore::max_queues)
      return failure(ErrorCode::OutOfRange, text<1023>("give disk "sv, path, " "sv, queues, " queues"sv),
                     text<511>("it has 1 to "sv, BlkCore::max_queues));
    Result<BlockImage> image = host.image(path, options);
    if (!image) return std::unexpected(image.error());
    return Resources{*std::move(image)};
  }

  /// Has `finished` called when requests of an image that has a queue of its own are done; says so where it has none.
  [[AXVM_ONCE]] static void start(BlkCore& core, std::string_view path, BlockImage const& image, DeviceContext& context,
                                  Callback finished) {
    using namespace std::string_view_literals;
    if (image.has_queue())
      core.set_asynchronous(context.events.watch(image.descriptor(), Interest::Readable, finished));
    else if (image.queue_error() != 0)
      context.log(Severity::Info, text<1151>(name, ": one request after the other for "sv, path,
                                             ": no io_uring here (errno "sv, image.queue_error(), ")"sv));
  }

  /// The path's last component: the disk's serial number, by which the guest can tell its disks apart.
  [[nodiscard]] static constexpr std::string_view file_name(std::string_view path) {
    std::size_t begin = path.size();
    while (begin != 0 && path[begin - 1] != '/') --begin;
    path.remove_prefix(begin);
    return path;
  }
};

}  // namespace axvm::inline v1::virtio
