// Each verb has one function that names its options; what the verb does is in its own file. The
// verbs that talk to gateways are in command_line_gateway.cpp.
#include "tools/corelay/command_line.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "tools/corelay/command_options.h"
#include "tools/corelay/completion.h"
#include "tools/corelay/fleet.h"
#include "tools/corelay/simulate.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

constexpr const char* exit_codes_text =
    "Exit codes\n"
    "  0  done\n"
    "  1  failed for another reason; the message says which\n"
    "  2  the command line, or a file it names, is wrong\n"
    "  3  nobody answers at the address\n"
    "  4  the node, gateway or issuer refused: too large, no peers, the same bytes again, no token, a limit\n"
    "  5  no answer, or too few messages, in the time given\n";

/// Options as "--name TYPE=default", without the library's remarks on which exclude which.
class OptionFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (!option->get_type_name().empty() && option->get_type_size() != 0)
      text += " " + option->get_type_name();
    if (!option->get_default_str().empty()) text += "=" + option->get_default_str();
    if (option->get_required()) text += " (required)";
    return text;
  }
};

void add_keygen(CLI::App& app, Choice& choice) {
  CLI::App& verb = add_verb(
      app, "keygen", "Make a node's identity and print its peer id",
      "  corelay keygen                     identity/p2p.key, kept where it is there already\n"
      "  corelay keygen --out /etc/corelay\n"
      "  corelay keygen --out node7.key --output json\n");
  auto options = std::make_shared<KeygenOptions>();
  verb.add_option("--out", options->out,
                  "Folder of p2p.key, or the file itself where the name ends in .key")
      ->type_name("DIR|FILE.key")
      ->capture_default_str();
  verb.callback([options, &choice] {
    choice.run = [options](const Console& c) { return keygen(c, *options); };
  });
}

void add_node(CLI::App& app, Choice& choice) {
  CLI::App& verb = add_verb(app, "node", "Ask a node's HTTP API: health, state, version, peers",
                            "  corelay node health --api localhost:9091\n"
                            "  corelay node state --api localhost:9091 --output json\n"
                            "  corelay node peers --api localhost:9092\n");
  verb.require_subcommand(1);
  auto options = std::make_shared<NodeOptions>();
  add_address(verb, "--api", "The node's API", options->address);
  add_duration(verb, "--timeout", "Longest wait for the answer [5s]",
               [options](auto time) { options->timeout = time; });
  const auto add_question = [&](const char* name, const char* help, NodeQuestion question) {
    add_verb(verb, name, help, "").callback([options, question, &choice] {
      options->question = question;
      choice.run = [options](const Console& c) { return node(c, *options); };
    });
  };
  add_question("health", "Status, mode, CPU, memory and disk", NodeQuestion::health);
  add_question("state", "Peer id, addresses, peers and topics", NodeQuestion::state);
  add_question("version", "Version and commit", NodeQuestion::version);
  add_question("peers", "Peer ids of the connected peers, one a line", NodeQuestion::peers);
}

void add_up(CLI::App& app, Choice& choice) {
  CLI::App& verb =
      add_verb(app, "up", "Start a local fleet, send a file through it and stay up until Ctrl-C",
               "  corelay up\n"
               "  corelay up --detach && corelay down\n"
               "  corelay up --nodes 8 --gateways 1 --base 24000 --dir /tmp/eight\n"
               "  corelay up --file block.bin --output json\n");
  auto options = std::make_shared<UpOptions>();
  add_number(verb, "--nodes", "Nodes to start", 1, 64,
             [options](auto nodes) { options->nodes = static_cast<std::uint32_t>(nodes); })
      ->default_str("4");
  add_number(verb, "--gateways", "Gateways to start in front of them", 0, 16,
             [options](auto gateways) { options->gateways = static_cast<std::uint32_t>(gateways); })
      ->default_str("2");
  options->directory = fleet_directory();
  verb.add_option("--dir", options->directory,
                  "Folder of identities, logs and the fleet's record; CORELAY_DIR names another")
      ->type_name("DIR")
      ->capture_default_str();
  verb.add_flag("--detach", options->is_detached,
                "Leave the fleet running in the background; 'corelay down' stops it");
  verb.add_option("--file", options->file, "File to send through the fleet [4 MiB of random bytes]")
      ->type_name("PATH");
  verb.add_flag_callback(
      "--no-demo", [options] { options->has_demo = false; }, "Form the mesh and send nothing");
  add_number(verb, "--base",
             "Other ports: sidecars from PORT on, APIs from PORT+100, p2p from PORT+200, gateways from PORT+300, "
             "their gRPC from PORT+400",
             1024, 65000,
             [options](std::uint64_t base) {
               options->sidecar_port = static_cast<std::uint16_t>(base);
               options->api_port = static_cast<std::uint16_t>(base + 100);
               options->p2p_port = static_cast<std::uint16_t>(base + 200);
               options->gateway_port = static_cast<std::uint16_t>(base + 300);
               options->gateway_grpc_port = static_cast<std::uint16_t>(base + 400);
             })
      ->type_name("PORT");
  add_port(verb, "--sidecar-port", "Sidecar of node 1; the next nodes follow",
           options->sidecar_port);
  add_port(verb, "--api-port", "API of node 1", options->api_port);
  add_port(verb, "--p2p-port", "p2p of node 1, TCP and UDP", options->p2p_port);
  add_port(verb, "--gateway-port", "HTTP of gateway 1, with the live page", options->gateway_port);
  add_port(verb, "--gateway-grpc-port", "gRPC of gateway 1", options->gateway_grpc_port);
  verb.add_option("--corelayd", options->corelayd, "The node program [beside corelay, then PATH]")
      ->type_name("PATH");
  add_duration(verb, "--timeout", "Longest wait for the mesh, and for the file [15s]",
               [options](auto time) { options->timeout = time; });
  verb.callback(
      [options, &choice] { choice.run = [options](const Console& c) { return up(c, *options); }; });
}

