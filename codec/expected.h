/// Expected<T> is the return type of every operation that can fail outside the hot path: a value or an Error.
/// The text of an Error is made once, at the edge that shows it to a person (describe()).
#pragma once

#include <cstring>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace corelay {

/// Why an operation failed, coarse enough to map to a gRPC status, an HTTP status or an exit code.
enum class ErrorCode {
  invalid_argument,    // the caller's value is wrong; `what` names field, value and remedy
  not_found,           // the named thing does not exist
  already_exists,      // the thing exists and may not be replaced
  too_large,           // over a configured limit; `what` names the limit
  unavailable,         // cannot be done now; trying later may work
  permission_denied,   // the system or a policy refuses
  timed_out,           // a deadline passed
  closed,              // the other side ended the conversation
  malformed,           // bytes from outside do not follow their format
  unauthenticated,     // a signature, tag or identity did not hold
  internal,            // a library or the system failed in a way the caller cannot mend
};

/// One failure. `where` names the operation ("listen", "p2p.key"), `what` the reason in words.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string where;
  std::string what;
  int system_errno = 0;  // 0 where the system gave none

  /// "where: what (system text)".
  [[nodiscard]] std::string describe() const {
    std::string text = where.empty() ? what : where + ": " + what;
    if (system_errno != 0) text += std::string(" (") + std::strerror(system_errno) + ")";
    return text;
  }
};

template <class T>
using Expected = tl::expected<T, Error>;

/// `return fail(ErrorCode::too_large, "publish", "...")` from any function that returns an Expected.
[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string where, std::string what,
                                                int system_errno = 0) {
  return tl::make_unexpected(Error{code, std::move(where), std::move(what), system_errno});
}

}  // namespace corelay
