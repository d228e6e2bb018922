#include "control/daemon/setting_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace corelay::daemon {
namespace {

// Which kind of value a field holds.
enum class Kind { truth, integer, real, text, list, name };

Kind kind_of(const FieldRef& ref) {
  if (std::holds_alternative<bool*>(ref)) return Kind::truth;
  if (std::holds_alternative<double*>(ref)) return Kind::real;
  if (std::holds_alternative<std::string*>(ref)) return Kind::text;
  if (std::holds_alternative<std::vector<std::string>*>(ref)) return Kind::list;
  if (std::holds_alternative<EnumRef>(ref)) return Kind::name;
  return Kind::integer;
}

std::string number_text(double number) {
  if (number == std::floor(number) && std::abs(number) < 1e15) return fmt::format("{:.0f}", number);
  return fmt::format("{}", number);
}

tl::unexpected<Error> wrong(const FieldInfo& field, void* config, std::string_view value, std::string_view origin) {
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("{} = {} ({}): must be {}", field.name(), value, origin, allowed_text(field, config)));
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto item = trimmed(text.substr(0, comma));
    if (!item.empty()) list.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return list;
}

template <class T>
void store_integer(T* to, double number) {
  *to = static_cast<T>(number);
}

Expected<void> set_number_text(const FieldInfo& field, void* config, std::string_view text,
                               std::string_view origin) {
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size()) return wrong(field, config, quoted(text), origin);
  return set_number(field, config, number, number == std::floor(number), origin);
}

}  // namespace

std::string allowed_text(const FieldInfo& field, void* config) {
  const FieldRef ref = field.at(config);
  switch (kind_of(ref)) {
    case Kind::truth: return "true or false";
    case Kind::text: return "a string";
    case Kind::list: return "a list of strings";
    case Kind::real: return fmt::format("a number from {} to {}", number_text(field.least), number_text(field.most));
    case Kind::integer:
      return fmt::format("an integer from {} to {}", number_text(field.least), number_text(field.most));
    case Kind::name: return fmt::format("one of {}", fmt::join(std::get<EnumRef>(ref).names, ", "));
  }
  return "";
}

Expected<void> set_number(const FieldInfo& field, void* config, double number, bool is_integer,
                          std::string_view origin) {
  const FieldRef ref = field.at(config);
  const Kind kind = kind_of(ref);
  const bool fits = (kind == Kind::real || (kind == Kind::integer && is_integer)) && number >= field.least &&
                    number <= field.most;  // a NaN fits nowhere
  if (!fits) return wrong(field, config, number_text(number), origin);
  if (const auto* real = std::get_if<double*>(&ref)) **real = number;
  if (const auto* small = std::get_if<std::uint16_t*>(&ref)) store_integer(*small, number);
  if (const auto* medium = std::get_if<std::uint32_t*>(&ref)) store_integer(*medium, number);
  if (const auto* large = std::get_if<std::uint64_t*>(&ref)) store_integer(*large, number);
  return {};
}

Expected<void> set_bool(const FieldInfo& field, void* config, bool value, std::string_view origin) {
  const FieldRef ref = field.at(config);
  const auto* truth = std::get_if<bool*>(&ref);
  if (truth == nullptr) return wrong(field, config, value ? "true" : "false", origin);
  **truth = value;
  return {};
}

Expected<void> set_string(const FieldInfo& field, void* config, std::string_view text, std::string_view origin) {
  const FieldRef ref = field.at(config);
  if (const auto* plain = std::get_if<std::string*>(&ref)) {
    if (text.find('\0') != std::string_view::npos) return wrong(field, config, quoted(text), origin);
    **plain = text;
    return {};
  }
  if (const auto* named = std::get_if<EnumRef>(&ref)) {
    const auto found = std::find(named->names.begin(), named->names.end(), text);
    if (found == named->names.end()) return wrong(field, config, quoted(text), origin);
    *named->value = static_cast<unsigned char>(found - named->names.begin());
    return {};
  }
  return wrong(field, config, quoted(text), origin);
}

Expected<void> set_list(const FieldInfo& field, void* config, std::vector<std::string> list,
                        std::string_view origin) {
  const FieldRef ref = field.at(config);
  const auto* target = std::get_if<std::vector<std::string>*>(&ref);
  if (target == nullptr) return wrong(field, config, "a list", origin);
  **target = std::move(list);
  return {};
}

Expected<void> set_from_text(const FieldInfo& field, void* config, std::string_view text,
                             std::string_view origin) {
  switch (kind_of(field.at(config))) {
    case Kind::truth: {
      const bool is_true = text == "true" || text == "1";
      if (!is_true && text != "false" && text != "0") return wrong(field, config, quoted(text), origin);
      return set_bool(field, config, is_true, origin);
    }
    case Kind::integer:
    case Kind::real: return set_number_text(field, config, trimmed(text), origin);
    case Kind::list: return set_list(field, config, split_list(text), origin);
    case Kind::text:
    case Kind::name: return set_string(field, config, text, origin);
  }
  return {};
}

std::string field_text(const FieldRef& ref) {
  switch (kind_of(ref)) {
    case Kind::truth: return *std::get<bool*>(ref) ? "true" : "false";
    case Kind::real: {
      const std::string text = fmt::format("{}", *std::get<double*>(ref));
      return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
    }
    case Kind::text: return quoted(*std::get<std::string*>(ref));
    case Kind::name: {
      const auto& named = std::get<EnumRef>(ref);
      return quoted(named.names[*named.value]);
    }
    case Kind::list: {
      std::vector<std::string> items;
      for (const auto& item : *std::get<std::vector<std::string>*>(ref)) items.push_back(quoted(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
    case Kind::integer: break;
  }
  if (const auto* small = std::get_if<std::uint16_t*>(&ref)) return std::to_string(**small);
  if (const auto* medium = std::get_if<std::uint32_t*>(&ref)) return std::to_string(**medium);
  return std::to_string(*std::get<std::uint64_t*>(ref));
}

std::string nearest_name(std::string_view wrong_name, const std::vector<std::string>& names) {
  for (const auto& name : names) {  // a key without its section
    if (!wrong_name.empty() && name.ends_with("." + std::string(wrong_name))) return name;
  }
  std::string best;
  std::size_t best_edits = std::clamp<std::size_t>(wrong_name.size() / 3, 1, 4) + 1;
  std::vector<std::size_t> row;
  const std::string_view left = wrong_name.substr(0, 128);
  for (const auto& name : names) {
    row.resize(name.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 0; i < left.size(); ++i) {
      std::size_t diagonal = row[0]++;
      for (std::size_t j = 0; j < name.size(); ++j) {
        const std::size_t change = diagonal + (left[i] == name[j] ? 0U : 1U);
        diagonal = row[j + 1];
        row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, change});
      }
    }
    if (row.back() < best_edits) {
      best_edits = row.back();
      best = name;
    }
  }
  return best;
}

}  // namespace corelay::daemon
