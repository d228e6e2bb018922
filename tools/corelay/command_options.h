/// How the verbs' options are declared. Included by the command_line*.cpp files: they alone see CLI11.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/corelay/commands.h"

namespace corelay::tools {

/// What parsing chose: the verb to run once everything is known.
struct Choice {
  Console console;
  std::function<ExitCode(const Console&)> run;
};

/// An option whose text is a time ("250ms", "2s").
void add_duration(CLI::App& verb, const std::string& name, const std::string& help,
                  std::function<void(std::chrono::milliseconds)> take);
/// An option whose text is a whole number from `least` to `most`.
CLI::Option* add_number(CLI::App& verb, const std::string& name, const std::string& help, std::uint64_t least,
                        std::uint64_t most, std::function<void(std::uint64_t)> take);
/// A port, 1 to 65535, with its default.
void add_port(CLI::App& verb, const std::string& name, const std::string& help, std::uint16_t& port);
/// HOST:PORT, with its default; also as a browser has it, http://HOST:PORT/.
void add_address(CLI::App& verb, const std::string& name, const std::string& help, std::string& address);
/// Values by commas, or the option again; what is there already is the default.
void add_list(CLI::App& verb, const std::string& name, const std::string& help, const std::string& type,
              std::vector<std::string>& list);
/// The items of such values. Throws CLI::ValidationError where one is empty: a slip, and not what was meant.
[[nodiscard]] std::vector<std::string> items_of(const std::string& name, const std::vector<std::string>& texts);
/// Lets UTF-8 through and nothing else: what JSON and gRPC carry as a name.
[[nodiscard]] CLI::Validator utf8_name();
/// A number of bytes ("1000", "64KiB").
CLI::Option* add_bytes(CLI::App& verb, const std::string& name, const std::string& help,
                       std::function<void(std::uint64_t)> take);
/// A whole number of milliseconds, as options that end in -ms take it.
[[nodiscard]] std::chrono::milliseconds milliseconds_of(const std::string& name, const std::string& text);
/// A share from `least` to 1.
void add_share(CLI::App& verb, const std::string& name, const std::string& help, double least, double& share);
/// --service-url; --grpc and --grpc-port.
void add_gateway(CLI::App& verb, GatewayOptions& options);
void add_grpc(CLI::App& verb, GatewayOptions& options);
CLI::App& add_verb(CLI::App& parent, const std::string& name, const std::string& help, const std::string& examples);

/// What every verb that talks to a gateway shares; filled by options of the program itself.
struct SharedOptions {
  AccessOptions access;
};

/// command_line_gateway.cpp
void add_publish(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared);
void add_subscribe(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared);
void add_gateway_verbs(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared);
/// command_line_load.cpp
void add_load_verbs(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared);
/// command_line_login.cpp
void add_login_verbs(CLI::App& app, Choice& choice, const std::shared_ptr<SharedOptions>& shared);

}  // namespace corelay::tools
