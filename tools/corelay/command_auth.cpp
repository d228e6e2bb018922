// login, logout, whoami, refresh: the tokens of one login, in one file.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tools/corelay/commands.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/text.h"
#include "tools/corelay/token_file.h"
#include "tools/corelay/wall_clock.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::ordered_json;

/// "23 h 59 min", "4 min 10 s".
std::string span_text(std::int64_t seconds) {
  if (seconds >= 86400) return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
  if (seconds >= 3600) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} min {} s", seconds / 60, seconds % 60);
}

std::string limit_text(std::uint64_t limit, std::string (*shown)(std::uint64_t)) {
  return limit == 0 ? "no limit" : shown(limit);
}

std::int64_t expiry_of(const Tokens& tokens) {
  if (tokens.expires_at != 0) return tokens.expires_at;
  const auto claims = parse_claims(tokens.token);
  return claims ? claims->expires_at : 0;
}

ExitCode report_load(const Console& console, const Error& error) {
  if (error.code == ErrorCode::not_found)
    return console.fail(ExitCode::refused, "nobody is logged in: there is no " + error.where, "'corelay login'");
  return console.fail(ExitCode::usage, error.describe(), "'corelay login' writes it anew");
}

ExitCode report_issuer(const Console& console, const Error& error, const std::string& remedy) {
  switch (error.code) {
    case ErrorCode::invalid_argument:
      return console.fail(ExitCode::usage, error.what, "--issuer https://issuer.example.org/");
    case ErrorCode::unavailable:
      return console.fail(ExitCode::unreachable, fmt::format("no issuer at {}: {}", error.where, error.what),
                          "--issuer, or CORELAY_ISSUER");
    case ErrorCode::timed_out:
      return console.fail(ExitCode::timed_out, error.where == "login" ? error.what : error.describe(), remedy);
    case ErrorCode::permission_denied:
      return console.fail(ExitCode::refused, fmt::format("{} refused: {}", error.where, error.what), remedy);
    default:
      return console.fail(ExitCode::failed, error.describe(), remedy);
  }
}

void warn_if_open(const Console& console, const std::string& path) {
  if (is_open_to_others(path)) console.note("Others may read " + path + ": chmod 600 " + path);
}

ExitCode report_tokens(const Console& console, const char* verb, const std::string& path, const Tokens& tokens) {
  const auto claims = parse_claims(tokens.token);
  const std::int64_t expiry = expiry_of(tokens);
  const std::string client = claims ? claims->client_id : "";
  console.print_table(
      fmt::format("{}{}{}\n  token in {}\n", verb, client.empty() ? "" : " as " + on_line(client),
                  expiry == 0 ? "" : ", valid for " + span_text(std::max<std::int64_t>(0, expiry - wall_s())), path));
  Json value{{"client_id", client}, {"auth_path", path}};
  if (expiry != 0) value["expires_at"] = format_time(expiry);
  console.print_value(value);
  return ExitCode::ok;
}

}  // namespace

ExitCode login(const Console& console, const LoginOptions& options, const std::string& auth_path) {
  if (options.issuer.empty())
    return console.fail(ExitCode::usage, "no issuer is given",
                        "--issuer https://issuer.example.org/, or CORELAY_ISSUER");
  if (options.app.empty())
    return console.fail(ExitCode::usage, "no application is given: the issuer knows it by an id",
                        "--app ID, or CORELAY_APP");
  const auto endpoints = discover(options.issuer);
  if (!endpoints) return report_issuer(console, endpoints.error(), "");
  const auto grant = ask_for_login(options, *endpoints);
  if (!grant) return report_issuer(console, grant.error(), "is --app the id of an application with the device flow?");
  catch_interrupts();
  const std::string page = grant->whole_url.empty() ? grant->verification_url : grant->whole_url;
  console.note(fmt::format("Open  {}\nCode  {}\n\nWaiting for you to confirm, for {} at most; Ctrl-C gives up.", page,
                           grant->user_code, span_text(grant->expires_in_s)));
  const auto tokens = wait_for_login(options, *endpoints, *grant, is_interrupted);
  if (!tokens && tokens.error().code == ErrorCode::closed) return console.fail(ExitCode::failed, "login given up");
  if (!tokens) return report_issuer(console, tokens.error(), "'corelay login' again");
  const std::string path = token_path(auth_path);
  if (const auto saved = save_tokens(path, *tokens); !saved)
    return console.fail(ExitCode::failed, saved.error().describe(), "--auth-path with a file you may write");
  return report_tokens(console, "Logged in", path, *tokens);
}

