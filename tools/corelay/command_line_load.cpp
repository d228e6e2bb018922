// The verbs that watch and load a network: tracer, multi-publish, multi-subscribe, top.
#include "tools/corelay/command_options.h"

namespace corelay::tools {
namespace {

using Shared = std::shared_ptr<SharedOptions>;

/// The messages a tracer verb publishes.
void add_tracer_load(CLI::App& verb, TracerOptions& options, const std::string& count_help) {
  verb.add_option("--topic", options.topic, "Topic to publish on")
      ->type_name("TOPIC")
      ->capture_default_str()
      ->check(utf8_name());
  add_bytes(verb, "--size", "Bytes of a message", [&options](auto bytes) {
    options.bytes = bytes;
  })->default_str(std::to_string(options.bytes));
  add_number(verb, "--count", count_help, 0, 1'000'000'000, [&options](auto count) {
    options.count = count;
  })->default_str(std::to_string(options.count));
  verb.add_option_function<std::string>(
          "--interval-ms",
          [&options](const std::string& text) { options.interval = milliseconds_of("--interval-ms", text); },
          "Pause between two messages")
      ->type_name("MS")
      ->default_str("500");
}

void add_tracer(CLI::App& app, Choice& choice, const Shared& shared) {
  CLI::App& verb = add_verb(app, "tracer", "How messages fare: a gateway's tracer, live or under a load",
                            "  corelay tracer dashboard\n"
                            "  corelay tracer dashboard --window 60s --count 60 --topic demo\n"
                            "  corelay tracer load --size 850000 --count 50 --endpoint2 http://localhost:8082\n"
                            "  corelay tracer reset\n");
  verb.require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const char* examples, auto run) {
    CLI::App& inner = add_verb(verb, name, help, examples);
    auto options = std::make_shared<TracerOptions>();
    add_gateway(inner, options->gateway);
    inner.callback([options, shared, run, &choice] {
      choice.run = [options, shared, run](const Console& c) {
        options->gateway.access = shared->access;
        return run(c, *options);
      };
    });
    return std::pair<CLI::App*, std::shared_ptr<TracerOptions>>(&inner, options);
  };
  const auto [board, board_options] =
      add("dashboard", "Show the tracer's figures until Ctrl-C",
          "  corelay tracer dashboard\n  corelay tracer dashboard --once --output json\n", tracer_dashboard);
  add_duration(*board, "--window", "Messages of the last so long [10s]",
               [o = board_options](auto time) { o->window = time; });
  board
      ->add_option_function<std::string>(
          "--tick-ms", [o = board_options](const std::string& text) { o->tick = milliseconds_of("--tick-ms", text); },
          "Time between two looks")
      ->type_name("MS")
      ->default_str("500");
  add_number(*board, "--rows", "Messages listed", 0, 1000, [o = board_options](auto rows) {
    o->rows = rows;
  })->default_str("12");
  board->add_flag("--once", board_options->is_once, "Print one snapshot and end");
  add_tracer_load(*board, *board_options, "Publish so many messages meanwhile");
  const auto [load, load_options] =
      add("load", "Publish messages and show what became of them",
          "  corelay tracer load --topic demo --size 850000 --count 50\n"
          "  corelay tracer load --service-url http://localhost:8081 --endpoint2 http://localhost:8082\n",
          tracer_load);
  load_options->bytes = 850'000;
  load_options->count = 50;
  add_tracer_load(*load, *load_options, "Messages to publish");
  load->add_option_function<std::string>(
          "--endpoint2", [o = load_options](const std::string& url) { o->second_url = url; },
          "A second gateway: every other message goes through it")
      ->type_name("URL");
  add("reset", "Forget what the tracer has seen", "  corelay tracer reset\n", tracer_reset);
}

