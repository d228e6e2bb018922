// The verbs that look after the tokens of a login.
#include <cstdlib>

#include "tools/corelay/command_options.h"

namespace corelay::tools {
namespace {

/// The first of these variables that is set.
std::string from_environment(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "";
}

void add_login(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared) {
  CLI::App& verb = add_verb(app, "login", "Log in at an issuer, in a browser on any device",
                            "  corelay login --issuer https://issuer.example.org/ --app a1b2c3 --audience gateway\n"
                            "  CORELAY_ISSUER=https://issuer.example.org/ CORELAY_APP=a1b2c3 corelay login\n"
                            "  corelay login --auth-path /run/secrets/corelay.yml ...\n\n"
                            "The token is kept in a file that only you may read, and is refreshed by itself.\n");
  auto options = std::make_shared<LoginOptions>();
  options->issuer = from_environment({"CORELAY_ISSUER"});
  if (const auto domain = from_environment({"AUTH0_DOMAIN"}); options->issuer.empty() && !domain.empty())
    options->issuer = "https://" + domain + "/";
  options->app = from_environment({"CORELAY_APP", "AUTH0_CLIENT_ID"});
  options->audience = from_environment({"CORELAY_AUDIENCE", "AUTH0_AUDIENCE"});
  verb.add_option("--issuer", options->issuer, "Who gives tokens [CORELAY_ISSUER, else https://AUTH0_DOMAIN/]")
      ->type_name("URL");
  verb.add_option("--app", options->app, "The id of the application there [CORELAY_APP, else AUTH0_CLIENT_ID]")
      ->type_name("ID");
  verb.add_option("--audience", options->audience,
                  "Whom the token is for: the gateway's auth.audience [CORELAY_AUDIENCE, else AUTH0_AUDIENCE]")
      ->type_name("NAME");
  verb.add_option("--scope", options->scope, "What is asked for")->type_name("WORDS")->capture_default_str();
  verb.callback([options, shared, &choice] {
    choice.run = [options, shared](const Console& c) { return login(c, *options, shared->access.auth_path); };
  });
}

}  // namespace

void add_login_verbs(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared) {
  add_login(app, choice, shared);
  using Verb = ExitCode (*)(const Console&, const std::string&);
  const auto add = [&](const char* name, const char* help, const char* examples, Verb run) {
    add_verb(app, name, help, examples).callback([shared, run, &choice] {
      choice.run = [shared, run](const Console& c) { return run(c, shared->access.auth_path); };
    });
  };
  add("logout", "Remove the token, and tell the issuer",
      "  corelay logout\n  corelay logout --auth-path /run/secrets/corelay.yml\n", logout);
  add("whoami", "Who the token says we are, until when, and its limits",
      "  corelay whoami\n  corelay whoami --output json\n", whoami);
  add("refresh", "Take a new token now", "  corelay refresh\n", refresh);
}

}  // namespace corelay::tools
