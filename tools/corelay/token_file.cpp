#include "tools/corelay/token_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/corelay/digest.h"
#include "tools/corelay/read_file.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t time_max = 253402300799;  // the year 9999 ends

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// A scalar as YAML has it: bare to a " #", in single quotes ('' is one), or in double quotes (a JSON string).
std::optional<std::string> scalar(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('"')) {
    const Json value = Json::parse(text, nullptr, false);
    return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
  }
  if (text.starts_with('\'')) {
    std::string out;
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (text[i] != '\'') {
        out += text[i];
      } else if (i + 1 < text.size() && text[i + 1] == '\'') {
        out += text[++i];
      } else {
        return i + 1 == text.size() ? std::optional(out) : std::nullopt;
      }
    }
    return std::nullopt;
  }
  return std::string(trimmed(text.substr(0, text.find(" #"))));
}

/// Two or four digits at `at`, within bounds.
std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count, int least, int most) {
  if (at + count > text.size()) return std::nullopt;
  const auto number = parse_number(text.substr(at, count));
  if (!number || static_cast<int>(*number) < least || static_cast<int>(*number) > most) return std::nullopt;
  return static_cast<int>(*number);
}

std::uint64_t number_claim(const Json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end()) return 0;
  if (found->is_number_unsigned()) return found->get<std::uint64_t>();
  if (found->is_number_float() && found->get<double>() >= 0 && found->get<double>() < 1e18)
    return static_cast<std::uint64_t>(found->get<double>());
  return found->is_string() ? parse_number(found->get_ref<const std::string&>()).value_or(0) : 0;
}

std::string text_claim(const Json& claims, const char* name) {
  const auto found = claims.find(name);
  return found != claims.end() && found->is_string() ? found->get<std::string>() : "";
}

Error system_error(const std::string& path, const char* what) {
  return {errno == EACCES ? ErrorCode::permission_denied : ErrorCode::internal, path, what, errno};
}

}  // namespace

std::optional<std::int64_t> parse_time(std::string_view text) {
  const auto is_at = [&](std::size_t at, std::string_view any) {
    return at < text.size() && any.find(text[at]) != std::string_view::npos;
  };
  const auto year = digits(text, 0, 4, 1970, 9999), month = digits(text, 5, 2, 1, 12), day = digits(text, 8, 2, 1, 31);
  const auto hour = digits(text, 11, 2, 0, 23), minute = digits(text, 14, 2, 0, 59),
             second = digits(text, 17, 2, 0, 60);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (!is_at(4, "-") || !is_at(7, "-") || !is_at(10, "Tt ") || !is_at(13, ":") || !is_at(16, ":")) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  std::size_t at = 19;
  if (is_at(at, ".")) {
    const std::size_t end = std::min(text.find_first_not_of("0123456789", at + 1), text.size());
    if (end == at + 1) return std::nullopt;
    at = end;
  }
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = days * 86400 + *hour * 3600 + *minute * 60 + *second;
  if (is_at(at, "Zz")) return at + 1 == text.size() && seconds <= time_max ? std::optional(seconds) : std::nullopt;
  if (!is_at(at, "+-") || !is_at(at + 3, ":") || at + 6 != text.size()) return std::nullopt;
  const auto off_hour = digits(text, at + 1, 2, 0, 23), off_minute = digits(text, at + 4, 2, 0, 59);
  if (!off_hour || !off_minute) return std::nullopt;
  const int offset = *off_hour * 3600 + *off_minute * 60;
  const std::int64_t utc = seconds - (text[at] == '+' ? offset : -offset);
  return utc >= 0 && utc <= time_max ? std::optional(utc) : std::nullopt;
}

