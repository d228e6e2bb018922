/// The payloads of a load test: they say who sent them, which they are and when, so that who gets them can tell what is
/// missing and how long it took. Text, padded to a size.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace corelay::tools {

struct LoadStamp {
  std::string run;  // letters and digits
  std::uint32_t publisher = 0;
  std::uint64_t number = 0;  // from 0
  std::int64_t sent_ns = 0;  // since 1970
};

/// "corelay-load RUN PUBLISHER NUMBER SENT_NS " and dots, `bytes` long or as long as the stamp is.
[[nodiscard]] std::string load_payload(const LoadStamp& stamp, std::size_t bytes);
/// Nothing for other payloads.
[[nodiscard]] std::optional<LoadStamp> parse_load(std::string_view payload);

}  // namespace corelay::tools
