#pragma once

#include <cstddef>
#include <string_view>

#include <axvm/core/result.hpp>
#include <axvm/core/text.hpp>

namespace axvm::inline v1::boot {

/// A kernel command line. How much of it a kernel takes its image says (cmdline_size, 2047 on x86); the loader checks.
using CommandLine = Text<4095>;

/// Refuses what cannot be a kernel command line: a zero byte inside would hide from the kernel all that follows it.
constexpr Result<> check_command_line(std::string_view cmdline) {
  std::size_t zero = 0;
  while (zero < cmdline.size() && cmdline[zero] != '\0') ++zero;
  if (zero == cmdline.size()) return {};
  return failure(ErrorCode::InvalidArgument,
                 text<1023>("kernel command line: zero byte at position ", zero, " of ", cmdline.size()),
                 "a command line is text; remove the zero byte");
}

/// Joins the default command line and the text a user appends, one space between them, white space at the ends of both
/// removed. The kernel lets the last of contradicting options win, so the user's text comes last.
/// Fails with InvalidArgument on a zero byte in either, with OutOfRange when the result is longer than 4095 bytes.
[[gnu::cold]] constexpr Result<CommandLine> join_command_line(std::string_view base, std::string_view appended) {
  for (std::string_view part : {base, appended})
    if (Result<> checked = check_command_line(part); !checked) return std::unexpected(checked.error());
  auto is_white = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  auto trim = [is_white](std::string_view part) {
    while (!part.empty() && is_white(part.front())) part.remove_prefix(1);
    while (!part.empty() && is_white(part.back())) part.remove_suffix(1);
    return part;
  };
  base = trim(base);
  appended = trim(appended);
  CommandLine joined(base);
  if (!base.empty() && !appended.empty()) joined.append(" ");
  joined.append(appended);
  if (joined.truncated())
    return failure(ErrorCode::OutOfRange,
                   text<1023>("kernel command line: ", base.size() + 1 + appended.size(), " bytes, at most ",
                              CommandLine::capacity(), " are possible"),
                   "shorten the appended text");
  return joined;
}

}  // namespace axvm::inline v1::boot