void add_down(CLI::App& app, Choice& choice) {
  CLI::App& verb = add_verb(app, "down", "Stop the fleet that 'corelay up' started",
                            "  corelay down\n  corelay down --dir /tmp/eight\n");
  auto options = std::make_shared<DownOptions>();
  options->directory = fleet_directory();
  verb.add_option("--dir", options->directory,
                  "Folder given to 'corelay up'; without, 'down' works from anywhere")
      ->type_name("DIR")
      ->capture_default_str();
  add_duration(verb, "--timeout", "Longest wait for a clean stop; then what still runs is killed [10s]",
               [options](auto time) { options->timeout = time; });
  verb.callback([options, &choice] {
    choice.run = [options](const Console& c) { return down(c, *options); };
  });
}

/// "3", or "1..5": both ends count.
void add_seeds(CLI::App& verb, const std::shared_ptr<SimulateOptions>& options) {
  add_number(verb, "--seed", "Seed of everything that is drawn [1]", 0, 1'000'000'000'000,
             [options](std::uint64_t seed) { options->seed_first = options->seed_last = seed; });
  verb.add_option_function<std::string>(
          "--seeds",
          [options](const std::string& text) {
            const std::size_t dots = text.find("..");
            char* end = nullptr;
            options->seed_first = std::strtoull(text.c_str(), &end, 10);
            const bool is_first_whole = dots != std::string::npos && end == text.c_str() + dots;
            const char* second = is_first_whole ? text.c_str() + dots + 2 : "";
            options->seed_last = std::strtoull(second, &end, 10);
            if (end == second || *end != '\0' || options->seed_last < options->seed_first)
              throw CLI::ValidationError("--seeds", fmt::format("'{}' is not A..B", text));
          },
          "One run for each of these seeds")
      ->type_name("A..B");
}

void add_run_options(CLI::App& verb, const std::shared_ptr<SimulateOptions>& options) {
  verb.add_option("SCENARIO", options->scenario, "A built-in name, or a TOML file")->required();
  add_seeds(verb, options);
  verb.add_option("--nodes", options->nodes, "In place of the scenario's")->type_name("N");
  verb.add_option("--messages", options->messages, "In place of the scenario's")->type_name("N");
  verb.add_option("--shards-target", options->shards_target, "k aimed at, router corelay")
      ->type_name("K");
  verb.add_option("--redundancy", options->redundancy, "Asked for beyond need, router corelay")
      ->type_name("SHARE");
  verb.add_option("--start-mult", options->start_mult, "Start allowance, router corelay")
      ->type_name("MESSAGES");
  verb.add_option("--threshold", options->forward_threshold,
                  "Share of k held before recoding, router corelay")
      ->type_name("SHARE");
  verb.add_option("--json", options->json_file, "Write {\"rows\": [...]}, a row a seed, here")
      ->type_name("FILE");
  verb.add_option("--svg", options->svg_file, "Draw coverage over time of the first seed here")
      ->type_name("FILE");
}

