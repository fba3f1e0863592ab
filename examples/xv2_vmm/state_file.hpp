#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include <axvm/core/result.hpp>
#include <axvm/io/descriptor.hpp>

namespace xv2 {

/// The file of --save-state. Opened before the guest starts, so that a file that cannot be written costs no run; what
/// is in it stays until there is something new.
class StateFile {
 public:
  [[nodiscard]] static axvm::Result<StateFile> open(std::string const& path) {
    StateFile file(path);
    file.descriptor_ =
        axvm::Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, S_IRUSR | S_IWUSR));
    if (!file.descriptor_) return file.failed("open", "--save-state needs a file that can be written");
    return file;
  }

  /// Replaces what is in the file.
  [[nodiscard]] axvm::Result<> write(std::string_view text) const {
    if (::ftruncate(descriptor_.get(), 0) != 0 && errno != EINVAL)
      return failed("empty");  // EINVAL: a pipe, a terminal
    while (!text.empty()) {
      const auto count = axvm::retry_interrupted([&] { return ::write(descriptor_.get(), text.data(), text.size()); });
      if (count < 0) return failed("write");
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

 private:
  explicit StateFile(std::string const& path) : path_(path) {}

  [[nodiscard]] std::unexpected<axvm::Error> failed(std::string_view what, std::string_view hint = {}) const {
    return axvm::failure(axvm::ErrorCode::HostIo, axvm::text<1023>(what, " state file ", path_), hint, errno);
  }

  std::string path_;
  axvm::Descriptor descriptor_;
};

}  // namespace xv2
