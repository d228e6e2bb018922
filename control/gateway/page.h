/// The live page at "/": files of control/gateway/page/, embedded in the binary. It is a client of the HTTP API like
/// any other and asks no other host for anything.
#pragma once

#include <string_view>

namespace corelay::gateway {

struct PageFile {
  std::string_view path;
  std::string_view content_type;
  std::string_view body;
};

/// Null where `path` is none of the page's.
[[nodiscard]] const PageFile* find_page_file(std::string_view path) noexcept;

/// What a browser lets the page do: its own files and its own gateway, and nobody may frame it.
inline constexpr std::string_view page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

}  // namespace corelay::gateway
