#include "tools/corelay/load_payload.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

constexpr std::string_view mark = "corelay-load ";

std::string_view next_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

}  // namespace

std::string load_payload(const LoadStamp& stamp, std::size_t bytes) {
  std::string text = fmt::format("{}{} {} {} {} ", mark, stamp.run, stamp.publisher, stamp.number, stamp.sent_ns);
  text.append(bytes - std::min(bytes, text.size()), '.');
  return text;
}

std::optional<LoadStamp> parse_load(std::string_view payload) {
  if (!payload.starts_with(mark)) return std::nullopt;
  std::string_view rest = payload.substr(mark.size(), 128);
  LoadStamp stamp;
  stamp.run = std::string(next_word(rest));
  const auto publisher = parse_number(next_word(rest)), number = parse_number(next_word(rest)),
             sent = parse_number(next_word(rest));
  if (!publisher || !number || !sent || *publisher > std::numeric_limits<std::uint32_t>::max() ||
      *sent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return std::nullopt;
  stamp.publisher = static_cast<std::uint32_t>(*publisher);
  stamp.number = *number;
  stamp.sent_ns = static_cast<std::int64_t>(*sent);
  return stamp;
}

}  // namespace corelay::tools
