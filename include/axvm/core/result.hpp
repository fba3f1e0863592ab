#pragma once

#include <expected>

#include <axvm/core/error.hpp>

namespace axvm::inline v1 {

/// A value or the reason why there is none.
template <class T = void>
using Result = std::expected<T, Error>;

/// A failed result: `return failure(ErrorCode::NotFound, text<1023>("open ", path), "check --kernel", errno);`
constexpr std::unexpected<Error> failure(ErrorCode code, Text<1023> operation, Text<511> hint = {}, int os_error = 0) {
  return std::unexpected(
      Error{.code = code, .severity = Severity::Error, .operation = operation, .os_error = os_error, .hint = hint});
}

}  // namespace axvm::inline v1
