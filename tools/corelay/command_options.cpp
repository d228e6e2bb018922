#include "tools/corelay/command_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "tools/corelay/text.h"

namespace corelay::tools {

/// An option whose text is a time ("250ms", "2s").
void add_duration(CLI::App& verb, const std::string& name, const std::string& help,
                  std::function<void(std::chrono::milliseconds)> take) {
  verb.add_option_function<std::string>(
          name,
          [take = std::move(take), name](const std::string& text) {
            const auto time = parse_duration(text);
            if (!time)
              throw CLI::ValidationError(name,
                                         fmt::format("'{}' is not a time such as 250ms, 2s or 1m", shortened(text)));
            take(*time);
          },
          help)
      ->type_name("TIME");
}

/// An option whose text is a whole number from `least` to `most`.
CLI::Option* add_number(CLI::App& verb, const std::string& name, const std::string& help, std::uint64_t least,
                        std::uint64_t most, std::function<void(std::uint64_t)> take) {
  return verb
      .add_option_function<std::string>(
          name,
          [=, take = std::move(take)](const std::string& text) {
            const auto number = parse_number(text);
            if (!number || *number < least || *number > most)
              throw CLI::ValidationError(
                  name, fmt::format("'{}' is not a whole number from {} to {}", shortened(text), least, most));
            take(*number);
          },
          help)
      ->type_name("N");
}

/// A port, 1 to 65535, with its default.
void add_port(CLI::App& verb, const std::string& name, const std::string& help, std::uint16_t& port) {
  add_number(verb, name, help, 1, 65535, [&port](std::uint64_t number) { port = static_cast<std::uint16_t>(number); })
      ->type_name("PORT")
      ->default_str(port == 0 ? "" : std::to_string(port));
}

/// HOST:PORT, with its default; also as a browser has it, http://HOST:PORT/.
void add_address(CLI::App& verb, const std::string& name, const std::string& help, std::string& address) {
  verb.add_option_function<std::string>(
          name,
          [&address, name](const std::string& text) {
            std::string_view rest = text;
            if (rest.starts_with("https://"))
              throw CLI::ValidationError(name, "a node speaks no TLS: HOST:PORT, or http://HOST:PORT");
            if (rest.starts_with("http://")) rest.remove_prefix(7);
            if (rest.ends_with("/")) rest.remove_suffix(1);
            address = std::string(rest);
          },
          help)
      ->type_name("HOST:PORT")
      ->default_str(address);
}

CLI::App& add_verb(CLI::App& parent, const std::string& name, const std::string& help, const std::string& examples) {
  CLI::App* verb = parent.add_subcommand(name, help);
  verb->fallthrough();
  const std::string others = "--output, --client-id, --auth-path, --disable-auth and --debug: corelay --help";
  verb->footer((examples.empty() ? "" : "Examples\n" + examples + "\n") + others);
  return *verb;
}

CLI::Validator utf8_name() {
  return {[](const std::string& text) {
            return is_utf8(text) ? std::string() : in_quotes(shortened(text)) + " is not UTF-8, as names must be";
          },
          ""};
}

CLI::Option* add_bytes(CLI::App& verb, const std::string& name, const std::string& help,
                       std::function<void(std::uint64_t)> take) {
  return verb
      .add_option_function<std::string>(
          name,
          [take = std::move(take), name](const std::string& text) {
            const auto bytes = parse_bytes(text);
            if (!bytes)
              throw CLI::ValidationError(
                  name, fmt::format("'{}' is not a size such as 1000, 64KiB or 4MiB", shortened(text)));
            take(*bytes);
          },
          help)
      ->type_name("SIZE");
}

std::chrono::milliseconds milliseconds_of(const std::string& name, const std::string& text) {
  const auto number = parse_number(text);
  if (!number || *number > 86'400'000)
    throw CLI::ValidationError(name, fmt::format("'{}' is not a number of milliseconds", shortened(text)));
  return std::chrono::milliseconds(*number);
}

void add_share(CLI::App& verb, const std::string& name, const std::string& help, double least, double& share) {
  verb.add_option_function<std::string>(
          name,
          [&share, name, least](const std::string& text) {
            double number = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
            if (error != std::errc{} || end != text.data() + text.size() || !(number >= least && number <= 1))
              throw CLI::ValidationError(name,
                                         fmt::format("'{}' is not a share from {:.1f} to 1.0", shortened(text), least));
            share = number;
          },
          help)
      ->type_name("SHARE");
}

std::vector<std::string> items_of(const std::string& name, const std::vector<std::string>& texts) {
  std::vector<std::string> items;
  for (const std::string& text : texts) {
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find(',', at), text.size());
      if (end == at)
        throw CLI::ValidationError(
            name, fmt::format("'{}' has an empty item; an item must stand on both sides of commas", shortened(text)));
      items.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
  return items;
}

void add_list(CLI::App& verb, const std::string& name, const std::string& help, const std::string& type,
              std::vector<std::string>& list) {
  std::string shown;
  for (const std::string& item : list) shown += (shown.empty() ? "" : ",") + item;
  verb.add_option_function<std::vector<std::string>>(
          name, [&list, name](const std::vector<std::string>& texts) { list = items_of(name, texts); }, help)
      ->type_name(type)
      ->default_str(shown)
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false)
      ->take_all();
}

void add_gateway(CLI::App& verb, GatewayOptions& options) {
  add_list(verb, "--service-url", "The gateway; of several, by commas, the next where one fails", "URL",
           options.service_urls);
}

void add_grpc(CLI::App& verb, GatewayOptions& options) {
  verb.add_flag("--grpc", options.is_grpc, "Over the gateway's gRPC in place of HTTP");
  add_port(verb, "--grpc-port", "Port of the gateway's gRPC [50051 for HTTP on 8081, 50052 for 8082 and so on]",
           options.grpc_port);
}

}  // namespace corelay::tools