ExitCode logout(const Console& console, const std::string& auth_path) {
  const std::string path = token_path(auth_path);
  const auto tokens = load_tokens(path);
  if (!tokens && tokens.error().code == ErrorCode::not_found) {
    console.print_table("Nobody was logged in\n");
    console.print_value({{"status", "not logged in"}, {"auth_path", path}});
    return ExitCode::ok;
  }
  bool is_revoked = false;
  if (tokens && !tokens->refresh_token.empty() && !tokens->issuer.empty()) {
    const auto revoked = revoke(*tokens);
    is_revoked = revoked.has_value();
    if (!revoked) console.note("The issuer was not told: " + revoked.error().describe());
  }
  if (unlink(path.c_str()) != 0)
    return console.fail(ExitCode::failed, Error{ErrorCode::internal, path, "cannot be removed", errno}.describe());
  unlink((path + ".lock").c_str());
  console.print_table(fmt::format("Logged out{}\n", is_revoked ? ", and the issuer told" : ""));
  console.print_value({{"status", "logged out"}, {"auth_path", path}, {"revoked", is_revoked}});
  return ExitCode::ok;
}

ExitCode whoami(const Console& console, const std::string& auth_path) {
  const std::string path = token_path(auth_path);
  const auto tokens = load_tokens(path);
  if (!tokens) return report_load(console, tokens.error());
  warn_if_open(console, path);
  const auto claims = parse_claims(tokens->token);
  if (!claims)
    return console.fail(ExitCode::failed, path + ": " + claims.error().what, "'corelay login' writes it anew");
  const std::int64_t expiry = expiry_of(*tokens);
  const std::int64_t left = expiry - wall_s();
  const auto add = [&](const char* label, const std::string& text) {
    if (!text.empty()) console.print_table(fmt::format("{:<18}{}\n", label, on_line(text)));
  };
  add("Client", claims->client_id);
  add("Email", claims->email);
  add("Issuer", claims->issuer.empty() ? tokens->issuer : claims->issuer);
  add("Account", claims->is_active ? "active" : "inactive");
  add("Expires", expiry == 0 ? "not told" : format_time(expiry));
  add("Valid for", expiry == 0 ? ""
                   : left > 0  ? span_text(left)
                               : "it has expired: 'corelay refresh' or 'corelay login'");
  add("Refresh", tokens->refresh_token.empty() ? "no: log in again when it expires" : "by itself, before it expires");
  add("Publish (hour)", limit_text(claims->publishes_per_hour, with_commas));
  add("Publish (second)", limit_text(claims->publishes_per_second, with_commas));
  add("Largest message", limit_text(claims->message_bytes, human_bytes));
  add("Data a day", limit_text(claims->bytes_per_day, human_bytes));
  add("Token in", path);
  console.print_value({{"client_id", claims->client_id},
                       {"email", claims->email},
                       {"issuer", claims->issuer},
                       {"is_active", claims->is_active},
                       {"expires_at", expiry == 0 ? "" : format_time(expiry)},
                       {"is_expired", expiry != 0 && left <= 0},
                       {"has_refresh_token", !tokens->refresh_token.empty()},
                       {"max_publish_per_hour", claims->publishes_per_hour},
                       {"max_publish_per_sec", claims->publishes_per_second},
                       {"max_message_size", claims->message_bytes},
                       {"daily_quota", claims->bytes_per_day},
                       {"auth_path", path}});
  return ExitCode::ok;
}

ExitCode refresh(const Console& console, const std::string& auth_path) {
  const std::string path = token_path(auth_path);
  const auto tokens = load_tokens(path);
  if (!tokens) return report_load(console, tokens.error());
  const auto fresh = refresh_file(path, "");
  if (!fresh && fresh.error().code == ErrorCode::not_found)
    return console.fail(ExitCode::refused, fresh.error().describe(), "'corelay login'");
  if (!fresh) return report_issuer(console, fresh.error(), "'corelay login'");
  return report_tokens(console, "Refreshed", path, *fresh);
}

}  // namespace corelay::tools
