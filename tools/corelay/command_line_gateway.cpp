// The verbs that talk to a gateway.
#include <fmt/format.h>

#include <memory>

#include "tools/corelay/command_options.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

/// Where messages go besides the terminal, and what only a gateway can do.
void add_subscribe_gateway(CLI::App& verb, SubscribeOptions& options) {
  add_grpc(verb, options.gateway);
  add_number(verb, "--grpc-buffer-size", "Messages that may wait here with --grpc", 1, 1'000'000,
             [&options](std::uint64_t count) { options.grpc_queue = static_cast<std::size_t>(count); })
      ->default_str("100");
  add_share(verb, "--threshold", "Share of the nodes that must hold a message first [the gateway's: 0.1]", 0.1,
            options.threshold);
  verb.add_option("--persist", options.persist,
                  "Append '[time] message' lines to this file, or to messages.log in this folder")
      ->type_name("PATH");
  verb.add_option("--webhook", options.webhook, "POST each message to this URL")->type_name("URL");
  verb.add_option("--webhook-schema", options.webhook_schema, "The POST's body, with the message's fields put in")
      ->type_name("JSON|@FILE");
  add_number(verb, "--webhook-queue-size", "Messages that may wait for the webhook; more are dropped and counted", 1,
             1'000'000, [&options](std::uint64_t count) { options.webhook_queue = static_cast<std::size_t>(count); })
      ->default_str("100");
  add_duration(verb, "--webhook-timeout", "Longest wait for the answer to one POST [3s]",
               [&options](auto time) { options.webhook_timeout = time; });
}

}  // namespace

