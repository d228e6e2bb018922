#include "tools/corelay/console.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace corelay::tools {
namespace {

using Json = nlohmann::ordered_json;

TEST(ConsoleTable, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"node", "arrived after", "SHA-256"});
  table.align_right({0, 1});
  table.add_row({"1", "41 ms", "✓ the same"});
  table.add_row({"13", "1.20 s", ""});
  EXPECT_EQ(table.text("  "),
            "  node   arrived after   SHA-256\n"
            "     1           41 ms   ✓ the same\n"
            "    13          1.20 s\n");
}

TEST(ConsoleTable, ColourTakesNoRoom) {
  EXPECT_EQ(display_width("\x1b[32m✓\x1b[0m ok"), 4u);
  Table table({"a", "b"});
  table.add_row({"\x1b[31mxy\x1b[0m", "1"});
  EXPECT_EQ(table.text(), "a    b\n\x1b[31mxy\x1b[0m   1\n");
}

TEST(ConsoleTable, ShortRowsAreFilled) {
  Table table({"a", "b"});
  table.add_row({"1"});
  EXPECT_EQ(table.text(), "a   b\n1\n");
}

TEST(Yaml, NestedListsAndObjects) {
  const Json value{{"count", 2},
                   {"nodes", Json::array({Json{{"node", 1}, {"peers", Json::array({"a", "b"})}},
                                          Json{{"node", 2}, {"peers", Json::array()}}})},
                   {"ok", true},
                   {"none", nullptr}};
  EXPECT_EQ(to_yaml(value),
            "count: 2\n"
            "nodes:\n"
            "  - node: 1\n"
            "    peers:\n"
            "      - a\n"
            "      - b\n"
            "  - node: 2\n"
            "    peers: []\n"
            "ok: true\n"
            "none: null\n");
}

TEST(Yaml, StringsThatWouldReadAsSomethingElseAreQuoted) {
  for (const char* text :
       {"0.29", "true", "No", "null", "", "a: b", "- a", "#c", "12D3Koo", "line\nbreak", "~"}) {
    EXPECT_EQ(to_yaml(Json{{"k", text}}), "k: " + Json(text).dump() + "\n");
  }
  for (const char* text : {"optimum", "/ip4/127.0.0.1/tcp/7070", "v0.1.0"}) {
    EXPECT_EQ(to_yaml(Json{{"k", text}}), std::string("k: ") + text + "\n");
  }
}

TEST(Yaml, ScalarsAndEmptyThings) {
  EXPECT_EQ(to_yaml(Json(3)), "3\n");
  EXPECT_EQ(to_yaml(Json::array()), "[]\n");
  EXPECT_EQ(to_yaml(Json::object()), "{}\n");
}

}  // namespace
}  // namespace corelay::tools
