/// Scripts that complete corelay's words in a shell, made from the verbs and options there are.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace corelay::tools {

/// One verb of the command line: its words, and the verbs below it.
struct CompletionVerb {
  struct Option {
    std::string name;  // "--topic"
    std::string help;  // its first line
    bool takes_value = false;
    bool is_path = false;              // the value is a file or a folder
    std::vector<std::string> choices;  // all there are; empty: any value
  };
  std::string name;
  std::string help;
  std::vector<Option> options;  // those of outer verbs are good here too, and not repeated
  std::vector<CompletionVerb> verbs;
};

/// The script for "bash", "zsh" or "fish"; nothing for another shell.
[[nodiscard]] std::optional<std::string> completion_script(std::string_view shell, const CompletionVerb& program);

}  // namespace corelay::tools
