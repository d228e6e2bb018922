#include "tools/daemon/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <iterator>

#include "control/daemon/setting_value.h"
#include "control/daemon/version.h"

namespace corelay {
namespace {

constexpr int exit_usage = 2;

/// "section.key=value", or nothing when there is no "=".
bool split_setting(const std::string& text, daemon::FlagValue& flag) {
  const auto equals = text.find('=');
  if (equals == std::string::npos) return false;
  flag = {text.substr(0, equals), text.substr(equals + 1), "--set"};
  return true;
}

/// What is wrong with the words, in ours where the library's are unclear.
std::string reason_of(const CLI::App& app, const CLI::ParseError& error) {
  const std::string text = error.what();
  if (const auto rest = app.remaining(true); !rest.empty() && text.find("not expected") != std::string::npos) {
    const auto flag = std::find_if(rest.begin(), rest.end(), [](const auto& word) { return word.starts_with("-"); });
    return "there is no " + (flag != rest.end() ? "flag '" + *flag : "command '" + rest.back()) + "'";
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && text.starts_with("--")) {
    return text.substr(0, text.find(':')) + " needs a value";
  }
  if (text.find("ubcommand") != std::string::npos) return "config needs one of its commands: check, print, default";
  return text;
}

/// The nearest known word for the first unknown one, or where to read more.
std::string remedy_for(const Program& program, const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(verb->get_name());
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    if (std::find(names.begin(), names.end(), word) != names.end()) continue;
    const std::string near = word.size() < 3 ? "" : daemon::nearest_name(word, names);
    if (!near.empty() && word.starts_with("-") == near.starts_with("-")) {
      return "'" + near + "' instead of '" + word + "'";
    }
  }
  return program.name + std::string(" --help");
}

}  // namespace

std::string version_text(const Program& program) {
  return program.name + std::string(" ") + std::string(daemon::version()) + " (" +
         std::string(daemon::commit_hash()) + ")";
}

int report_usage(const Program& program, const std::string& what, const std::string& remedy) {
  std::cerr << program.name << ": " << what << "\n";
  if (!remedy.empty()) std::cerr << "  try: " << remedy << "\n";
  return exit_usage;
}

bool parse_command_line(const Program& program, int argc, char** argv, CommandLine& line, int& exit_code) {
  CLI::App app{program.description};
  app.footer(program.footer);
  std::vector<std::string> settings;
  std::vector<std::string> values(program.flags.size());
  app.add_option("--config", line.config_file, "TOML file (default: $CORELAY_CONFIG)");
  app.add_option("--set", settings, "Any setting, as section.key=value; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  for (std::size_t i = 0; i < program.flags.size(); ++i) {
    const ShortFlag& flag = program.flags[i];
    app.add_option(flag.flag, values[i], std::string(flag.help) + " (" + flag.key + ")");
  }
  app.set_version_flag("--version", version_text(program), "Print the version");
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.add_subcommand("run", "Run (the default)");
  auto* const version = app.add_subcommand("version", "Print the version");
  auto* const config = app.add_subcommand("config", "Look at the configuration without running");
  config->require_subcommand(1);
  config->fallthrough();
  auto* const check = config->add_subcommand("check", "Exit 0 when the configuration is good, else say what is wrong");
  auto* const print = config->add_subcommand("print", "Every setting, its value and where it came from");
  auto* const defaults = config->add_subcommand("default", "The documented default file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      exit_code = app.exit(error);
    } else {
      exit_code = report_usage(program, reason_of(app, error), remedy_for(program, app, argc, argv));
    }
    return false;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const ShortFlag& flag = program.flags[i];
    if (app.count(flag.flag) != 0) line.flags.push_back({flag.key, values[i], flag.flag});
  }
  for (const auto& setting : settings) {
    daemon::FlagValue flag;
    if (!split_setting(setting, flag)) {
      exit_code = report_usage(program, "--set " + setting + ": is not section.key=value",
                               std::string("--set ") + program.setting);
      return false;
    }
    line.flags.push_back(flag);
  }
  if (*check) line.action = Action::config_check;
  if (*print) line.action = Action::config_print;
  if (*defaults) line.action = Action::config_default;
  if (*version) line.action = Action::version;
  const char* const file = std::getenv("CORELAY_CONFIG");
  if (line.config_file.empty() && file != nullptr) line.config_file = file;
  return true;
}

}  // namespace corelay
