#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <axvm/core/cpu_set.hpp>
#include <axvm/core/result.hpp>
#include <axvm/io/descriptor.hpp>

namespace axvm::inline v1 {

/// Where the kernel shows the host; a test shows another one.
struct HostPaths {
  std::string_view sys = "/sys";
  std::string_view proc = "/proc";
};

/// Reads the small text files with which the kernel describes the host. A file that is not there, or cannot be read,
/// reads as nothing: kernels, containers and hosts differ in what they show. One that is there and makes no sense is an
/// error, which is kept: read all, then look at error().
class KernelFiles {
 public:
  /// The contents without the newline at the end. Longer than 64 KiB is nothing the kernel wrote: nonsense, as well.
  [[nodiscard]] std::optional<std::string> text(std::string const& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) return std::nullopt;
    std::string contents;
    char block[4096];
    for (;;) {
      const auto got = retry_interrupted([&] { return ::read(file.get(), block, sizeof block); });
      if (got < 0) return std::nullopt;
      if (got == 0) break;
      contents.append(block, static_cast<std::size_t>(got));
      if (contents.size() > most_bytes) {
        refuse(path, text_of("it has more than ", most_bytes, " bytes"));
        return std::nullopt;
      }
    }
    while (!contents.empty() && (contents.back() == '\n' || contents.back() == ' ')) contents.pop_back();
    return contents;
  }

  /// A whole number; -1 and the like, which the kernel writes for "not known", read as nothing.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string const& path) {
    const auto contents = text(path);
    if (!contents) return std::nullopt;
    std::string_view rest = *contents;
    const bool negative = rest.starts_with('-');
    if (negative) rest.remove_prefix(1);
    std::uint64_t value = 0;
    if (!take_number(rest, value) || !rest.empty()) {
      refuse(path, text_of("it is not a number"));
      return std::nullopt;
    }
    return negative ? std::nullopt : std::optional(value);
  }

  /// A list such as `0-3,8`.
  [[nodiscard]] std::optional<CpuSet> set(std::string const& path) {
    const auto contents = text(path);
    if (!contents) return std::nullopt;
    auto parsed = CpuSet::parse(*contents);
    if (parsed) return *parsed;
    refuse(path, text_of(parsed.error().operation));
    return std::nullopt;
  }

  /// Takes a decimal number from the front of a text; false for none or one beyond 64 bits.
  static bool take_number(std::string_view& text, std::uint64_t& value) {
    const std::size_t all = text.size();
    for (value = 0; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1))
      if (__builtin_mul_overflow(value, 10u, &value) ||
          __builtin_add_overflow(value, static_cast<unsigned>(text[0] - '0'), &value))
        return false;
    return text.size() != all;
  }

  /// Says that a file makes no sense; the first one counts.
  void refuse(std::string const& path, Text<511> const& why) {
    if (error_) return;
    error_ = Error{.code = ErrorCode::HostIo,
                   .operation = axvm::text<1023>("read the host's topology from ", path, ": ", why),
                   .hint = "--pin none and --numa off do without it"};
  }
  [[nodiscard]] std::optional<Error> const& error() const { return error_; }

 private:
  static constexpr std::size_t most_bytes = 64 << 10;

  template <class... Parts>
  static Text<511> text_of(Parts const&... parts) {
    return axvm::text<511>(parts...);
  }

  std::optional<Error> error_;
};

}  // namespace axvm::inline v1
