/// Everything corelay shows: results on standard output as a table, JSON or YAML; errors and
/// progress on standard error. Colour only on a terminal, never where NO_COLOR is set.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/exit_code.h"

namespace corelay::tools {

enum class Format { table, json, yaml };

/// Rows of cells under a line of headings; columns are as wide as their widest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void add_row(std::vector<std::string> cells);
  /// Columns (0-based) whose cells end flush right: numbers.
  void align_right(std::vector<std::size_t> columns);
  /// Lines with a leading `indent`, each ended by a line feed; no trailing spaces.
  [[nodiscard]] std::string text(std::string_view indent = "") const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the headings first
  std::vector<bool> is_right_;
};

/// Block-style YAML of any JSON value, ended by a line feed; strings are quoted where YAML would
/// read them otherwise.
[[nodiscard]] std::string to_yaml(const nlohmann::ordered_json& value);

/// Columns a terminal gives the text: UTF-8 characters other than colour sequences.
[[nodiscard]] std::size_t display_width(std::string_view text) noexcept;

class Console {
 public:
  /// Looks at the terminal and at NO_COLOR once.
  explicit Console(Format format = Format::table);

  void choose(Format format) noexcept { format_ = format; }
  [[nodiscard]] Format format() const noexcept { return format_; }
  [[nodiscard]] bool is_table() const noexcept { return format_ == Format::table; }

  /// Writes text to standard output as it is and flushes it.
  void print(std::string_view text) const;
  /// The same, only where people read (--output table).
  void print_table(std::string_view text) const;
  /// A result for programs: one JSON line, or one YAML document. Nothing where the format is table.
  void print_value(const nlohmann::ordered_json& value) const;
  /// A remark on standard error.
  void note(std::string_view text) const;
  /// What happens underneath, on standard error; only after show_debug() (--debug). Never a secret.
  void debug(std::string_view text) const;
  void show_debug() noexcept { is_debug_ = true; }
  [[nodiscard]] bool is_debug() const noexcept { return is_debug_; }

  /// Reports a failure on standard error: what happened and what to try (may be empty), as one JSON
  /// object where the format is JSON. Returns `code`, so that a command ends with `return
  /// console.fail(...)`.
  [[nodiscard]] ExitCode fail(ExitCode code, std::string_view what,
                              std::string_view remedy = "") const;

  [[nodiscard]] std::string bold(std::string_view text) const;
  [[nodiscard]] std::string dim(std::string_view text) const;
  [[nodiscard]] std::string green(std::string_view text) const;
  [[nodiscard]] std::string red(std::string_view text) const;

 private:
  [[nodiscard]] std::string painted(std::string_view text, std::string_view code) const;

  Format format_;
  bool has_colour_ = false;
  bool has_error_colour_ = false;
  bool is_debug_ = false;
};

}  // namespace corelay::tools
