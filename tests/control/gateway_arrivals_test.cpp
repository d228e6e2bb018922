// When each node had a message: what the live page is told, and what is kept for it.
#include "control/gateway/arrivals.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;

/// Counts what goes on to the tracer.
struct Counting final : MessageObserver {
  void on_published(const std::string&, const std::string&, std::size_t, Instant) override { ++published; }
  void on_report(const std::string&, const std::string&, std::size_t, bool, Instant) override { ++reports; }
  int published = 0;
  int reports = 0;
};

class ArrivalsTest : public ::testing::Test {
 protected:
  void arrive(unsigned node, const std::string& id, const std::string& payload, Instant now) {
    std::string base64;
    append_base64(payload, base64);
    arrivals.on_arrival(node, {"topic", id, "source", base64}, now);
  }
  Json changes(std::uint64_t after, Instant now) { return Json::parse(arrivals.changes_json(after, "epoch", now)); }

  Counting next;
  Arrivals arrivals{next};
  const Instant start{std::chrono::hours(1)};
};

TEST_F(ArrivalsTest, NothingIsKeptUntilSomebodyAsks) {
  arrive(0, "a", "early", start);
  arrivals.on_published("b", "topic", 5, start);
  EXPECT_EQ(next.published, 1);
  EXPECT_TRUE(changes(0, start)["messages"].empty());
}

TEST_F(ArrivalsTest, TimesCountFromThePublishHere) {
  static_cast<void>(changes(0, start));
  arrivals.on_published("a", "topic", 5, start);
  arrive(2, "a", "hello", start + milliseconds(3));
  arrive(0, "a", "hello", start + milliseconds(7));
  arrive(0, "a", "hello", start + milliseconds(9));  // again: the first time holds
  const Json answer = changes(0, start + milliseconds(10));
  ASSERT_EQ(answer["messages"].size(), 1U);
  const Json& message = answer["messages"][0];
  EXPECT_EQ(message["preview"], "hello");
  EXPECT_TRUE(message["published_here"].get<bool>());
  EXPECT_EQ(message["arrivals"], Json::parse(R"([{"node":2,"ms":3.0},{"node":0,"ms":7.0}])"));
}

TEST_F(ArrivalsTest, OnlyWhatHasChangedIsTold) {
  static_cast<void>(changes(0, start));
  arrive(0, "a", "one", start);
  const auto after = changes(0, start)["next"].get<std::uint64_t>();
  EXPECT_TRUE(changes(after, start)["messages"].empty());
  arrive(0, "b", "two", start);
  EXPECT_EQ(changes(after, start)["messages"].size(), 1U);
  arrive(1, "a", "one", start);
  EXPECT_EQ(changes(after, start)["messages"].size(), 2U);
}

TEST_F(ArrivalsTest, BoundedAndForgottenWhenNobodyLooks) {
  static_cast<void>(changes(0, start));
  for (int i = 0; i < 1000; ++i) arrive(0, std::to_string(i), "x", start);
  const Json all = changes(0, start)["messages"];
  ASSERT_EQ(all.size(), Arrivals::messages_max);
  EXPECT_EQ(all.back()["message_id"], "999");
  const Instant late = start + Arrivals::watch_time;
  arrive(0, "unseen", "x", late);
  EXPECT_TRUE(changes(0, late)["messages"].empty());
}

TEST_F(ArrivalsTest, PreviewsAreTextAndEndAtWholeCharacters) {
  static_cast<void>(changes(0, start));
  std::string euros;
  for (int i = 0; i < 1000; ++i) euros += "€";
  const std::string cases[] = {euros, std::string("\0\1", 2), "\xff\xfe", "", wrap_payload("inner", 7), "line\nline"};
  for (const auto& payload : cases) arrive(0, sha256_hex(payload), payload, start);
  const Json all = changes(0, start)["messages"];
  ASSERT_EQ(all.size(), std::size(cases));
  EXPECT_EQ(all[0]["preview"], euros.substr(0, 53 * 3) + "…");
  EXPECT_EQ(all[0]["bytes"], 3000);
  EXPECT_TRUE(all[1]["preview"].is_null());
  EXPECT_TRUE(all[2]["preview"].is_null());
  EXPECT_EQ(all[3]["preview"], "");
  EXPECT_EQ(all[4]["preview"], "inner");
  EXPECT_EQ(all[4]["bytes"], 5);
  EXPECT_EQ(all[5]["preview"], "line\nline");
}

}  // namespace
}  // namespace corelay::gateway