void add_multi(CLI::App& app, Choice& choice, const Shared& shared, bool is_publish) {
  CLI::App& verb =
      is_publish
          ? add_verb(app, "multi-publish", "Load: many publishers at a time, through one or more gateways",
                     "  corelay multi-publish --topic load --clients 10 --count 1000 --size 1KiB\n"
                     "  corelay multi-publish --topic load --service-url http://localhost:8081,http://localhost:8082\n"
                     "  corelay multi-publish --topic load --grpc --interval 20ms --output json\n\n"
                     "Publishers take the gateways in turn. Their messages carry a number and the time, which\n"
                     "'corelay multi-subscribe' reads.\n")
          : add_verb(app, "multi-subscribe", "Load: many subscribers at a time, each with a connection",
                     "  corelay multi-subscribe --topic load --clients 100 --count 1000 --timeout 60s\n"
                     "  corelay multi-subscribe --topic load --clients 20 --output json    until Ctrl-C\n\n"
                     "Says how many messages of 'corelay multi-publish' came, how many are missing, and how long\n"
                     "they took; clocks must agree where the two run on different machines.\n");
  auto options = std::make_shared<MultiOptions>();
  add_gateway(verb, options->gateway);
  add_grpc(verb, options->gateway);
  verb.add_option("--topic", options->topic, "Topic")->type_name("TOPIC")->required()->check(utf8_name());
  add_number(verb, "--clients", is_publish ? "Publishers" : "Subscribers", 1, 1000, [options](auto number) {
    options->clients = static_cast<std::uint32_t>(number);
  })->default_str("10");
  if (!is_publish) options->count = 0;
  add_number(verb, "--count", is_publish ? "Messages of each" : "End after so many messages at each [no end]", 1,
             1'000'000'000, [options](auto count) { options->count = count; })
      ->default_str(is_publish ? "100" : "");
  if (is_publish) {
    add_bytes(verb, "--size", "Bytes of a message", [options](auto bytes) {
      options->bytes = bytes;
    })->default_str("1KiB");
    add_duration(verb, "--interval", "Pause between two messages of a publisher [0s]",
                 [options](auto time) { options->interval = time; });
  } else {
    add_duration(verb, "--timeout", "End after this time; fewer messages than --count is exit code 5 [no end]",
                 [options](auto time) { options->timeout = time; });
    add_share(verb, "--threshold", "Share of the nodes that must hold a message first [the gateway's: 0.1]", 0.1,
              options->threshold);
  }
  verb.callback([options, shared, is_publish, &choice] {
    choice.run = [options, shared, is_publish](const Console& c) {
      options->gateway.access = shared->access;
      return is_publish ? multi_publish(c, *options) : multi_subscribe(c, *options);
    };
  });
}

void add_top(CLI::App& app, Choice& choice) {
  CLI::App& verb =
      add_verb(app, "top", "A live view of nodes: load of each core, packets, rank, waste, peers, drops",
               "  corelay top                                     the fleet of 'corelay up'\n"
               "  corelay top --api localhost:9091,localhost:9092\n"
               "  corelay top --once --output json\n\n"
               "waste: coded packets that brought nothing new; rank: shards held of a generation, on\n"
               "average; msgs: messages held; pubs: publishes under way; queue: messages published here that\n"
               "wait for local clients; busy: cycles of a lane that did work.\n");
  auto options = std::make_shared<TopOptions>();
  add_list(verb, "--api", "HTTP APIs of the nodes, by commas [those of 'corelay up']", "HOST:PORT", options->addresses);
  add_duration(verb, "--interval", "Time between two readings [1s]",
               [options](auto time) { options->interval = std::max(time, std::chrono::milliseconds(100)); });
  verb.add_flag("--once", options->is_once, "Print one snapshot and end");
  verb.callback([options, &choice] { choice.run = [options](const Console& c) { return top(c, *options); }; });
}

}  // namespace

void add_load_verbs(CLI::App& app, Choice& choice, const Shared& shared) {
  add_tracer(app, choice, shared);
  add_multi(app, choice, shared, true);
  add_multi(app, choice, shared, false);
  add_top(app, choice);
}

}  // namespace corelay::tools