void add_sim(CLI::App& app, Choice& choice) {
  CLI::App& verb = add_verb(app, "sim", "Simulate how a message spreads through a whole mesh",
                            "  corelay sim list\n"
                            "  corelay sim run S1-1MiB\n"
                            "  corelay sim run S3-1MiB-loss10 --seeds 1..5 --json loss.json\n"
                            "  corelay sim compare S2-1MiB --routers corelay,rs-bitmap,oracle\n");
  verb.require_subcommand(1);
  auto options = std::make_shared<SimulateOptions>();
  CLI::App& run = add_verb(verb, "run", "Run one router on a scenario", "");
  add_run_options(run, options);
  run.add_option_function<std::string>(
         "--router", [options](const std::string& name) { options->routers = {name}; },
         "Which protocol [corelay]")
      ->type_name("NAME");
  run.callback([options, &choice] {
    choice.run = [options](const Console& c) { return simulate(c, *options); };
  });
  CLI::App& versus = add_verb(verb, "compare", "Run several routers on the same network", "");
  add_run_options(versus, options);
  CLI::Option* routers = versus.add_option_function<std::vector<std::string>>(
      "--routers", [options](const auto& texts) { options->routers = items_of("--routers", texts); },
      "Which protocols, separated by commas [corelay,rs-bitmap-64,gossipsub-v1.2-seq,oracle]");
  routers->type_name("A,B,...");
  versus.callback([options, routers, &choice] {
    if (routers->count() == 0)
      options->routers = {"corelay", "rs-bitmap-64", "gossipsub-v1.2-seq", "oracle"};
    choice.run = [options](const Console& c) { return compare(c, *options); };
  });
  add_verb(verb, "list", "Name the built-in scenarios and the routers", "").callback([&choice] {
    choice.run = list_scenarios;
  });
}

/// One line of an option's help, without what it would be otherwise.
std::string first_line(const std::string& help) {
  const std::string line = help.substr(0, help.find('\n'));
  return line.substr(0, line.rfind(" ["));
}

CompletionVerb completion_of(const CLI::App& app) {
  CompletionVerb verb{app.get_name(), app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    const bool takes_value = option->get_type_size() != 0;
    const bool is_path = takes_value && type.find("JSON") == std::string::npos &&
                         (type.find("PATH") != std::string::npos || type.find("FILE") != std::string::npos ||
                          type.find("DIR") != std::string::npos);
    for (const std::string& name : option->get_lnames()) {
      const bool is_format = name == "output";
      verb.options.push_back({"--" + name, first_line(option->get_description()), takes_value, is_path, {}});
      if (is_format) verb.options.back().choices = {"table", "json", "yaml"};
    }
  }
  for (const CLI::App* inner : app.get_subcommands([](const CLI::App*) { return true; }))
    verb.verbs.push_back(completion_of(*inner));
  return verb;
}

void add_completion(CLI::App& app, Choice& choice) {
  CLI::App& verb = add_verb(app, "completion", "Print a script that completes corelay's words in a shell",
                            "  source <(corelay completion bash)          in ~/.bashrc\n"
                            "  source <(corelay completion zsh)           in ~/.zshrc, after compinit\n"
                            "  corelay completion fish > ~/.config/fish/completions/corelay.fish\n");
  verb.require_subcommand(1);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    add_verb(verb, shell, fmt::format("For {}", shell), "").callback([&app, &choice, shell] {
      choice.run = [&app, shell](const Console& c) {
        c.print(completion_script(shell, completion_of(app)).value_or(""));
        return ExitCode::ok;
      };
    });
  }
}

/// The verbs chosen, outermost first: "node", "state".
std::vector<const CLI::App*> chosen_verbs(const CLI::App& app) {
  std::vector<const CLI::App*> chosen{&app};
  while (!chosen.back()->get_subcommands().empty())
    chosen.push_back(chosen.back()->get_subcommands().front());
  return chosen;
}

/// As the user typed it: "corelay node state".
std::string path_of(const std::vector<const CLI::App*>& verbs) {
  std::string path;
  for (const CLI::App* verb : verbs) path += (path.empty() ? "" : " ") + verb->get_name();
  return path;
}

/// A word too many: an option nobody knows, a command nobody knows, or an argument nobody takes.
std::string unknown_words(const CLI::App& app, const std::vector<std::string>& rest) {
  const auto verbs = chosen_verbs(app);
  const bool has_verbs =
      !verbs.back()->get_subcommands([](const CLI::App*) { return true; }).empty();
  const std::string word = shortened(rest.front());
  const bool is_wrong_verb = has_verbs && !word.starts_with("-");  // its options are unknown only because it is
  const auto flag =
      std::find_if(rest.begin(), rest.end(), [](const auto& each) { return each.starts_with("-"); });
  if (flag != rest.end() && !is_wrong_verb) return fmt::format("there is no option '{}'", shortened(*flag));
  if (!has_verbs) return fmt::format("'{}' takes no argument '{}'", path_of(verbs), word);
  return verbs.size() == 1 ? fmt::format("there is no command '{}'", word)
                           : fmt::format("there is no command '{} {}'", path_of(verbs), word);
}

