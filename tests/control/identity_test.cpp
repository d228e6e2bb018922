// The identity's folder: one node at a time, and words that help where the key cannot be used. Two nodes with one key,
// as their peers see them.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "control/node/address_swaps.h"
#include "control/node/identity.h"

namespace corelay::node {
namespace {

class Identities : public ::testing::Test {
 protected:
  Identities() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corelay-identity-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
    config_.node.identity_dir = (folder_ / "identity").string();
    logger_ = spdlog::default_logger();
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)));
  }
  ~Identities() override {
    spdlog::set_default_logger(logger_);
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] std::string key_path() const { return config_.node.identity_dir + "/p2p.key"; }

  std::filesystem::path folder_;
  NodeConfig config_;
  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> logger_;
};

TEST_F(Identities, AFolderBelongsToOneUntilItLetsGo) {
  auto first = std::make_optional(IdentityLock::take(config_));
  ASSERT_TRUE(*first) << (*first).error().describe();
  const auto second = IdentityLock::take(config_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::already_exists);
  for (const char* word : {"another corelayd", config_.node.identity_dir.c_str(), "IDENTITY_DIR"}) {
    EXPECT_NE(second.error().what.find(word), std::string::npos) << second.error().what;
  }
  NodeConfig other = config_;
  other.node.identity_dir += "-other";
  EXPECT_TRUE(IdentityLock::take(other));
  first.reset();
  EXPECT_TRUE(IdentityLock::take(config_));
}

TEST_F(Identities, AFileInPlaceOfTheFolderIsNamed) {
  std::ofstream(config_.node.identity_dir) << "x";
  const auto lock = IdentityLock::take(config_);
  ASSERT_FALSE(lock);
  EXPECT_NE(lock.error().what.find("IDENTITY_DIR"), std::string::npos) << lock.error().what;
}

TEST_F(Identities, AKeyIsMadeOnceAndABadOneSaysWhatToDo) {
  ASSERT_TRUE(IdentityLock::take(config_));
  const auto made = load_identity(config_);
  ASSERT_TRUE(made) << made.error().describe();
  const auto again = load_identity(config_);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->peer_id().text(), made->peer_id().text());
  EXPECT_EQ(log_.str().find("open to other users"), std::string::npos) << log_.str();
  std::ofstream(key_path(), std::ios::trunc) << std::string(40, 'x');
  const auto bad = load_identity(config_);
  ASSERT_FALSE(bad);
  for (const char* word : {"p2p.key", "checksum mismatch", "move it away"}) {
    EXPECT_NE(bad.error().describe().find(word), std::string::npos) << bad.error().describe();
  }
}

TEST_F(Identities, AKeyThatOthersCanReadIsWarnedOf) {
  ASSERT_TRUE(IdentityLock::take(config_));
  ASSERT_TRUE(load_identity(config_));
  ASSERT_EQ(chmod(key_path().c_str(), 0640), 0);
  ASSERT_TRUE(load_identity(config_));
  EXPECT_NE(log_.str().find("p2p.key is open to other users (mode 640)"), std::string::npos) << log_.str();
}

dataplane::Instant at_s(std::int64_t s) { return {s * 1'000'000'000}; }

TEST(AddressSwaps, OnlyAReturnSoonAfterIsASwap) {
  AddressSwaps swaps(dataplane::seconds(300), 100);
  EXPECT_EQ(swaps.note("a", "one", at_s(0)), "");
  EXPECT_EQ(swaps.note("a", "one", at_s(1)), "");
  EXPECT_EQ(swaps.note("a", "two", at_s(2)), "");  // it may have moved
  EXPECT_EQ(swaps.note("b", "one", at_s(3)), "");  // another peer
  EXPECT_EQ(swaps.note("a", "one", at_s(4)), "two");
  EXPECT_EQ(swaps.note("a", "two", at_s(5)), "one");
  EXPECT_EQ(swaps.note("a", "three", at_s(6)), "");
  EXPECT_EQ(swaps.note("a", "two", at_s(1000)), "");  // back, but long after
}

TEST(AddressSwaps, WhatIsRememberedIsBounded) {
  AddressSwaps swaps(dataplane::seconds(300), 2);
  EXPECT_EQ(swaps.note("a", "one", at_s(0)), "");
  EXPECT_EQ(swaps.note("a", "two", at_s(1)), "");
  EXPECT_EQ(swaps.note("b", "one", at_s(2)), "");
  EXPECT_EQ(swaps.note("c", "one", at_s(3)), "");
  EXPECT_EQ(swaps.note("a", "one", at_s(4)), "");  // forgotten
}

}  // namespace
}  // namespace corelay::node
