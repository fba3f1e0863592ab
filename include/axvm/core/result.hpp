#pragma once

#include <expected>

#include <axvm/core/error.hpp>

namespace axvm::inline v1 {

/// A value or the reason why there is none.
template <class T = void>
using Result = std::expected<T, Error>;

/// A failed result: `return failure(ErrorCode::NotFound, text<1023>("open ", path), "check --kernel", errno);`
[[gnu::noinline, gnu::cold]] constexpr std::unexpected<Error> failure(ErrorCode code, AnyText operation,
                                                                      AnyText hint = {}, int os_error = 0) {
  return std::unexpected(Error{.code = code,
                               .severity = Severity::Error,
                               .operation = operation.view(),
                               .os_error = os_error,
                               .hint = hint.view()});
}

}  // namespace axvm::inline v1