/// What is wrong with the words: the library's errors in our own, here alone.
std::string reason_of(const CLI::App& app, const CLI::ParseError& error) {
  const std::string text = error.what();
  const auto rest = app.remaining(true);
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && text.starts_with("--"))
    return fmt::format("{} needs a value", text.substr(0, text.find(':')));
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    const auto name = text.find(": ");
    const auto value = text.find(" = ");
    if (name != std::string::npos && value != std::string::npos)
      return fmt::format("{}: '{}' is not a number that it takes",
                         text.substr(name + 2, value - name - 2), shortened(text.substr(value + 3)));
  }
  if (dynamic_cast<const CLI::ExcludesError*>(&error) != nullptr) {
    const auto at = text.find(" excludes ");
    if (at != std::string::npos)
      return fmt::format("{} and {} exclude each other", text.substr(0, at), text.substr(at + 10));
  }
  const bool lacks_verb = text.find("ubcommand") != std::string::npos;
  if (!rest.empty() && (lacks_verb || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr))
    return unknown_words(app, rest);
  if (lacks_verb) {
    const auto verbs = chosen_verbs(app);
    return verbs.size() == 1 ? "no command given"
                             : fmt::format("'{}' needs one of its commands", path_of(verbs));
  }
  return text;
}

/// The nearest known word for the first unknown one, or where to read more.
std::string remedy_for(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string_view> names;
  std::vector<std::string> kept;
  const auto verbs = chosen_verbs(app);
  const CLI::App* deepest = verbs.back();
  for (const CLI::App* verb : deepest->get_subcommands([](const CLI::App*) { return true; }))
    kept.push_back(verb->get_name());
  for (const CLI::App* level : verbs) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) kept.push_back("--" + name);
    }
  }
  names.assign(kept.begin(), kept.end());
  for (int i = 1; i < argc; ++i) {
    const std::string_view word =
        std::string_view(argv[i]).substr(0, std::string_view(argv[i]).find('='));
    if (std::find(names.begin(), names.end(), word) != names.end()) continue;
    const std::string_view near = nearest(word, names);
    const bool is_flag = word.starts_with("-");
    if (!near.empty() && is_flag == near.starts_with("-"))
      return fmt::format("'{}' instead of '{}'", near, shortened(word));
  }
  return path_of(verbs) + " --help";
}

}  // namespace

int run_command_line(int argc, char** argv) {
  Choice choice;
  CLI::App app("corelay: publish, subscribe and look after Corelay nodes", "corelay");
  app.footer(std::string("Examples\n"
                         "  corelay up                                                a local "
                         "fleet of four nodes\n"
                         "  corelay subscribe --topic news                            through a "
                         "gateway at localhost:8081\n"
                         "  corelay publish --topic news --message hello\n"
                         "  corelay publish --addr localhost:33222 --topic news --message hello\n"
                         "  corelay node state --api localhost:9091\n\n") +
             exit_codes_text + "\nNO_COLOR=1 turns colour off.");
  app.require_subcommand(1);
  app.set_version_flag("--version", "corelay " + version_text(), "Print the version");
  const auto formatter = std::make_shared<OptionFormatter>();
  formatter->column_width(36);
  app.formatter(formatter);
  const std::map<std::string, Format> formats{
      {"table", Format::table}, {"json", Format::json}, {"yaml", Format::yaml}};
  app.add_option_function<std::string>(
         "--output",
         [&](const std::string& name) {
           const auto format = formats.find(name);
           if (format == formats.end())
             throw CLI::ValidationError(
                 "--output", fmt::format("'{}' is none of table, json and yaml", shortened(name)));
           choice.console.choose(format->second);
         },
         "How results are printed: table, json (one object a line) or yaml [table]")
      ->type_name("FORMAT");
  const auto shared = std::make_shared<SharedOptions>();
  app.add_option("--auth-path", shared->access.auth_path,
                 "File of the login's tokens [CORELAY_AUTH_PATH, else ~/.config/corelay/auth.yml]")
      ->type_name("PATH");
  app.add_flag("--disable-auth", shared->access.is_auth_disabled, "Use no token, even where there is one");
  app.add_option("--client-id", shared->access.client_id,
                 "Who we are to a gateway [the token's, else one made for this run]")
      ->type_name("ID")
      ->check(utf8_name());
  app.add_flag_callback("--debug", [&choice] { choice.console.show_debug(); }, "Say what happens underneath");
  add_keygen(app, choice);
  add_publish(app, choice, shared);
  add_subscribe(app, choice, shared);
  add_gateway_verbs(app, choice, shared);
  add_login_verbs(app, choice, shared);
  add_load_verbs(app, choice, shared);
  add_completion(app, choice);
  add_node(app, choice);
  add_up(app, choice);
  add_down(app, choice);
  add_sim(app, choice);
  add_verb(app, "version", "Version and commit of this program", "").callback([&] {
    choice.run = version;
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    return static_cast<int>(choice.console.fail(ExitCode::usage, reason_of(app, error),
                                                remedy_for(app, argc, argv)));
  }
  return static_cast<int>(choice.run(choice.console));
}

}  // namespace corelay::tools
