/// Who we are to a gateway: the token of a login, kept fresh, and the client's id. One of these serves a whole command.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/token_file.h"

namespace corelay::tools {

/// As the command line gives them.
struct AccessOptions {
  std::string auth_path;          // --auth-path; empty: the usual place
  bool is_auth_disabled = false;  // --disable-auth: no token is looked for
  std::string client_id;          // --client-id; empty: the token's, else one made for this run
};

class Access {
 public:
  /// Errors: permission_denied or malformed (the token file). No file is no error: calls go without a token.
  [[nodiscard]] static Expected<Access> open(const AccessOptions& options);

  /// The header of a call. A token with less than five minutes left is refreshed first; where that fails the old one
  /// serves, and the gateway has the last word.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers();
  /// "Bearer ..." or empty.
  [[nodiscard]] std::string authorization();

  [[nodiscard]] const std::string& client_id() const noexcept { return client_id_; }
  /// Made for this run: nobody will come back under it.
  [[nodiscard]] bool is_generated() const noexcept { return is_generated_; }
  [[nodiscard]] bool has_token() const noexcept { return tokens_.has_value(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Why the last refresh failed; empty where none did.
  [[nodiscard]] const std::string& refresh_failure() const noexcept { return refresh_failure_; }

 private:
  void keep_fresh();

  std::string path_;
  std::optional<Tokens> tokens_;
  std::string client_id_;
  bool is_generated_ = false;
  std::string refresh_failure_;
  std::chrono::steady_clock::time_point tried_at_{};
};

}  // namespace corelay::tools