void add_publish(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared) {
  CLI::App& verb =
      add_verb(app, "publish", "Publish messages through a gateway or a node, and wait for its word on each",
               "  corelay publish --topic news --message hello\n"
               "  corelay publish --grpc --service-url http://localhost:8082 --topic news --file a.bin\n"
               "  corelay publish --addr localhost:33222 --topic news --message hello    a node, no gateway\n"
               "  corelay publish --topic blocks --file block.bin --file next.bin\n"
               "  corelay publish --topic load --random 100KiB --count 50 --sleep 20ms\n"
               "  seq 10 | corelay publish --topic numbers --lines\n"
               "  corelay publish --topic blocks < block.bin\n\n"
               "Without --message, --file, --random and --lines the message is standard input, to "
               "its end;\na terminal or nothing there is an error.\n\n"
               "A gateway makes equal bytes a message of their own (over HTTP, without --dedup) by 24 bytes in\n"
               "front of the second and later ones: gateways take them off again, subscribers at a node's own\n"
               "sidecar (--addr) see them.\n");
  auto options = std::make_shared<PublishOptions>();
  add_gateway(verb, options->gateway);
  add_address(verb, "--addr", "A node's sidecar, in place of a gateway", options->address);
  add_grpc(verb, options->gateway);
  verb.add_flag("--dedup", options->is_deduplicated, "Let a gateway take bytes it has had for the message they were");
  verb.add_option("--topic", options->topic, "Topic to publish on")
      ->type_name("TOPIC")
      ->required()
      ->check(utf8_name());
  CLI::Option* message = verb.add_option("--message,--msg", options->message, "Text to publish")->type_name("TEXT");
  CLI::Option* file =
      verb.add_option("--file", options->files, "File to publish ('-': standard input); may be repeated")
          ->type_name("PATH")
          ->expected(1)
          ->take_all();
  CLI::Option* random =
      verb.add_option_function<std::string>(
              "--random",
              [options](const std::string& text) {
                options->random_bytes = parse_bytes(text);
                if (!options->random_bytes) {
                  throw CLI::ValidationError(
                      "--random", fmt::format("'{}' is not a size such as 1000, 64KiB or 4MiB", shortened(text)));
                }
              },
              "Publish random bytes, this many")
          ->type_name("SIZE");
  CLI::Option* lines = verb.add_flag("--lines", options->is_line_by_line,
                                     "Publish each line of standard input; empty lines are passed over");
  message->excludes(file, random, lines);
  file->excludes(random, lines);
  random->excludes(lines);
  add_number(verb, "--count",
             "Messages to publish; with --message the second is TEXT1, the third TEXT2, ...: the "
             "same\n"
             "bytes twice would be one message",
             1, 1'000'000'000, [options](auto count) { options->count = count; })
      ->excludes(file, lines);
  add_duration(verb, "--sleep", "Pause between two messages [0s]", [options](auto time) { options->sleep = time; });
  add_duration(verb, "--timeout", "Longest wait for the node's answer to a message [45s]",
               [options](auto time) { options->timeout = time; });
  verb.callback([options, shared, &choice] {
    choice.run = [options, shared](const Console& c) {
      options->gateway.access = shared->access;
      if (!options->address.empty() && (options->gateway.is_grpc || options->is_deduplicated))
        return c.fail(ExitCode::usage, "--addr names a node: --grpc and --dedup are for a gateway", "one of the two");
      return publish(c, *options);
    };
  });
}

void add_subscribe(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared) {
  CLI::App& verb =
      add_verb(app, "subscribe", "Print the messages of one or more topics until Ctrl-C",
               "  corelay subscribe --topic news\n"
               "  corelay subscribe --topic news --threshold 0.7 --persist news.log\n"
               "  corelay subscribe --topic news --service-url http://localhost:8081,http://localhost:8082\n"
               "  corelay subscribe --topic news --webhook https://example.org/hook \\\n"
               "    --webhook-schema '{\"content\":\"{{.Message}}\"}'\n"
               "  corelay subscribe --addr localhost:33221 --topic news     a node, no gateway\n"
               "  corelay subscribe --topic a --topic b --output json\n"
               "  corelay subscribe --topic blocks --output-dir received\n"
               "  corelay subscribe --topic blocks --count 1 --raw > block.bin\n\n"
               "A connection that breaks is made again and goes on behind the last message. Under a\n"
               "--client-id of your own, or a token's, the gateway keeps your place between runs too.\n"
               "A --webhook-schema is JSON with {{.Message}}, {{.Timestamp}}, {{.Topic}}, {{.ClientID}} and\n"
               "{{.MessageID}} in its strings; @FILE reads it from a file. Without, the payload is sent.\n");
  auto options = std::make_shared<SubscribeOptions>();
  add_gateway(verb, options->gateway);
  add_address(verb, "--addr", "A node's sidecar, in place of a gateway", options->address);
  add_subscribe_gateway(verb, *options);
  verb.add_option("--topic", options->topics, "Topic to subscribe to; may be repeated")
      ->type_name("TOPIC")
      ->required()
      ->check(utf8_name())
      ->expected(1)
      ->take_all();
  add_number(verb, "--count", "End after this many messages [no end]", 1, 1'000'000'000'000,
             [options](auto count) { options->count = count; });
  add_duration(verb, "--timeout", "End after this time; fewer messages than --count is exit code 5 [no end]",
               [options](auto time) { options->timeout = time; });
  CLI::Option* raw = verb.add_flag("--raw", options->is_raw, "Write the payloads' bytes and nothing else");
  verb.add_option("--output-dir", options->directory, "Write each payload to a file of its own in this folder")
      ->type_name("DIR")
      ->excludes(raw);
  verb.callback([options, shared, &choice] {
    choice.run = [options, shared](const Console& c) {
      options->gateway.access = shared->access;
      if (!options->address.empty() && (options->gateway.is_grpc || options->threshold > 0))
        return c.fail(ExitCode::usage, "--addr names a node: --grpc and --threshold are for a gateway",
                      "one of the two");
      if (!options->webhook_schema.empty() && options->webhook.empty())
        return c.fail(ExitCode::usage, "--webhook-schema without --webhook", "--webhook URL");
      if (options->is_raw && !c.is_table())
        return c.fail(ExitCode::usage, "--raw and --output exclude each other", "one of the two");
      return subscribe(c, *options);
    };
  });
}

/// Health, topics and usage: one question each.
void add_gateway_verbs(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared) {
  const auto add_question = [&](const char* name, const char* help, const char* examples, GatewayQuestion question) {
    CLI::App& verb = add_verb(app, name, help, examples);
    auto options = std::make_shared<GatewayOptions>();
    options->timeout = std::chrono::seconds(10);
    add_gateway(verb, *options);
    add_duration(verb, "--timeout", "Longest wait for the answer [10s]",
                 [options](auto time) { options->timeout = time; });
    verb.callback([options, question, shared, &choice] {
      choice.run = [options, question, shared](const Console& c) {
        options->access = shared->access;
        return ask_gateway(c, *options, question);
      };
    });
    return &verb;
  };
  add_question("list-topics", "Topics we are subscribed to at a gateway; without an id of ours, all of its topics",
               "  corelay list-topics\n"
               "  corelay list-topics --client-id me --service-url http://localhost:8082\n",
               GatewayQuestion::topics)
      ->alias("list");
  add_question("health", "Whether a gateway reaches its nodes, and the load of its machine",
               "  corelay health\n"
               "  corelay health --service-url http://localhost:8082 --output json\n",
               GatewayQuestion::health);
  add_question("usage", "What our token allows, and what of it is used",
               "  corelay usage\n"
               "  corelay usage --service-url https://gateway.example.org --output yaml\n",
               GatewayQuestion::usage);
}

}  // namespace corelay::tools
