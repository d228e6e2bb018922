// One idea for the three: the verbs typed so far, joined by spaces, choose the words. bash and zsh share the table and
// differ in how words are handed to the shell; fish takes one line for each word.
#include "tools/corelay/completion.h"

#include <fmt/format.h>

#include <functional>

namespace corelay::tools {
namespace {

using Visit = std::function<void(const std::string& path, const CompletionVerb& verb)>;

/// Every verb with the words that lead to it, "node state"; the program itself has none.
void each(const CompletionVerb& verb, const std::string& path, const Visit& visit) {
  visit(path, verb);
  for (const CompletionVerb& inner : verb.verbs)
    each(inner, path.empty() ? inner.name : path + " " + inner.name, visit);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// In single quotes of a POSIX shell.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// Cases of a shell function that sets cr_verbs, cr_options, cr_values (options that take one), and, for the option
/// before the word, choices or files.
std::string cases(const CompletionVerb& program) {
  std::string tables, choices;
  each(program, "", [&](const std::string& path, const CompletionVerb& verb) {
    std::vector<std::string> verbs, options, values;
    for (const auto& inner : verb.verbs) verbs.push_back(inner.name);
    for (const auto& option : verb.options) {
      options.push_back(option.name);
      if (option.takes_value) values.push_back(option.name);
      if (!option.choices.empty())
        choices += fmt::format("    '{}:{}') choices={} ;;\n", path, option.name, quoted(joined(option.choices)));
      else if (option.is_path)
        choices += fmt::format("    '{}:{}') files=1 ;;\n", path, option.name);
    }
    tables += fmt::format("    {}) cr_verbs={}; cr_options={}; cr_values={} ;;\n", quoted(path), quoted(joined(verbs)),
                          quoted(joined(options)), quoted(joined(values)));
  });
  return fmt::format(
      "_corelay_table() {{\n  cr_verbs= cr_options= cr_values=\n  case \"$1\" in\n{}  esac\n}}\n"
      "_corelay_value() {{\n  choices= files=\n  case \"$1:$2\" in\n{}  esac\n}}\n",
      tables, choices);
}

/// Reads the words before the one to complete; leaves what fits in all_options, cr_verbs, choices, files, and in
/// wants_value whether the word is an option's value. $@ are the words without the program's name.
constexpr const char* walk = R"(_corelay_walk() {
  local word at= all_values last=
  _corelay_table ''
  all_options=$cr_options all_values=$cr_values wants_value= choices= files=
  for word in "$@"; do
    if [ -n "$last" ]; then last=; continue; fi
    case " $cr_verbs " in
      *" $word "*)
        at=${at:+$at }$word
        _corelay_table "$at"
        all_options="$all_options $cr_options" all_values="$all_values $cr_values"
        continue ;;
    esac
    case " $all_values " in *" $word "*) last=$word ;; esac
  done
  if [ -n "$last" ]; then
    wants_value=1
    _corelay_value '' "$last"
    [ -n "$choices$files" ] || _corelay_value "$at" "$last"
    [ -n "$choices$files" ] || [ "$at" = "${at%% *}" ] || _corelay_value "${at%% *}" "$last"
  fi
}
)";

std::string bash_script(const CompletionVerb& program) {
  return "# bash completion of corelay: source <(corelay completion bash)\n" + cases(program) + walk +
         R"(_corelay() {
  local word=${COMP_WORDS[COMP_CWORD]} cr_verbs cr_options cr_values all_options wants_value choices files
  COMPREPLY=()
  _corelay_walk "${COMP_WORDS[@]:1:COMP_CWORD-1}"
  if [ -n "$wants_value" ]; then
    if [ -n "$choices" ]; then COMPREPLY=($(compgen -W "$choices" -- "$word"))
    elif [ -n "$files" ]; then COMPREPLY=($(compgen -f -- "$word")); compopt -o filenames 2>/dev/null; fi
    return 0
  fi
  case $word in
    -*) COMPREPLY=($(compgen -W "$all_options" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$cr_verbs" -- "$word")) ;;
  esac
}
complete -F _corelay corelay
)";
}

std::string zsh_script(const CompletionVerb& program) {
  return "#compdef corelay\n# zsh completion of corelay: source <(corelay completion zsh), after compinit\n" +
         cases(program) + walk +
         R"(_corelay() {
  emulate -L sh  # arrays count from 0
  local word="${words[CURRENT - 1]}" cr_verbs cr_options cr_values all_options wants_value choices files
  _corelay_walk "${words[@]:1:$((CURRENT - 2))}"
  if [ -n "$wants_value" ]; then
    if [ -n "$choices" ]; then compadd -- $choices
    elif [ -n "$files" ]; then _files; fi
    return 0
  fi
  case $word in
    -*) compadd -- $all_options ;;
    *) compadd -- $cr_verbs ;;
  esac
}
if [ "${funcstack[1]}" = _corelay ]; then _corelay "$@"; else compdef _corelay corelay; fi
)";
}

std::string fish_script(const CompletionVerb& program) {
  std::string verbs_everywhere;
  std::string out =
      "# fish completion of corelay: corelay completion fish | source\n"
      "function __corelay_at\n"
      "  set -l words (commandline -opc)[2..-1]\n"
      "  set -l path\n"
      "  for word in $words\n"
      "    string match -qr -- '^-' $word; and continue\n"
      "    contains -- (string join ' ' $path $word) $__corelay_paths; and set -a path $word\n"
      "  end\n"
      "  test \"$path\" = \"$argv[1]\"\n"
      "end\n"
      "complete -c corelay -f\n";
  each(program, "", [&](const std::string& path, const CompletionVerb& verb) {
    if (!path.empty()) verbs_everywhere += " " + quoted(path);
    const std::string here = fmt::format("complete -c corelay -n {} ", quoted("__corelay_at " + quoted(path)));
    for (const auto& inner : verb.verbs) out += fmt::format("{}-a {} -d {}\n", here, inner.name, quoted(inner.help));
    for (const auto& option : verb.options) {
      // The program's own options are good behind every verb.
      out += fmt::format("{}-l {}", path.empty() ? "complete -c corelay " : here, option.name.substr(2));
      if (option.takes_value) out += option.is_path ? " -r -F" : " -x";
      if (!option.choices.empty()) out += " -a " + quoted(joined(option.choices));
      out += " -d " + quoted(option.help) + "\n";
    }
  });
  return out + "set -g __corelay_paths" + verbs_everywhere + "\n";
}

}  // namespace

std::optional<std::string> completion_script(std::string_view shell, const CompletionVerb& program) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  if (shell == "fish") return fish_script(program);
  return std::nullopt;
}

}  // namespace corelay::tools
