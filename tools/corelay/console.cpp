#include "tools/corelay/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::ordered_json;

/// YAML reads a bare word as a string only where it could be nothing else.
bool is_plain_scalar(const std::string& text) {
  static constexpr std::string_view safe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/.-0123456789";
  if (text.empty() || text.find_first_not_of(safe) != std::string::npos) return false;
  const char first = text.front();
  if (!std::isalpha(static_cast<unsigned char>(first)) && first != '/') return false;
  static constexpr std::string_view words[] = {"true", "false", "null", "yes", "no",
                                               "on",   "off",   "y",    "n"};
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return std::find(std::begin(words), std::end(words), lower) == std::end(words);
}

std::string yaml_scalar(const Json& value) {
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  return is_plain_scalar(text) ? text : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write_yaml(const Json& value, std::size_t depth, bool is_after_dash, std::string& out);

/// "key: scalar", or "key:" with the nested lines under it.
void write_yaml_child(const Json& child, std::size_t depth, std::string& out) {
  if (child.is_structured() && !child.empty()) {
    out += '\n';
    write_yaml(child, depth, false, out);
  } else {
    out += ' ' + (child.is_structured() ? child.dump() : yaml_scalar(child)) + '\n';
  }
}

void write_yaml(const Json& value, std::size_t depth, bool is_after_dash, std::string& out) {
  const std::string indent(depth * 2, ' ');
  if (!value.is_structured() || value.empty()) {
    out += indent + yaml_scalar(value) + '\n';
    return;
  }
  if (value.is_array()) {
    for (const Json& item : value) {
      out += indent + "-";
      if (item.is_object() && !item.empty()) {
        out += ' ';
        write_yaml(item, depth + 1, true, out);
      } else {
        write_yaml_child(item, depth + 1, out);
      }
    }
    return;
  }
  bool is_first = true;
  for (const auto& [key, child] : value.items()) {
    if (!(is_after_dash && is_first)) out += indent;
    is_first = false;
    out += yaml_scalar(Json(key)) + ':';
    write_yaml_child(child, depth + 1, out);
  }
}

bool is_colour_wanted(int descriptor) {
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (refused != nullptr && *refused != '\0') return false;
  return isatty(descriptor) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

void write_all(std::FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) {
      ++width;
    }
  }
  return width;
}

Table::Table(std::vector<std::string> headings) : is_right_(headings.size(), false) {
  rows_.push_back(std::move(headings));
}

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(rows_.front().size());
  rows_.push_back(std::move(cells));
}

void Table::align_right(std::vector<std::size_t> columns) {
  for (const std::size_t column : columns) is_right_.at(column) = true;
}

std::string Table::text(std::string_view indent) const {
  std::vector<std::size_t> widths(is_right_.size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line(indent);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - display_width(row[i]), ' ');
      line += is_right_[i] ? padding + row[i] : row[i] + padding;
      line += "   ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string to_yaml(const Json& value) {
  std::string out;
  write_yaml(value, 0, false, out);
  return out;
}

Console::Console(Format format)
    : format_(format),
      has_colour_(is_colour_wanted(STDOUT_FILENO)),
      has_error_colour_(is_colour_wanted(STDERR_FILENO)) {}

void Console::print(std::string_view text) const { write_all(stdout, text); }

void Console::print_table(std::string_view text) const {
  if (is_table()) print(text);
}

void Console::print_value(const Json& value) const {
  if (format_ == Format::json)
    print(value.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
  if (format_ == Format::yaml) print("---\n" + to_yaml(value));
}

void Console::note(std::string_view text) const { write_all(stderr, std::string(text) + '\n'); }

void Console::debug(std::string_view text) const {
  if (is_debug_) note("debug: " + std::string(text));
}

ExitCode Console::fail(ExitCode code, std::string_view what, std::string_view remedy) const {
  if (format_ == Format::json) {
    Json error{{"exit_code", static_cast<int>(code)}, {"message", what}};
    if (!remedy.empty()) error["remedy"] = remedy;
    write_all(stderr,
              Json{{"error", error}}.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
    return code;
  }
  // What others say of a failure is part of it.
  const std::string mark = has_error_colour_ ? "\x1b[31mcorelay:\x1b[0m " : "corelay: ";
  write_all(stderr, mark + on_terminal(what) + '\n');
  if (!remedy.empty()) write_all(stderr, "  try: " + on_terminal(remedy) + '\n');
  return code;
}

std::string Console::painted(std::string_view text, std::string_view code) const {
  if (!has_colour_) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}
std::string Console::bold(std::string_view text) const { return painted(text, "1"); }
std::string Console::dim(std::string_view text) const { return painted(text, "2"); }
std::string Console::green(std::string_view text) const { return painted(text, "32"); }
std::string Console::red(std::string_view text) const { return painted(text, "31"); }

}  // namespace corelay::tools