std::string format_time(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

Expected<Tokens> parse_tokens(std::string_view text) {
  Tokens tokens;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    const std::string_view kept = trimmed(line);
    if (kept.empty() || kept.starts_with('#') || kept == "---") continue;
    const auto wrong = [&](const char* why) {
      return fail(ErrorCode::malformed, "tokens", fmt::format("line {}: {}", number, why));
    };
    const std::size_t colon = kept.find(':');
    if (colon == std::string_view::npos) return wrong("'key: value' expected");
    const std::string_view key = trimmed(kept.substr(0, colon));
    auto value = scalar(kept.substr(colon + 1));
    if (!value) return wrong("a quote is not closed");
    if (key == "token") tokens.token = std::move(*value);
    if (key == "refresh_token") tokens.refresh_token = std::move(*value);
    if (key == "issuer") tokens.issuer = std::move(*value);
    if (key == "app") tokens.app = std::move(*value);
    if (key == "audience") tokens.audience = std::move(*value);
    if (key == "expires_at" && !value->empty()) {
      const auto time = parse_time(*value);
      if (!time) return wrong("expires_at is not a time such as 2026-11-21T17:30:00Z");
      tokens.expires_at = *time;
    }
  }
  if (tokens.token.empty()) return fail(ErrorCode::malformed, "tokens", "there is no token in it");
  // It goes into a header.
  const auto is_plain = [](unsigned char c) { return c > ' ' && c < 0x7f; };
  if (!std::all_of(tokens.token.begin(), tokens.token.end(), is_plain))
    return fail(ErrorCode::malformed, "tokens", "the token has a character that no token has");
  return tokens;
}

std::string format_tokens(const Tokens& tokens) {
  std::string out;
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty())
      out += fmt::format("{}: {}\n", key, Json(value).dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  add("token", tokens.token);
  add("refresh_token", tokens.refresh_token);
  if (tokens.expires_at != 0) out += "expires_at: " + format_time(tokens.expires_at) + "\n";
  add("issuer", tokens.issuer);
  add("app", tokens.app);
  add("audience", tokens.audience);
  return out;
}

Expected<Claims> parse_claims(std::string_view token) {
  const auto malformed = [](const char* why) { return fail(ErrorCode::malformed, "token", why); };
  const std::size_t first = token.find('.');
  const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return malformed("the token is not a JWT (three parts with dots between)");
  std::string part(token.substr(first + 1, second - first - 1));
  std::replace(part.begin(), part.end(), '-', '+');
  std::replace(part.begin(), part.end(), '_', '/');
  part.append((4 - part.size() % 4) % 4, '=');
  const auto text = from_base64(part);
  const Json claims = text ? Json::parse(*text, nullptr, false) : Json();
  if (!claims.is_object()) return malformed("the token's claims are not JSON in base64");
  Claims out;
  out.client_id = text_claim(claims, "client_id");
  if (out.client_id.empty()) out.client_id = text_claim(claims, "sub");
  out.email = text_claim(claims, "email");
  out.issuer = text_claim(claims, "iss");
  const auto active = claims.find("is_active");
  if (active != claims.end()) out.is_active = *active == true || *active == "true";
  out.expires_at = static_cast<std::int64_t>(std::min<std::uint64_t>(number_claim(claims, "exp"), time_max));
  out.publishes_per_hour = number_claim(claims, "max_publish_per_hour");
  out.publishes_per_second = number_claim(claims, "max_publish_per_sec");
  out.message_bytes = number_claim(claims, "max_message_size");
  out.bytes_per_day = number_claim(claims, "daily_quota");
  return out;
}

std::string token_path(const std::string& option) {
  if (!option.empty()) return option;
  for (const char* name : {"CORELAY_AUTH_PATH", "MUMP2P_AUTH_PATH"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config != '\0')
    return std::string(config) + "/corelay/auth.yml";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home != '\0' ? std::string(home) + "/.config/corelay/auth.yml" : "auth.yml";
}

Expected<Tokens> load_tokens(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return tl::make_unexpected(text.error());
  auto tokens = parse_tokens(*text);
  if (!tokens) return fail(ErrorCode::malformed, path, tokens.error().what);
  return tokens;
}

Expected<void> save_tokens(const std::string& path, const Tokens& tokens) {
  const auto folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::exists(folder, error)) {
    std::filesystem::create_directories(folder, error);
    if (error) return fail(ErrorCode::internal, folder.string(), "cannot be made: " + error.message());
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  std::string draft = path + ".XXXXXX";
  const int file = mkostemp(draft.data(), O_CLOEXEC);  // 0600
  if (file < 0) return tl::make_unexpected(system_error(path, "cannot be written"));
  const std::string text = format_tokens(tokens);
  bool is_written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
  is_written = close(file) == 0 && is_written;
  if (is_written && rename(draft.c_str(), path.c_str()) == 0) return {};
  const auto failed = system_error(path, "cannot be written");
  unlink(draft.c_str());
  return tl::make_unexpected(failed);
}

bool is_open_to_others(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0;
}

}  // namespace corelay::tools
